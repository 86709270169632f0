"""One answer being written: chosen tokens in, pieces of text out, and why it ends."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from rbee_worker.constraints.matcher import Matcher
from rbee_worker.engine.drafts import Drafts
from rbee_worker.engine.request import (
    Finish,
    FinishReason,
    Logprobs,
    Output,
    TokenLogprob,
)
from rbee_worker.engine.sequence import Sequence
from rbee_worker.sampling.choose import Choice
from rbee_worker.sampling.row import Row
from rbee_worker.text.stop_strings import StopStrings
from rbee_worker.text.token_text import TextStream
from rbee_worker.tools.call_stream import ToolCallStream

Deliver = Callable[[Any], object]  # outputs, vectors, or why there are none


@dataclass(slots=True)
class Asker:
    """Who asked for something: where it goes, and whether anybody still wants it."""

    deliver: Deliver
    is_gone: bool = False


@dataclass(slots=True, eq=False)
class Answer:
    """A sequence with all that turns its tokens into an answer.

    Args:
        asker: who asked.
        sequence: its tokens.
        index: which answer of the request.
        seed: of the request, told in the end.
        row: what its choices depend on.
        text: what its tokens write.
        stop: texts that end it.
        calls: finds calls of tools; None if none are offered.
        matcher: the form it is held to, if any.
        end_ids: tokens that end it.
        token_bytes: what a token writes, for logprobs.
        over: why there is nothing to write, if so: what was begun elsewhere is all of it.
    """

    asker: Asker
    sequence: Sequence
    index: int
    seed: int
    row: Row
    text: TextStream
    stop: StopStrings
    calls: ToolCallStream | None
    matcher: Matcher | None
    end_ids: frozenset[int]
    token_bytes: Callable[[int], bytes]
    drafts: Drafts = field(init=False)
    over: FinishReason | None = field(init=False)

    def __post_init__(self) -> None:
        """Take in what was begun elsewhere.

        Raises:
            RbeeError: it is not of the form that the answer is held to.
        """
        self.drafts = Drafts(self.sequence.prompt)
        for token in self.sequence.answer:
            self._note(token)
            self._written(token)
        self.over = self._reason_of_begun()

    def take(self, choice: Choice, now_s: float) -> bool:
        """Go on by a token and tell what it adds; return whether the answer ended with it.

        Raises:
            RbeeError: the form that it is held to cannot be followed any further.
        """
        token = choice.token
        self.sequence.answer.append(token)
        self.sequence.token_times_s.append(now_s)
        if token in self.end_ids:
            self.finish(FinishReason.STOP, now_s)
            return True
        self._note(token)
        piece = Output(
            self._written(token), (token,), index=self.index, logprobs=self._logprobs(choice)
        )
        if reason := self._reason():
            self.finish(reason, now_s, piece)
            return True
        self.asker.deliver(piece)
        return False

    def finish(self, reason: FinishReason, now_s: float, last: Output | None = None) -> None:
        """Tell the end, with what was held back."""
        text = last.text if last else ""
        if not self.stop.found:
            text += self._through_calls(self.stop.push(self.text.flush()) + self.stop.flush())
        calls = self.calls
        if calls is not None:
            text += calls.flush()
            if calls.calls and reason is FinishReason.STOP:
                reason = FinishReason.TOOL_CALLS
        self.asker.deliver(
            Output(
                text,
                last.token_ids if last else (),
                Finish(
                    reason,
                    self.stop.found,
                    self.sequence.usage(now_s),
                    self.seed,
                    tuple(calls.calls) if calls else (),
                ),
                index=self.index,
                logprobs=last.logprobs if last else (),
            )
        )

    def _reason_of_begun(self) -> FinishReason | None:
        begun = self.sequence.answer
        if not begun:
            return None
        return FinishReason.STOP if begun[-1] in self.end_ids else self._reason()

    def _note(self, token: int) -> None:
        self.row.push(token)
        if self.matcher is not None:
            self.matcher.consume(token)

    def _written(self, token: int) -> str:
        text = self.text.push(token)
        if self.row.answer_token_count < self.row.params.min_tokens:
            return self._through_calls(text)  # no text may end it yet
        return self._through_calls(self.stop.push(text))

    def _through_calls(self, text: str) -> str:
        return text if self.calls is None else self.calls.push(text)

    def _reason(self) -> FinishReason | None:
        is_whole = self.matcher is not None and self.matcher.is_complete
        if self.stop.found or is_whole:
            return FinishReason.STOP
        is_long = len(self.sequence.answer) >= self.sequence.token_count_max
        return FinishReason.LENGTH if is_long else None

    def _logprobs(self, choice: Choice) -> tuple[Logprobs, ...]:
        if choice.logprob is None:
            return ()
        pairs = ((choice.token, choice.logprob), *choice.alternatives)
        chosen, *others = (
            TokenLogprob(token, self.token_bytes(token), logprob) for token, logprob in pairs
        )
        return (Logprobs(chosen, tuple(others)),)
