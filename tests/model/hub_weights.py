"""The weights of a llama GGUF as int8 blocks in one data file, for any number of graphs over it.

It shares no code with the converter.
"""

from pathlib import Path
from typing import Any, BinaryIO

import gguf as untyped_gguf
import numpy as np
import onnx as untyped_onnx
from numpy.typing import NDArray

gguf: Any = untyped_gguf
make: Any = untyped_onnx.helper

BLOCK = 32
HEAD = "output.weight"
MATRICES = {
    "q": "attn_q",
    "k": "attn_k",
    "v": "attn_v",
    "o": "attn_output",
    "gate": "ffn_gate",
    "up": "ffn_up",
    "down": "ffn_down",
}


class Weights:
    """The weights of one GGUF as int8 blocks in one data file, for any number of graphs."""

    def __init__(self, path: Path, data: BinaryIO) -> None:
        self._reader: Any = gguf.GGUFReader(path)
        self._data = data
        self.stored: dict[str, tuple[int, tuple[int, ...], int, int]] = {}
        self.layers = int(self.field("llama.block_count"))
        self.heads = int(self.field("llama.attention.head_count"))
        self.kv_heads = int(self.field("llama.attention.head_count_kv"))
        self.hidden = int(self.field("llama.embedding_length"))
        self.head_dim = int(self.field("llama.attention.key_length") or self.hidden // self.heads)
        self.context = int(self.field("llama.context_length"))
        self.epsilon = float(self.field("llama.attention.layer_norm_rms_epsilon"))
        self._tensors = {each.name: each for each in self._reader.tensors}
        self.vocabulary = int(self._tensors["token_embd.weight"].shape[1])
        self.is_tied = HEAD not in self._tensors
        self._store_all()

    def field(self, key: str) -> Any:
        found: Any = self._reader.fields.get(key)
        return found.contents() if found else None

    def size(self, name: str) -> tuple[int, ...]:
        return self.stored[f"{name}.q"][1]

    def _store_all(self) -> None:
        embedding = self._floats("token_embd.weight")
        self._matrix("embedding", embedding)
        self._store("embedding.z", np.full((self.vocabulary, self.hidden // BLOCK), 128, np.uint8))
        kind, (rows, blocks, block), *place = self.stored["embedding.q"]
        self.stored["embedding.flat"] = (kind, (rows, blocks * block), place[0], place[1])
        self._matrix("head", embedding if self.is_tied else self._floats(HEAD))
        self._store("norm", self._floats("output_norm.weight"))
        for layer in range(self.layers):
            self._store(f"{layer}.norm1", self._floats(f"blk.{layer}.attn_norm.weight"))
            self._store(f"{layer}.norm2", self._floats(f"blk.{layer}.ffn_norm.weight"))
            for name, of in MATRICES.items():
                weights = self._floats(f"blk.{layer}.{of}.weight")
                heads = {"q": self.heads, "k": self.kv_heads}.get(name)
                if heads:  # rotary pairs lie side by side in a GGUF, in halves on the hub
                    shape = (heads, self.head_dim // 2, 2, self.hidden)
                    weights = weights.reshape(shape).swapaxes(1, 2).reshape(-1, self.hidden)
                self._matrix(f"{layer}.{name}", weights)
        base = float(self.field("llama.rope.freq_base") or 10_000)
        inverse = base ** -(np.arange(0, self.head_dim, 2) / self.head_dim)
        angles = np.outer(np.arange(self.context), inverse)
        for kind in (np.float32, np.float16):
            self._store(f"cos.{kind.__name__}", np.cos(angles).astype(kind))
            self._store(f"sin.{kind.__name__}", np.sin(angles).astype(kind))

    def _floats(self, name: str) -> NDArray[np.float32]:
        tensor: Any = self._tensors[name]
        flat: Any = gguf.dequantize(tensor.data, tensor.tensor_type)
        return flat.reshape([int(size) for size in reversed(tensor.shape)]).astype(np.float32)

    def _matrix(self, name: str, weights: NDArray[np.float32]) -> None:
        blocks = weights.reshape(len(weights), -1, BLOCK)
        scales = np.maximum(np.abs(blocks).max(axis=-1) / 127, 1e-8).astype(np.float32)
        steps = np.clip(np.rint(blocks / scales[..., None]), -127, 127) + 128
        self._store(f"{name}.q", steps.astype(np.uint8))
        self._store(f"{name}.s", scales)

    def _store(self, name: str, values: NDArray[Any]) -> None:
        self._data.write(b"\0" * (-self._data.tell() % 64))
        kind = make.np_dtype_to_tensor_dtype(values.dtype)
        self.stored[name] = (kind, values.shape, self._data.tell(), values.nbytes)
        self._data.write(np.ascontiguousarray(values).data)
