"""`python -m bench.engine`: rbee's engine beside llama.cpp on the same file, with the goals.

Each engine is a process of its own, with the same threads; they take turns case by case and never
run at once.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from bench.engine import model
from bench.engine.cases import FAST, PREFILL, RBEE, SAME, chosen
from bench.engine.child import Child, started
from bench.engine.measured import Measured, measure
from bench.engine.table import alone, compared, values
from bench.engine.texts import Texts
from rbee_worker.description import ModelDescription

BASELINES = {"llama-cpp-python": "llama_cpp", "xllamacpp": "xllamacpp"}  # the faster one first
LOOK = "import importlib.util, sys; sys.exit(importlib.util.find_spec(sys.argv[1]) is None)"
DRAFTER = "xllamacpp"
ROUNDS, ROUNDS_QUICK = 5, 1
TRIES = 3


def main() -> None:
    """Find the model and the engines, measure, and print."""
    asked = _parsed()
    baseline = asked.baseline or _baseline(asked.baseline_python)
    if asked.baseline_drafts and baseline != DRAFTER:
        sys.exit(f"error: `--baseline-drafts` is for `--baseline {DRAFTER}`")
    source = model.found(asked.gguf)
    folder, fast = model.converted(source, asked.weights), model.fastest(source)
    description = ModelDescription.read(folder)
    reads = {
        RBEE: model.read_of_graph(folder),
        SAME: model.read_of_file(source, description),
        FAST: model.read_of_file(fast, description),
    }
    begin_load = os.getloadavg()
    threads = str(asked.threads)
    module = f"bench.engine.{'llama_server' if baseline == DRAFTER else 'llama_cpp_python'}"
    drafts = ["--drafts"] if asked.baseline_drafts else []
    with contextlib.ExitStack() as stack:

        def engine(name: str, python: str, *arguments: str | Path) -> Child:
            return stack.enter_context(started(name, python, *map(str, arguments)))

        engines = [
            engine(RBEE, sys.executable, "bench.engine.rbee_engine", folder, threads),
            engine(SAME, asked.baseline_python, module, source, threads, *drafts),
            engine(FAST, asked.baseline_python, module, fast, threads, *drafts),
        ]
        found = measure(
            engines,
            Texts.of(folder),
            chosen(is_quick=asked.quick, only=asked.only),
            reads,
            rounds=asked.rounds or (ROUNDS_QUICK if asked.quick else ROUNDS),
            threads=asked.threads,
            has_prefill=asked.only in PREFILL,
            tries=1 if asked.quick else asked.tries,
        )
    facts = {
        "model": f"{source.name}, {asked.weights} weights for rbee",
        "threads": asked.threads,
        "load average": " ".join(f"{each:.1f}" for each in (*begin_load, *found.loads)),
        **{each.name: each.about for each in engines},
    }
    _print(facts, found, as_json=asked.json)


def _parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.engine", description=__doc__)
    parser.add_argument("--gguf", type=Path, help="the model (default: SmolLM2-135M, by pip)")
    parser.add_argument("--weights", choices=["int8", "exact"], default="int8", help="rbee's")
    parser.add_argument("--rounds", type=int, help=f"default: {ROUNDS}")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--baseline", choices=BASELINES, help="default: the first that is there")
    parser.add_argument("--baseline-python", default=sys.executable, help="the Python that has it")
    parser.add_argument(
        "--baseline-drafts", action="store_true", help="have llama.cpp draft too, by n-grams"
    )
    parser.add_argument("--only", default="", metavar="TEXT", help="cases with this in their name")
    parser.add_argument(
        "--tries", type=int, default=TRIES, help="of a case that other work disturbs (%(default)s)"
    )
    parser.add_argument("--quick", action="store_true", help="few cases, one round, short answers")
    parser.add_argument("--json", action="store_true", help="every figure of every round")
    return parser.parse_args()


def _baseline(python: str) -> str:
    for name, module in BASELINES.items():
        if subprocess.run([python, "-c", LOOK, module], check=False).returncode == 0:
            return name
    sys.exit(f"error: {python} has neither of {', '.join(BASELINES)}")


def _print(facts: Mapping[str, object], found: Measured, *, as_json: bool) -> None:
    rows, others = found.rows(), found.alone()
    if as_json:
        report: dict[str, object] = {
            **facts,
            "notes": sorted(found.notes),
            "rows": values([*rows, *others]),
        }
        print(json.dumps(report, indent=1))
        return
    for name, value in facts.items():
        print(f"- {name}: {value}")
    print("", *compared(rows), "", *alone(others), sep="\n")
    for note in sorted(found.notes):
        print(f"- {note}")


if __name__ == "__main__":
    main()
