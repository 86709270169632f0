"""How long does it take to list a hundred models: the catalogue alone, and the whole command?

Cold is a catalogue that has read no entry yet, as in a hive that starts; warm is the next time.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

from bench.process import ROOT
from rbee_hive.models.catalog import Catalog
from rbee_hive.models.description import Description
from rbee_hive.models.metadata import ModelFile, StoredModel
from rbee_shared.references.reference import HubReference

FILES = ("model.onnx", "model.onnx.data", "rbee.json", "tokenizer.json")
DESCRIPTION = Description(
    name="A model of the benchmark",
    architecture="llama",
    quantization="int8-block32",
    licence="apache-2.0",
    parameter_count=135_000_000,
    context_length=8_192,
    layers=30,
    kv_heads=3,
    head_dim=64,
    layout="rbee",
    kv_value_bytes=4,
    has_chat_template=True,
)


def fill(catalog: Catalog, count: int) -> None:
    """Put models of small files into a catalogue."""
    for number in range(count):
        reference = HubReference(f"org/model-{number}")
        revision = f"{number:040x}"
        with catalog.staging() as folder:
            built = folder / "model"
            built.mkdir()
            for name in FILES:
                (built / name).write_text(name)
            model = StoredModel(
                folder=catalog.folder_for(reference, revision),
                reference=reference.text,
                alias="",
                source="hf",
                revision=revision,
                source_sha256=f"{number:064x}",
                archive_sha256="",
                converter="int8/2",
                create_time_s=1_760_000_000.0 + number,
                files=tuple(ModelFile(name, len(name), "0" * 64) for name in FILES),
                description=DESCRIPTION,
            )
            catalog.place(built, model)


def milliseconds(call: Callable[[], object], rounds: int) -> str:
    """Call it again and again; return the median and the range."""
    times: list[float] = []
    for _ in range(rounds):
        began = time.perf_counter()
        call()
        times.append((time.perf_counter() - began) * 1000)
    return f"{median(times):8.2f} ms ({min(times):.2f} to {max(times):.2f})"


def rbee(home: Path, models: Path, *arguments: str) -> None:
    """Run the command line to its end."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("RBEE_")},
        "RBEE_HOME": str(home),
        "RBEE_MODELS": str(models),
        "RBEE_QUEEN_LISTEN": "127.0.0.1:0",
    }
    command = [sys.executable, "-m", "rbee_keeper", *arguments]
    subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=15)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        models, home = Path(scratch) / "models", Path(scratch) / "home"
        models.mkdir()
        warm = Catalog(models)
        fill(warm, asked.models)
        assert len(warm.entries()[0]) == asked.models
        lines = {
            "entries, cold": lambda: Catalog(models).entries(),
            "entries, warm": warm.entries,
            "holders, warm": warm.holders,
        }
        for name, call in lines.items():
            print(f"{name:24}{milliseconds(call, asked.rounds)}")
        rbee(home, models, "queen", "start")
        try:
            for words in ("version", "model list", "model list --json"):
                command = partial(rbee, home, models, *words.split())
                print(f"{f'rbee {words}':24}{milliseconds(command, asked.rounds)}")
        finally:
            rbee(home, models, "queen", "stop")


if __name__ == "__main__":
    main()
