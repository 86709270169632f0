"""`python -m rbee_worker.convert GGUF FOLDER`: convert a model, telling how far it is."""

import argparse
import sys
from pathlib import Path

from rbee_shared.lifecycle.daemon import run_once
from rbee_shared.lifecycle.parent import end_with_parent
from rbee_shared.narration.line import write_line
from rbee_shared.narration.narrate import add_sink, set_actor
from rbee_worker.convert.convert import convert
from rbee_worker.convert.forms import Precision


def main() -> None:
    """Parse the command line and convert."""
    parser = argparse.ArgumentParser(prog="python -m rbee_worker.convert", description=__doc__)
    parser.add_argument("gguf", type=Path, help="the file to convert")
    parser.add_argument("folder", type=Path, help="a folder that does not exist or is empty")
    parser.add_argument(
        "--weights",
        type=Precision,
        choices=list(Precision),
        default=Precision.INT8,
        help="8-bit integers, the file's very numbers, or 32-bit floats (default: %(default)s)",
    )
    arguments = parser.parse_args()
    set_actor("convert")
    add_sink(write_line)
    end_with_parent()

    def run() -> None:
        convert(arguments.gguf, arguments.folder, arguments.weights)

    sys.exit(run_once(run))


if __name__ == "__main__":
    main()
