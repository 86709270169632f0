"""The architectures that are built, and in what each of them differs from llama.

A model that is converted wrongly still talks, only badly: an architecture that is not in this table
is refused by its name, and so is whatever a file says or holds that has no place in its own.

Sources: llama: Touvron et al. 2023, arXiv:2302.13971; qwen2: arXiv:2407.10671; qwen3:
arXiv:2505.09388; gemma3: arXiv:2503.19786. How a GGUF has them: `src/models` and `conversion` of
https://github.com/ggml-org/llama.cpp
"""

from dataclasses import dataclass
from typing import Literal

from rbee_shared.errors import UnimplementedError

LAYER_NORMS = ("attn_norm", "ffn_norm")
LAYER_MATRICES = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")
QKV = ("attn_q", "attn_k", "attn_v")
HEAD_NORMS = ("attn_q_norm", "attn_k_norm")
POST_NORMS = ("post_attention_norm", "post_ffw_norm")


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """What differs. Rotary `base`: what a file means that does not say it; None: it must.

    Attributes:
        has_rotary_factors: a tensor may say by what each rotary frequency is divided.
        has_rotary_pairs: the rows of queries and keys lie in the file as pairs, not as halves.
        has_qkv_bias: a bias is added to queries, keys and values.
        has_head_norms: each head of queries and keys is normed.
        has_post_norms: what attention and feed-forward give is normed before it is added.
        has_scaled_embedding: embeddings are multiplied by the root of their size.
        local_base: rotary base of the layers that see a window; None: no layer does.
    """

    name: str
    base: float | None = None
    local_base: float | None = None
    has_rotary_factors: bool = False
    has_rotary_pairs: bool = False
    has_qkv_bias: bool = False
    has_head_norms: bool = False
    has_post_norms: bool = False
    has_scaled_embedding: bool = False
    activation: Literal["silu", "gelu"] = "silu"

    def layer_tensors(self) -> frozenset[str]:
        """Return the names of a layer's tensors, without the layer."""
        norms = [*LAYER_NORMS]
        norms += HEAD_NORMS if self.has_head_norms else ()
        norms += POST_NORMS if self.has_post_norms else ()
        biases = QKV if self.has_qkv_bias else ()
        weights = (f"{each}.weight" for each in (*norms, *LAYER_MATRICES))
        return frozenset((*weights, *(f"{each}.bias" for each in biases)))


LLAMA = Architecture(name="llama", base=10_000.0, has_rotary_factors=True, has_rotary_pairs=True)
QWEN2 = Architecture(name="qwen2", has_qkv_bias=True)
QWEN3 = Architecture(name="qwen3", has_head_norms=True)
GEMMA3 = Architecture(
    name="gemma3",
    local_base=10_000.0,
    has_head_norms=True,
    has_post_norms=True,
    has_scaled_embedding=True,
    activation="gelu",
)
ARCHITECTURES = {each.name: each for each in (LLAMA, QWEN2, QWEN3, GEMMA3)}


def architecture_of(name: str) -> Architecture:
    """Return the architecture of that name.

    Raises:
        UnimplementedError: it is not built here.
    """
    found = ARCHITECTURES.get(name)
    if found is None:
        raise UnimplementedError(
            f"the architecture `{name}` cannot be converted yet",
            reason="ARCHITECTURE_UNSUPPORTED",
            hint=f"these can: {', '.join(ARCHITECTURES)}",
        )
    return found
