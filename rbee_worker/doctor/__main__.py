"""`python -m rbee_worker.doctor`: look at this machine and write what is found, a line a check."""

import sys

from rbee_shared import doctor
from rbee_shared.lifecycle.daemon import run_once
from rbee_shared.lifecycle.parent import end_with_parent
from rbee_worker.doctor.checks import examine, judge
from rbee_worker.doctor.cuda import read_cuda
from rbee_worker.doctor.facts import Facts
from rbee_worker.doctor.machine import read_machine
from rbee_worker.doctor.runtime import packages_folder, read_runtime, tried


def main() -> None:
    """Read the facts, decide, write; try the devices last, since that can end a process."""
    end_with_parent()
    sys.exit(run_once(_look))


def _look() -> None:
    runtime = read_runtime()
    cuda = read_cuda(packages_folder(), runtime.cuda)
    for check in examine(Facts(read_machine(), runtime, cuda)):
        doctor.write(check)
    if runtime.error:
        return
    cards = len(cuda.cards) if runtime.has_cuda else 0
    for device in ("cpu:0", *(f"cuda:{index}" for index in range(cards))):
        doctor.write(judge(device, tried(device)))


if __name__ == "__main__":
    main()
