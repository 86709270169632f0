"""llama.cpp beside the tests: what the program that GGUF files are made for makes of them."""

import json
import subprocess
import sys
from collections.abc import Generator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

IS_HERE = find_spec("xllamacpp") is not None  # no wheel for every system
ROOT = Path(__file__).parents[1]
DEADLINE_S = 20
CONTEXT = 32  # tokens of a text need none
SCHEME = "http://"

needs_llama_cpp = pytest.mark.skipif(not IS_HERE, reason="there is no llama.cpp for this system")


@dataclass(frozen=True, slots=True)
class LlamaCpp:
    """One GGUF, opened by llama.cpp in a process of its own."""

    connection: HTTPConnection

    def tokens(self, text: str, *, plain: bool = False, begun: bool = False) -> list[int]:
        """Return the tokens of a text.

        Args:
            text: whatever it is.
            plain: whether control tokens in it are only text.
            begun: whether it gets the token of beginning, if the model has it so.
        """
        asked = {"content": text, "parse_special": not plain, "add_special": begun}
        return self._asked("/tokenize", asked)["tokens"]

    def likeliest(self, tokens: Sequence[int], count: int) -> list[tuple[int, float]]:
        """Return the likeliest tokens to follow and the logarithms of their probabilities.

        Args:
            tokens: at least one, and fewer than the context holds.
            count: how many of them, at most the whole vocabulary.
        """
        forced = [[self.tokens("a")[0], 1_000]]  # what is half a character has no answer
        asked = {"prompt": list(tokens), "n_predict": 1, "n_probs": count, "logit_bias": forced}
        (place,) = self._asked("/completion", asked)["completion_probabilities"]
        return [(each["id"], each["logprob"]) for each in place["top_logprobs"]]

    def _asked(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        kind = {"Content-Type": "application/json"}
        self.connection.request("POST", path, json.dumps(body), kind)
        with self.connection.getresponse() as answer:
            return json.load(answer)


@contextmanager
def llama_cpp(gguf: Path, *, context: int = CONTEXT) -> Generator[LlamaCpp]:
    """Open a GGUF for the block.

    Args:
        gguf: the file.
        context: tokens that may follow each other, when it is asked for more than tokens.
    """
    with subprocess.Popen(
        [sys.executable, "-m", "tests.llama_cpp", str(gguf), str(context)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            said = (line.strip() for line in process.stdout)
            address = next(line for line in said if line.startswith(SCHEME)).removeprefix(SCHEME)
            with closing(HTTPConnection(address, timeout=DEADLINE_S)) as connection:
                yield LlamaCpp(connection)
        finally:
            process.stdin.close()  # it ends with its standard input
            process.wait(DEADLINE_S)


def _serve(gguf: str, context: int) -> None:
    xllamacpp: Any = import_module("xllamacpp")
    params: Any = xllamacpp.CommonParams()
    params.model.path = gguf
    params.port = 0
    params.n_ctx = context
    params.n_batch = params.n_ubatch = CONTEXT
    params.n_parallel = params.cpuparams.n_threads = 1
    params.warmup = params.fit_params = False
    params.verbosity = -1
    server: Any = xllamacpp.Server(params)
    sys.stdout.write(f"{server.listening_address}\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    _serve(sys.argv[1], int(sys.argv[2]))
