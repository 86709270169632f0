"""The log-probabilities of an answer as a table on stderr, beside all else that is told."""

import math
from collections.abc import Sequence

from rbee.v1 import inference_pb2
from rbee_keeper import output
from rbee_keeper.output import Column, Row

COLUMNS = (
    Column("TOKEN", "token"),
    Column("LOGPROB", "logprob"),
    Column("SHARE", "share"),
    Column("INSTEAD OF", "others"),
)
ROWS_MAX = 1_000  # of a table for people; `--json` has all


class LogprobTable:
    """What was chosen, how likely it was, and what else could have come."""

    def __init__(self) -> None:
        self._rows: list[Row] = []
        self._count = 0

    def take(self, completion: inference_pb2.Completion) -> None:
        """Note the tokens of a piece of an answer."""
        self._count += len(completion.logprobs)
        room = ROWS_MAX - len(self._rows)
        self._rows += [row_of(each) for each in completion.logprobs[:room]]

    def show(self) -> None:
        """Print the table, once; nothing if no log-probability was told."""
        if not self._rows:
            return
        output.show_table(COLUMNS, self._rows, as_json=False, aside=True)
        if self._count > len(self._rows):
            output.say(f"and {self._count - len(self._rows)} tokens more; `--json` has all")
        self._rows = []


def row_of(logprobs: inference_pb2.Logprobs) -> Row:
    """Return a row of the table: texts are quoted, for a space is a token too."""
    chosen = logprobs.chosen
    others: Sequence[inference_pb2.TokenLogprob] = [
        each for each in logprobs.alternatives if each.token_id != chosen.token_id
    ]
    return {
        "token": _quoted(chosen.text),
        "logprob": f"{chosen.logprob:.3f}",
        "share": _share(chosen.logprob),
        "others": ", ".join(f"{_quoted(each.text)} {_share(each.logprob)}" for each in others),
    }


def _quoted(text: bytes) -> str:
    return repr(text.decode(errors="backslashreplace"))


def _share(logprob: float) -> str:
    return f"{100 * math.exp(min(0.0, logprob)):.1f} %"
