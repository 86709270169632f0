"""`python -m rbee_worker.describe FOLDER`: write `rbee.json` for a model in a layout of the hub."""

import argparse
import sys
from pathlib import Path

from rbee_shared.lifecycle.daemon import run_once
from rbee_shared.lifecycle.parent import end_with_parent
from rbee_shared.narration.line import write_line
from rbee_shared.narration.narrate import add_sink, set_actor
from rbee_worker.describe.describe import describe


def main() -> None:
    """Parse the command line and describe."""
    parser = argparse.ArgumentParser(prog="python -m rbee_worker.describe", description=__doc__)
    parser.add_argument("folder", type=Path, help="a folder with the model's files")
    parser.add_argument("--graph", help="path of the graph in it, if it has several")
    parser.add_argument("--name", default="", help="what people call the model")
    parser.add_argument("--licence", default="", help="its identifier")
    parser.add_argument("--source", default="", help="where it is from")
    arguments = parser.parse_args()
    set_actor("describe")
    add_sink(write_line)
    end_with_parent()

    def run() -> None:
        describe(
            arguments.folder,
            graph=arguments.graph,
            name=arguments.name,
            licence=arguments.licence,
            source=arguments.source,
        )

    sys.exit(run_once(run))


if __name__ == "__main__":
    main()
