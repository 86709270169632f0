"""What stands in for a hive's child processes, what a store holds, and what it tells."""

import asyncio
import json
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rbee_hive.models.catalog import PARTS_FOLDER
from rbee_hive.models.convert import Convert
from rbee_hive.models.description import FORMAT
from rbee_hive.models.make import Tools
from rbee_shared.narration.context import JOB, JobContext
from rbee_shared.narration.event import Level, Narration


def tools(convert: Convert) -> Tools:
    """Return tools that convert as told, and describe nothing."""
    return Tools(convert, _refuse)


def names(root: Path) -> list[str]:
    """Return what lies in a store's folder, but for the folder of parts if it is empty."""
    parts = root / PARTS_FOLDER
    return sorted(each.name for each in root.iterdir() if each != parts or any(parts.iterdir()))


async def _refuse(folder: Path, *, graph: str, name: str, licence: str) -> None:
    raise AssertionError((folder, graph, name, licence))


DESCRIPTION: dict[str, Any] = {
    "format": FORMAT,
    "name": "Tiny",
    "architecture": "llama",
    "quantization": "int8-block32",
    "licence": "apache-2.0",
    "parameters": 135,
    "context_length": 2_048,
    "layers": 2,
    "kv_heads": 3,
    "head_dim": 64,
    "layout": "rbee",
    "kv_value_bytes": 4,
    "chat_template": None,
}


@dataclass
class Makers:
    """Stand where a hive's child processes stand, write little, and keep what they were asked."""

    conversions: list[str] = field(default_factory=list[str])
    sources: list[str] = field(default_factory=list[str])
    descriptions: list[tuple[str, str, str]] = field(default_factory=list[tuple[str, str, str]])

    @property
    def tools(self) -> Tools:
        """Them, as a store has them."""
        return Tools(self.convert, self.describe)

    async def convert(self, gguf: Path, out: Path, *, weights: str) -> None:
        """Write a model whose weights are the file's bytes and the way to convert them."""
        self.conversions.append(weights)
        self.sources.append(gguf.name)
        data = await asyncio.to_thread(gguf.read_bytes) + f", as {weights}".encode()
        write_files(out, {**ONNX, "model.onnx.data": data, "rbee.json": described()})

    async def describe(self, folder: Path, *, graph: str, name: str, licence: str) -> None:
        """Write the description alone."""
        self.descriptions.append((graph, name, licence))
        write_files(folder, {"rbee.json": described(licence=licence)})


ONNX = {"model.onnx": b"a graph", "tokenizer.json": b"{}"}


def described(**values: object) -> bytes:
    """Return an `rbee.json`."""
    return json.dumps({**DESCRIPTION, **values}).encode()


def write_files(folder: Path, files: Mapping[str, bytes]) -> Path:
    """Write files under a folder and return it."""
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return folder


class Told(list[Narration]):
    """A job's story, kept."""

    def narrate(self, narration: Narration) -> None:
        """Keep it."""
        self.append(narration)

    def complete(self, completion: Any) -> None:
        """Refuse an answer: nothing here gives one."""
        raise AssertionError(completion)

    @property
    def actions(self) -> list[str]:
        """What was told of, each once."""
        return list(dict.fromkeys(each.action for each in self))

    @property
    def warnings(self) -> list[str]:
        """What was told as a warning."""
        return [each.human for each in self if each.level is Level.WARN]


@contextmanager
def telling() -> Generator[Told]:
    """Be a job for the block, and have its story."""
    told = Told()
    token = JOB.set(JobContext("j-1", story=told))
    yield told
    JOB.reset(token)
