"""`python -m tests.hub FOLDER`: a hub in a process of its own, until its standard input ends.

Its first line is the address, for HF_ENDPOINT. Faults come over HTTP, see `handlers.py`.
"""

import argparse
import sys
from pathlib import Path

from tests.hub.serve import serving_hub


def main() -> None:
    """Serve what the command line names."""
    parser = argparse.ArgumentParser(prog="python -m tests.hub", description=__doc__)
    parser.add_argument("folder", type=Path, help="has org/name/files")
    parser.add_argument("--port", type=int, default=0)
    asked = parser.parse_args()
    with serving_hub(asked.folder, port=asked.port) as hub:
        sys.stdout.write(f"{hub.endpoint}\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    main()
