"""Converting a large GGUF: seconds, memory and bytes, of a llama with random weights.

The file has the shape of Llama 3.2 1B and is written here, of blocks drawn at random; the converter
is a process of its own, as a hive starts it, and its peak memory is what the kernel says of it.
"""

import argparse
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf as untyped_gguf
import numpy as np
from numpy.typing import NDArray

gguf: Any = untyped_gguf

ROOT = Path(__file__).parents[1]
MEGA = 1e6
ALPHABET = "abcdefghijklmnopqrst"
HALF_BYTES = {"Q8_0": 1, "Q4_0": 1, "Q4_1": 2}  # half floats at the head of a block


@dataclass(frozen=True, slots=True)
class Size:
    """What the file has."""

    layers: int
    hidden: int = 2048
    feed_forward: int = 8192
    heads: int = 32
    kv_heads: int = 8
    head_dim: int = 64
    vocabulary: int = 128_256

    def matrices(self) -> Generator[tuple[str, int, int]]:
        """Yield the name, rows and columns of each matrix."""
        yield "token_embd.weight", self.vocabulary, self.hidden
        query, kv = self.heads * self.head_dim, self.kv_heads * self.head_dim
        for layer in range(self.layers):
            yield f"blk.{layer}.attn_q.weight", query, self.hidden
            yield f"blk.{layer}.attn_k.weight", kv, self.hidden
            yield f"blk.{layer}.attn_v.weight", kv, self.hidden
            yield f"blk.{layer}.attn_output.weight", self.hidden, query
            yield f"blk.{layer}.ffn_gate.weight", self.feed_forward, self.hidden
            yield f"blk.{layer}.ffn_up.weight", self.feed_forward, self.hidden
            yield f"blk.{layer}.ffn_down.weight", self.hidden, self.feed_forward

    def norms(self) -> Generator[str]:
        """Yield the name of each norm."""
        yield "output_norm.weight"
        for layer in range(self.layers):
            yield f"blk.{layer}.attn_norm.weight"
            yield f"blk.{layer}.ffn_norm.weight"


def main() -> None:
    """Write a file for each kind, convert it to each form, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m bench.convert", description=__doc__)
    parser.add_argument("--layers", type=int, default=16)
    parser.add_argument("--kind", nargs="+", default=["Q8_0"], choices=HALF_BYTES)
    parser.add_argument("--weights", nargs="+", default=["int8", "exact", "f32"])
    parser.add_argument("--rounds", type=int, default=1)
    arguments = parser.parse_args()
    print("| file | to | seconds | MB of file/s | peak MB | peak/file | written MB |")
    print("|---|---|---|---|---|---|---|")
    for kind in arguments.kind:
        with written(Size(arguments.layers), kind) as source:
            for weights in arguments.weights:
                for _ in range(arguments.rounds):
                    print(row(source, kind, weights), flush=True)


@contextmanager
def written(size: Size, kind: str) -> Generator[Path]:
    """Have a GGUF of that size for the block.

    It is written by another process: the kernel counts what a parent had in memory as its child's.
    """
    with tempfile.TemporaryDirectory(prefix="rbee-bench-") as folder:
        path = Path(folder) / "large.gguf"
        writer = multiprocessing.get_context("spawn").Process(target=write, args=(size, kind, path))
        writer.start()
        writer.join()
        assert writer.exitcode == 0
        yield path


def write(size: Size, kind: str, path: Path) -> None:
    """Write a GGUF of that size."""
    writer = gguf.GGUFWriter(path, "llama")
    _add_metadata(writer, size)
    random = np.random.default_rng(1)
    type_ = gguf.GGMLQuantizationType[kind]
    for name in size.norms():
        writer.add_tensor(name, np.ones(size.hidden, np.float32))
    for name, rows, columns in size.matrices():
        writer.add_tensor(name, _blocks(random, kind, rows, columns), raw_dtype=type_)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def row(source: Path, kind: str, weights: str) -> str:
    """Convert the file and return a line of the table."""
    with tempfile.TemporaryDirectory(prefix="rbee-bench-") as scratch:
        folder = Path(scratch) / "out"
        command = [sys.executable, "-m", "rbee_worker.convert", str(source), str(folder)]
        begin_s = time.perf_counter()
        child = subprocess.Popen(
            [*command, "--weights", weights], cwd=ROOT, stdout=subprocess.DEVNULL
        )
        _, state, usage = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - begin_s
        child.returncode = os.waitstatus_to_exitcode(state)
        assert child.returncode == 0
        written_mb = sum(each.stat().st_size for each in folder.iterdir()) / MEGA
    file_mb, peak_mb = source.stat().st_size / MEGA, usage.ru_maxrss * 1024 / MEGA
    return (
        f"| {kind}, {file_mb:.0f} MB | {weights} | {seconds:.1f} | {file_mb / seconds:.0f}"
        f" | {peak_mb:.0f} | {peak_mb / file_mb:.2f} | {written_mb:.0f} |"
    )


def _blocks(random: np.random.Generator, kind: str, rows: int, columns: int) -> NDArray[np.uint8]:
    per_block, block_bytes = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[kind]]
    blocks = random.integers(0, 256, (rows, columns // per_block, block_bytes), np.uint8)
    for half in range(HALF_BYTES[kind]):
        # 0.0001 to 0.01: any two bytes could be infinite
        scales = random.uniform(1e-4, 1e-2, blocks.shape[:-1]).astype("<f2")
        blocks[..., 2 * half : 2 * half + 2] = scales[..., None].view(np.uint8)
    return blocks.reshape(rows, -1)


def _add_metadata(writer: Any, size: Size) -> None:
    words = [_word(number) for number in range(size.vocabulary)]
    writer.add_name("Large")
    writer.add_block_count(size.layers)
    writer.add_context_length(131_072)
    writer.add_embedding_length(size.hidden)
    writer.add_feed_forward_length(size.feed_forward)
    writer.add_head_count(size.heads)
    writer.add_head_count_kv(size.kv_heads)
    writer.add_rope_dimension_count(size.head_dim)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(500_000.0)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("llama-bpe")
    writer.add_token_list(words)
    writer.add_token_types([1] * len(words))
    # as many as Llama 3 has, each of two tokens whose joint is one
    writer.add_token_merges([f"{word[:-1]} {word[-1]}" for word in words if len(word) > 1])
    writer.add_eos_token_id(0)


def _word(number: int) -> str:
    letters = ""
    number += 1
    while number:
        number, digit = divmod(number - 1, len(ALPHABET))
        letters = ALPHABET[digit] + letters
    return letters


if __name__ == "__main__":
    main()
