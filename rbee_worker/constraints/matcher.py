"""Holding one answer to its form, token by token."""

import time
from collections.abc import Callable
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from rbee_worker.constraints import limits
from rbee_worker.constraints.refusal import (
    ConstraintBrokenError,
    ConstraintTooComplexError,
    ConstraintUnsatisfiableError,
    refusal_of,
)
from rbee_worker.constraints.vocabulary import Vocabulary

FORBIDDEN = "doesn't satisfy the grammar"


class Matcher:
    """The form of one answer, as far as it has come. Used by one thread at a time.

    After an error it is of no more use: the request fails, and the worker goes on.
    """

    def __init__(
        self, matcher: Any, vocabulary: Vocabulary, *, on_failure: Callable[[], None]
    ) -> None:
        """Begin at the beginning; the library's matcher is ours from here on."""
        self._matcher = matcher
        self._vocabulary = vocabulary
        self._on_failure = on_failure
        self._words = np.zeros(vocabulary.word_count, np.int32)
        self._mask = self._words[: len(vocabulary.writable)]
        self._consumed = 0
        self._spent_s = 0.0

    @property
    def is_complete(self) -> bool:
        """Whether nothing may follow but the end of the answer."""
        return bool(self._matcher.is_stopped()) and not self._matcher.is_error()

    def mask(self) -> NDArray[np.int32]:
        """Return which tokens may come next, a bit each, lowest first. Valid until the next call.

        Raises:
            ConstraintTooComplexError: finding out costs too much.
            ConstraintUnsatisfiableError: no token may, and the answer is not complete.
        """
        begun = time.thread_time()
        self._matcher.unsafe_compute_mask_ptr(self._words.ctypes.data, self._words.nbytes)
        self._charge(begun)
        self._check()
        np.bitwise_and(self._mask, self._vocabulary.writable, out=self._mask)
        if not self._mask.any() and not self.is_complete:
            raise ConstraintUnsatisfiableError("the model has no token that the constraint allows")
        return self._mask

    def consume(self, token: int) -> None:
        """Take the token that was chosen.

        Raises:
            ConstraintBrokenError: the mask forbids it.
            ConstraintTooComplexError: going on costs too much.
        """
        assert 0 <= token < self._vocabulary.size
        begun = time.thread_time()
        self._matcher.consume_token(token)
        self._consumed += 1
        self._charge(begun)
        self._check()

    def copy(self) -> Self:
        """Return one for another answer, at the same place."""
        matcher = self._matcher.deep_copy()
        return type(self)(matcher, self._vocabulary, on_failure=self._on_failure)

    def _charge(self, begun_s: float) -> None:
        """Bound what the library's limits do not: they count items, which cost more or less."""
        step_s = time.thread_time() - begun_s
        self._spent_s += step_s
        most_s = limits.STEPS_S_MAX + limits.STEP_MEAN_S_MAX * self._consumed
        if step_s > limits.STEP_S_MAX or self._spent_s > most_s:
            self._on_failure()
            raise ConstraintTooComplexError(
                f"the constraint took {self._spent_s:.2f} s for {self._consumed} tokens"
            )

    def _check(self) -> None:
        if not self._matcher.is_error():
            return
        self._on_failure()
        error = str(self._matcher.get_error())
        if FORBIDDEN in error:
            raise ConstraintBrokenError(f"a token was chosen that {FORBIDDEN}")
        raise refusal_of(error)
