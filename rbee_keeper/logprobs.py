"""The log-probabilities of an answer as a table on stderr, beside all else that is told."""

import math
from collections.abc import Sequence

from rbee.v1 import inference_pb2
from rbee_keeper import output
from rbee_keeper.output import Column, Row

ANSWER = Column("ANSWER", "answer")
COLUMNS = (
    Column("TOKEN", "token"),
    Column("LOGPROB", "logprob"),
    Column("SHARE", "share"),
    Column("INSTEAD OF", "others"),
)
ROWS_MAX = 1_000  # of a table for people; `--json` has all


class LogprobTable:
    """What was chosen, how likely it was, and what else could have come.

    Several answers come token by token in turn, and are shown one after the other.
    """

    def __init__(self) -> None:
        self._rows: list[tuple[int, Row]] = []
        self._count = 0

    def take(self, completion: inference_pb2.Completion) -> None:
        """Note the tokens of a piece of an answer."""
        self._count += len(completion.logprobs)
        room = ROWS_MAX - len(self._rows)
        self._rows += [(completion.index, row_of(each)) for each in completion.logprobs[:room]]

    def show(self) -> None:
        """Print the table, once; nothing if no log-probability was told."""
        if not self._rows:
            return
        in_turn = sorted(self._rows, key=lambda row: row[0])
        rows = [{"answer": index + 1, **row} for index, row in in_turn]
        columns = (ANSWER, *COLUMNS) if in_turn[-1][0] else COLUMNS
        output.show_table(columns, rows, as_json=False, aside=True)
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
