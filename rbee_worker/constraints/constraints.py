"""The constraints of one model: each is tried, compiled and kept for those who ask again."""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from rbee_worker.constraints.compiling import compiled
from rbee_worker.constraints.constraint import Constraint, grammar_of
from rbee_worker.constraints.limits import GRAMMAR_USES_MAX, GRAMMARS_KEPT_MAX
from rbee_worker.constraints.matcher import Matcher
from rbee_worker.constraints.refusal import refusal_of
from rbee_worker.constraints.trial import Trial
from rbee_worker.constraints.vocabulary import Vocabulary


@dataclass(slots=True)
class _Kept:
    """A grammar that was tried. All copies of its matcher share a lexer, which wears out."""

    grammar: str
    fault: str
    matcher: Any = None
    uses: int = 0

    def wear_out(self) -> None:
        self.matcher = None


class Constraints:
    """Compiles constraints for one model. All of it is blocking, and any thread may call.

    The vocabulary is read with the first constraint: a worker that never sees one pays nothing.
    """

    def __init__(
        self, tokenizer_json: str, *, vocab_size: int, eos_token_ids: Sequence[int]
    ) -> None:
        """Note what to read.

        Args:
            tokenizer_json: the text of the model's `tokenizer.json`.
            vocab_size: of the graph; it may have more tokens than the tokenizer.
            eos_token_ids: those that end an answer.
        """
        self._tokenizer_json = tokenizer_json
        self._vocab_size = vocab_size
        self._ends = tuple(eos_token_ids)
        self._trial = Trial()
        self._vocabulary: Vocabulary | None = None
        self._kept: OrderedDict[Constraint, _Kept] = OrderedDict()
        self._lock = threading.Lock()  # of what is kept
        self._reading = threading.Lock()

    def __enter__(self) -> Self:
        """Begin; nothing is read yet."""
        return self

    def __exit__(self, *_: object) -> None:
        """End, as `close` does."""
        self.close()

    def close(self) -> None:
        """End the process in which constraints are tried."""
        self._trial.close()

    def compile(self, constraint: Constraint) -> Matcher:
        """Return the matcher of a new answer.

        Raises:
            ConstraintMalformedError: it cannot be read.
            ConstraintUnsupportedError: a part of it cannot be kept.
            ConstraintUnsatisfiableError: nothing has this form.
            ConstraintTooComplexError: it is too large, or costs too much.
            TrialUnavailableError: it cannot be tried out.
            VocabularyUnusableError: the model cannot be held to any form.
        """
        vocabulary = self._read()
        kept = self._known(constraint) or self._tried(constraint)
        if kept.fault:
            raise refusal_of(kept.fault)
        found = self._copied(kept) or self._fresh(kept, vocabulary)
        matcher = Matcher(found, vocabulary, on_failure=kept.wear_out)
        matcher.mask()  # so that what allows no token of this model is refused here
        return matcher

    def _read(self) -> Vocabulary:
        with self._reading:
            if self._vocabulary is None:
                self._vocabulary = Vocabulary(
                    self._tokenizer_json, vocab_size=self._vocab_size, eos_token_ids=self._ends
                )
            return self._vocabulary

    def _known(self, constraint: Constraint) -> _Kept | None:
        with self._lock:
            if constraint in self._kept:
                self._kept.move_to_end(constraint)
            return self._kept.get(constraint)

    def _tried(self, constraint: Constraint) -> _Kept:
        grammar = grammar_of(constraint)
        kept = _Kept(grammar, self._trial.fault_of(grammar))
        with self._lock:
            self._kept[constraint] = kept
            if len(self._kept) > GRAMMARS_KEPT_MAX:
                self._kept.popitem(last=False)
        return kept

    def _copied(self, kept: _Kept) -> Any:
        with self._lock:
            if kept.matcher is None or kept.uses >= GRAMMAR_USES_MAX:
                return None
            kept.uses += 1
            return kept.matcher.deep_copy()

    def _fresh(self, kept: _Kept, vocabulary: Vocabulary) -> Any:
        matcher, fault = compiled(vocabulary.tokens, kept.grammar)
        if fault:
            kept.fault = fault
            raise refusal_of(fault)
        with self._lock:
            kept.matcher, kept.uses = matcher, 1
            return matcher.deep_copy()
