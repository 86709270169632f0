"""Decoders in numpy and float32, straight from a GGUF: what a converted one is measured against.

It shares no code with the converter, reads the file with the `gguf` package, and turns the rotary
pairs as they lie in the file.
"""

from pathlib import Path
from typing import Any

import gguf as untyped_gguf
import numpy as np
from numpy.typing import NDArray

gguf: Any = untyped_gguf

Floats = NDArray[Any]  # float32 throughout
GEMMA_27B_LAYERS = 62


class NumpyDecoder:
    """The weights of one file."""

    def __init__(self, path: Path) -> None:
        reader: Any = gguf.GGUFReader(path)
        self._weights: dict[str, Floats] = {
            each.name: np.asarray(
                gguf.dequantize(each.data, each.tensor_type), dtype=np.float32
            ).reshape([int(size) for size in reversed(each.shape)])
            for each in reader.tensors
        }
        self._architecture: str = reader.fields["general.architecture"].contents()

        def said(key: str, default: Any = None) -> Any:
            found: Any = reader.fields.get(f"{self._architecture}.{key}")
            return found.contents() if found else default

        self._is_gemma = self._architecture == "gemma3"
        self._layers = int(said("block_count"))
        self._heads = int(said("attention.head_count"))
        self._kv_heads = int(said("attention.head_count_kv"))
        self._head_dim = len(self._weights["blk.0.attn_q.weight"]) // self._heads
        self._epsilon = float(said("attention.layer_norm_rms_epsilon"))
        self._base = float(said("rope.freq_base", 10_000))
        is_linear = said("rope.scaling.type") == "linear"
        self._factor = float(said("rope.scaling.factor")) if is_linear else 1.0
        self._window = int(said("attention.sliding_window", 0))
        self._every = int(said("attention.sliding_window_pattern", 6))

    def logits(self, tokens: list[int]) -> Floats:
        """Return the logits after each token, float32 [tokens, vocabulary]."""
        weights = self._weights
        head = weights.get("output.weight", weights["token_embd.weight"])
        return self.hidden(tokens) @ head.T

    def hidden(self, tokens: list[int]) -> Floats:
        """Return what the head reads of each token, float32 [tokens, hidden]."""
        weights = self._weights
        x = weights["token_embd.weight"][tokens]
        if self._is_gemma:
            x = x * np.float32(x.shape[-1] ** 0.5)
        for layer in range(self._layers):
            name = f"blk.{layer}."
            attended = self._attention(self._norm(x, name + "attn_norm"), layer)
            x = x + self._post_norm(attended, name + "post_attention_norm")
            y = self._norm(x, name + "ffn_norm")
            gate = self._active(y @ weights[name + "ffn_gate.weight"].T)
            up = y @ weights[name + "ffn_up.weight"].T
            down = (gate * up) @ weights[name + "ffn_down.weight"].T
            x = x + self._post_norm(down, name + "post_ffw_norm")
        return self._norm(x, "output_norm")

    def _attention(self, x: Floats, layer: int) -> Floats:
        length, name = len(x), f"blk.{layer}."
        is_local = self._is_gemma and layer % self._every < self._every - 1

        def heads_of(kind: str, count: int) -> Floats:
            flat = x @ self._weights[f"{name}attn_{kind}.weight"].T
            flat = flat + self._weights.get(f"{name}attn_{kind}.bias", np.float32(0))
            heads = flat.reshape(length, count, -1).swapaxes(0, 1)
            return self._post_norm(heads, f"{name}attn_{kind}_norm")

        query = self._turned(heads_of("q", self._heads), is_local=is_local)
        key = self._turned(heads_of("k", self._kv_heads), is_local=is_local)
        group = self._heads // self._kv_heads
        key = np.repeat(key, group, axis=0)
        value = np.repeat(heads_of("v", self._kv_heads), group, axis=0)
        is_wide = self._is_gemma and self._layers == GEMMA_27B_LAYERS
        size = x.shape[-1] // self._heads if is_wide else self._head_dim
        scores = query @ key.swapaxes(1, 2) / size**0.5
        back = np.arange(length)[:, None] - np.arange(length)
        is_seen = (back >= 0) & (back < self._window) if is_local else back >= 0
        scores = np.where(is_seen, scores, np.float32(-np.inf))
        shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
        shares /= shares.sum(axis=-1, keepdims=True)
        mixed = (shares @ value).swapaxes(0, 1).reshape(length, -1)
        return mixed @ self._weights[f"{name}attn_output.weight"].T

    def _turned(self, heads: Floats, *, is_local: bool) -> Floats:
        length, size = int(heads.shape[1]), int(heads.shape[2])
        base, factor = (10_000.0, 1.0) if is_local else (self._base, self._factor)
        steps: Floats = np.arange(0, size, 2, dtype=np.float64) / size
        stretch = self._weights.get("rope_freqs.weight", np.ones(size // 2, np.float32))
        angles = np.outer(np.arange(length) / factor, base**-steps / stretch).astype(np.float32)
        is_paired = self._architecture == "llama"
        firsts = slice(0, None, 2) if is_paired else slice(0, size // 2)
        seconds = slice(1, None, 2) if is_paired else slice(size // 2, None)
        one, two = heads[..., firsts], heads[..., seconds]
        turned = np.empty_like(heads)
        turned[..., firsts] = one * np.cos(angles) - two * np.sin(angles)
        turned[..., seconds] = one * np.sin(angles) + two * np.cos(angles)
        return turned

    def _active(self, gate: Floats) -> Floats:
        if not self._is_gemma:
            return gate / (1 + np.exp(-gate))
        inner = np.float32((2 / np.pi) ** 0.5) * (gate + np.float32(0.044715) * gate**3)
        return gate / 2 * (1 + np.tanh(inner))

    def _norm(self, x: Floats, name: str) -> Floats:
        mean = np.mean(x * x, axis=-1, keepdims=True)
        return x / np.sqrt(mean + np.float32(self._epsilon)) * self._weights[f"{name}.weight"]

    def _post_norm(self, x: Floats, name: str) -> Floats:
        return self._norm(x, name) if f"{name}.weight" in self._weights else x
