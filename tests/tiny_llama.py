"""A llama, or a relative of it, with a few thousand weights; each test breaks what it is about."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gguf as untyped_gguf
import numpy as np
from numpy.typing import NDArray

gguf: Any = untyped_gguf

Floats = NDArray[np.float32]
SPECIALS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
NORMAL, CONTROL = 1, 3
MATRIX_RANK = 2
OWN_KEYS: dict[str, dict[str, Any]] = {
    "qwen2": {"rope.freq_base": 1e6},
    "qwen3": {"rope.freq_base": 1e6},
    "gemma3": {"rope.freq_base": 1e6, "attention.sliding_window": 8},
}


@dataclass(frozen=True, kw_only=True)
class TinyLlama:
    """What the file says. A value None in `metadata`, or a name in `without`, leaves it out.

    Matrices are stored as `kind`, but for those whose name ends as a key of `kinds` does.
    """

    architecture: str = "llama"
    hidden: int = 64
    feed_forward: int = 96
    heads: int = 4
    kv_heads: int = 2
    head_dim: int = 16
    layers: int = 2
    is_tied: bool = True
    kind: str = "F32"
    kinds: Mapping[str, str] = field(default_factory=dict[str, str])
    metadata: Mapping[str, Any] = field(default_factory=dict[str, Any])
    tensors: Mapping[str, Floats] = field(default_factory=dict[str, Floats])
    without: tuple[str, ...] = ()

    def write(self, path: Path) -> Path:
        """Write the file and return its path."""
        writer = gguf.GGUFWriter(path, self.architecture)
        for key, value in {**self._metadata(), **self.metadata}.items():
            if value is not None:
                _add(writer, key, value)
        for name, values in {**self._tensors(), **self.tensors}.items():
            if name not in self.without:
                self._add_tensor(writer, name, values)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return path

    def _add_tensor(self, writer: Any, name: str, values: Floats) -> None:
        kinds = (kind for end, kind in self.kinds.items() if name.endswith(end))
        kind = next(kinds, self.kind) if values.ndim == MATRIX_RANK else "F32"
        type_ = gguf.GGMLQuantizationType[kind]
        writer.add_tensor(name, gguf.quants.quantize(values, type_), raw_dtype=type_)

    def _metadata(self) -> dict[str, Any]:
        tokens = vocabulary()
        own = {
            "block_count": self.layers,
            "context_length": 128,
            "embedding_length": self.hidden,
            "feed_forward_length": self.feed_forward,
            "attention.head_count": self.heads,
            "attention.head_count_kv": self.kv_heads,
            "attention.key_length": self.head_dim,
            "attention.layer_norm_rms_epsilon": 1e-5,
            "rope.dimension_count": self.head_dim,
            **OWN_KEYS.get(self.architecture, {}),
        }
        return {
            "general.name": "Tiny",
            "general.license": "apache-2.0",
            **{f"{self.architecture}.{key}": value for key, value in own.items()},
            "tokenizer.ggml.model": "gpt2",
            "tokenizer.ggml.pre": "smollm",
            "tokenizer.ggml.tokens": tokens,
            "tokenizer.ggml.token_type": [
                CONTROL if token in SPECIALS else NORMAL for token in tokens
            ],
            "tokenizer.ggml.merges": ["h e", "l l", "he ll"],
            "tokenizer.ggml.bos_token_id": 1,
            "tokenizer.ggml.eos_token_id": 2,
        }

    def _tensors(self) -> dict[str, Floats]:
        random = np.random.default_rng(seed=7)

        def matrix(rows: int, columns: int) -> Floats:
            return random.normal(0, columns**-0.5, (rows, columns)).astype(np.float32)

        def vector(size: int, mean: float = 1) -> Floats:
            return random.normal(mean, 0.1, size).astype(np.float32)

        query, kv = self.heads * self.head_dim, self.kv_heads * self.head_dim
        found = {
            "token_embd.weight": matrix(len(vocabulary()), self.hidden),
            "output_norm.weight": vector(self.hidden),
        }
        if not self.is_tied:
            found["output.weight"] = matrix(len(vocabulary()), self.hidden)
        for layer in range(self.layers):
            tensors = {
                "attn_norm.weight": vector(self.hidden),
                "attn_q.weight": matrix(query, self.hidden),
                "attn_k.weight": matrix(kv, self.hidden),
                "attn_v.weight": matrix(kv, self.hidden),
                "attn_output.weight": matrix(self.hidden, query),
                "ffn_norm.weight": vector(self.hidden),
                "ffn_gate.weight": matrix(self.feed_forward, self.hidden),
                "ffn_up.weight": matrix(self.feed_forward, self.hidden),
                "ffn_down.weight": matrix(self.hidden, self.feed_forward),
            }
            if self.architecture == "qwen2":
                sizes = {"q": query, "k": kv, "v": kv}
                tensors |= {f"attn_{part}.bias": vector(size, 0) for part, size in sizes.items()}
            if self.architecture in ("qwen3", "gemma3"):
                tensors |= {f"attn_{part}_norm.weight": vector(self.head_dim) for part in "qk"}
            if self.architecture == "gemma3":
                posts = ("post_attention_norm", "post_ffw_norm")
                tensors |= {f"{part}.weight": vector(self.hidden) for part in posts}
            found |= {f"blk.{layer}.{name}": values for name, values in tensors.items()}
        return found


def _add(writer: Any, key: str, value: Any) -> None:
    match value:
        case bool():
            writer.add_bool(key, value)
        case int():
            writer.add_uint32(key, value)
        case float():
            writer.add_float32(key, value)
        case str():
            writer.add_string(key, value)
        case _:
            writer.add_array(key, value)


def vocabulary() -> list[str]:
    """Return the tokens: three control tokens, every byte as byte-level BPE writes it, three words.

    Source: `bytes_to_unicode` of GPT-2, https://github.com/openai/gpt-2/blob/master/src/encoder.py
    """
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in plain]
    written = {byte: chr(byte) for byte in plain}
    written |= {byte: chr(256 + place) for place, byte in enumerate(others)}
    return [*SPECIALS, *(written[byte] for byte in range(256)), "he", "ll", "hell"]
