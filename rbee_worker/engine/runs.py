"""The runs of a step: pieces of prompts, newest tokens of all answers, guesses of one answer."""

import time
from collections.abc import Iterable, Sequence as Items

import numpy as np
from numpy.typing import NDArray

from rbee_worker.engine.drafts import GuessCosts
from rbee_worker.engine.load import Rates
from rbee_worker.engine.rows import Copy, End, Move
from rbee_worker.engine.scheduler import Chunk
from rbee_worker.engine.sequence import Sequence
from rbee_worker.session import Session

Floats = NDArray[np.float32]


class Runs:
    """What is computed on one session, and how fast it was."""

    def __init__(self, session: Session, rates: Rates) -> None:
        self._session, self._rates = session, rates
        self.guess_costs = GuessCosts()

    def move(self, moves: Iterable[Move]) -> None:
        """Copy and swap rows of the cache.

        Raises:
            RbeeError: it could not be done; the rows that were to change hold nothing certain.
        """
        for move in moves:
            if isinstance(move, Copy):
                self._session.copy(move.source, move.target, move.length)
            else:
                self._session.swap(move.one, move.other, move.length)

    def prefill(self, chunk: Chunk) -> Floats:
        """Compute a piece of a prompt; return the last token's logits [1, vocabulary], or none.

        Raises:
            RbeeError: it could not be computed; nothing has changed.
        """
        sequence = chunk.sequence
        tokens = sequence.tokens(chunk.begin, chunk.end)
        begin_s = time.perf_counter()
        logits = self._session.prefill(
            _place(sequence), tokens, chunk.begin, logit_count=int(chunk.samples)
        )
        self._rates.prefilled(len(tokens), time.perf_counter() - begin_s)
        sequence.advance(chunk.end)
        if chunk.samples and sequence.row is not None:
            sequence.row.end = End(chunk.end, logits[0].copy())  # choosing overwrites them
        return logits

    def decode(self, sequences: Items[Sequence], lengths: Items[int]) -> list[Floats]:
        """Compute the newest token of each; return the logits of each, [1, vocabulary].

        Rows between theirs that are not to be computed yet are computed as well: what that writes
        lies behind what they hold.

        Args:
            sequences: at least one.
            lengths: what each row of the cache holds, by place.

        Raises:
            RbeeError: it could not be computed; nothing has changed.
        """
        places = [_place(each) for each in sequences]
        first, last = min(places), max(places)
        tokens = [0] * (last + 1 - first)
        for sequence, place in zip(sequences, places, strict=True):
            tokens[place - first] = sequence.answer[-1]
        begin_s = time.perf_counter()
        logits = self._session.decode(first, tokens, lengths[first : last + 1])
        if len(tokens) == 1:
            self.guess_costs.learn(1, time.perf_counter() - begin_s)
        for sequence in sequences:
            sequence.advance(sequence.computed + 1)
        return [logits[place - first : place - first + 1] for place in places]

    def check(self, sequence: Sequence, guesses: Items[int]) -> Floats:
        """Compute the newest token of an answer and guesses behind it.

        Returns:
            Logits [1 + guesses, vocabulary]. Which of the tokens hold is the caller's to say, by
            `advance`.

        Raises:
            RbeeError: it could not be computed; nothing has changed.
        """
        tokens = [sequence.answer[-1], *guesses]
        begin_s = time.perf_counter()
        logits = self._session.prefill(
            _place(sequence), tokens, sequence.computed, logit_count=len(tokens)
        )
        self.guess_costs.learn(len(tokens), time.perf_counter() - begin_s)
        return logits


def _place(sequence: Sequence) -> int:
    assert sequence.row is not None
    return sequence.row.place
