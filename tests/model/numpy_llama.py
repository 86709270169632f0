"""Llama in numpy and float32, straight from a GGUF: what the converted model is measured against.

It shares no code with the converter, and turns the rotary pairs as they lie in the file.
"""

from pathlib import Path
from typing import Any

import gguf as untyped_gguf
import numpy as np
from numpy.typing import NDArray

gguf: Any = untyped_gguf

Floats = NDArray[Any]  # float32 throughout


class NumpyLlama:
    """The weights of one file."""

    def __init__(self, path: Path) -> None:
        reader: Any = gguf.GGUFReader(path)
        self._weights: dict[str, Floats] = {
            each.name: np.asarray(
                gguf.dequantize(each.data, each.tensor_type), dtype=np.float32
            ).reshape([int(size) for size in reversed(each.shape)])
            for each in reader.tensors
        }

        def number(key: str, default: float = 0) -> float:
            found: Any = reader.fields.get(f"llama.{key}")
            return found.contents() if found else default

        self._layers = int(number("block_count"))
        self._heads = int(number("attention.head_count"))
        self._kv_heads = int(number("attention.head_count_kv"))
        self._epsilon = number("attention.layer_norm_rms_epsilon")
        self._base = number("rope.freq_base", 10_000)

    def logits(self, tokens: list[int]) -> Floats:
        """Return the logits after each token, float32 [tokens, vocabulary]."""
        weights = self._weights
        x = weights["token_embd.weight"][tokens]
        for layer in range(self._layers):
            name = f"blk.{layer}."
            x = x + self._attention(self._norm(x, name + "attn_norm"), name)
            y = self._norm(x, name + "ffn_norm")
            gate = y @ weights[name + "ffn_gate.weight"].T
            up = y @ weights[name + "ffn_up.weight"].T
            x = x + (gate / (1 + np.exp(-gate)) * up) @ weights[name + "ffn_down.weight"].T
        head = weights.get("output.weight", weights["token_embd.weight"])
        return self._norm(x, "output_norm") @ head.T

    def _attention(self, x: Floats, name: str) -> Floats:
        length, weights = len(x), self._weights

        def heads_of(kind: str, count: int) -> Floats:
            flat = x @ weights[f"{name}attn_{kind}.weight"].T
            return flat.reshape(length, count, -1).swapaxes(0, 1)

        query = self._turned(heads_of("q", self._heads))
        key = self._turned(heads_of("k", self._kv_heads))
        group = self._heads // self._kv_heads
        key = np.repeat(key, group, axis=0)
        value = np.repeat(heads_of("v", self._kv_heads), group, axis=0)
        scores = query @ key.swapaxes(1, 2) / query.shape[-1] ** 0.5
        scores = np.where(np.tri(length, dtype=bool), scores, -np.inf)
        shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
        shares /= shares.sum(axis=-1, keepdims=True)
        mixed = (shares @ value).swapaxes(0, 1).reshape(length, -1)
        return mixed @ weights[f"{name}attn_output.weight"].T

    def _turned(self, heads: Floats) -> Floats:
        length, size = int(heads.shape[1]), int(heads.shape[2])
        steps: Floats = np.arange(0, size, 2, dtype=np.float64) / size
        inverse: Floats = self._base**-steps
        stretch = self._weights.get("rope_freqs.weight", np.ones(size // 2, np.float32))
        angles = np.outer(np.arange(length), inverse / stretch).astype(np.float32)
        even, odd = heads[..., 0::2], heads[..., 1::2]
        turned = np.empty_like(heads)
        turned[..., 0::2] = even * np.cos(angles) - odd * np.sin(angles)
        turned[..., 1::2] = even * np.sin(angles) + odd * np.cos(angles)
        return turned

    def _norm(self, x: Floats, name: str) -> Floats:
        mean = np.mean(x * x, axis=-1, keepdims=True)
        return x / np.sqrt(mean + self._epsilon) * self._weights[f"{name}.weight"]
