"""`python -m rbee_worker.doctor`: look at this machine and write what was found as JSON."""

import json
import os
import sys
from dataclasses import asdict

from rbee_worker.doctor.checks import examine
from rbee_worker.doctor.cuda import read_cuda
from rbee_worker.doctor.facts import Facts
from rbee_worker.doctor.machine import read_machine
from rbee_worker.doctor.runtime import packages_folder, read_runtime, tried


def main() -> None:
    """Read the facts, decide, write."""
    out = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # libraries write where they like
    runtime = read_runtime()
    cuda = read_cuda(packages_folder(), runtime.cuda)
    devices = [] if runtime.error else ["cpu:0"]
    if runtime.has_cuda:
        devices += [f"cuda:{index}" for index in range(len(cuda.cards))]
    facts = Facts(read_machine(), runtime, cuda, tried(devices))
    with out:
        json.dump([asdict(each) for each in examine(facts)], out)


if __name__ == "__main__":
    main()
