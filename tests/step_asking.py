"""Asking a step loop without an engine, hearing what comes, and what must come: computed alone."""

import ctypes
from collections.abc import Callable, Sequence as Items
from dataclasses import dataclass, field
from functools import cache
from typing import Any, cast

import tokenizers as untyped_tokenizers
from tokenizers import decoders, models

from rbee_shared.errors import RbeeError
from rbee_worker.constraints.matcher import FORBIDDEN, Matcher
from rbee_worker.constraints.vocabulary import Vocabulary
from rbee_worker.engine.answer import Answer, Asker
from rbee_worker.engine.request import Finish, FinishReason, Output, Priority
from rbee_worker.engine.scheduler import QueueFullError
from rbee_worker.engine.sequence import Sequence
from rbee_worker.engine.step_loop import Ask, StepLoop, Stop
from rbee_worker.sampling.choose import Choice, choose
from rbee_worker.sampling.params import SamplingParams
from rbee_worker.sampling.row import Row
from rbee_worker.text.stop_strings import StopStrings
from rbee_worker.text.token_text import TextStream, TokenText
from tests.scripted_session import END, VOCAB_SIZE, ScriptedSession, logits_after

library: Any = untyped_tokenizers
_models, _decoders = cast("Any", models), cast("Any", decoders)

WRITTEN = ["!", "<0xC3>", "<0xA9>", *"abcdefghijklmnopqrstuvwxyz ,."]
ENDS = frozenset([END])


@cache
def _tokenizer() -> Any:
    numbers = {text: number for number, text in enumerate(WRITTEN)}
    tokenizer = library.Tokenizer(_models.BPE(numbers, []))
    tokenizer.decoder = _decoders.ByteFallback()
    return tokenizer


@cache
def token_text() -> TokenText:
    """Return what the tokens write: letters, and two halves of one."""
    return TokenText(_tokenizer())


@cache
def _vocabulary() -> Vocabulary:
    return Vocabulary(_tokenizer().to_str(), vocab_size=VOCAB_SIZE, eos_token_ids=[END])


@dataclass(slots=True)
class Grammar:
    """A library's matcher that allows everything until it breaks: at a mask, or at a token."""

    mask_max: int
    token_max: int
    fault: type[Exception] | None = None  # which it raises then, if it has no better words
    masks: int = 0
    tokens: int = 0

    def unsafe_compute_mask_ptr(self, pointer: int, size_bytes: int) -> None:
        """Allow all."""
        ctypes.memset(pointer, 0xFF, size_bytes)
        self.masks += 1
        if self.fault is not None and self.is_error():
            raise self.fault

    def consume_token(self, _: int) -> None:
        """Count a token."""
        self.tokens += 1

    def is_stopped(self) -> bool:
        """Tell that more may follow."""
        return False

    def is_error(self) -> bool:
        """Tell whether it is broken."""
        return self.masks > self.mask_max or self.tokens > self.token_max

    def get_error(self) -> str:
        """Tell why."""
        return FORBIDDEN


@dataclass(slots=True, kw_only=True)
class Request:
    """What is asked for, and all that was heard of each of its answers."""

    prompt: list[int]
    params: SamplingParams
    max_len: int
    begun: list[int] = field(default_factory=list[int])
    priority: Priority = Priority.INTERACTIVE
    breaks: tuple[int, int] | None = None  # the masks and the tokens that its form allows
    fault: type[Exception] | None = None
    tokens: list[list[int]] = field(init=False)
    texts: list[str] = field(init=False)
    ends: list[Finish | None] = field(init=False)
    errors: list[RbeeError] = field(default_factory=list[RbeeError])
    asker: Asker = field(init=False)

    def __post_init__(self) -> None:
        """Hear nothing yet."""
        count = self.params.n
        self.tokens = [[] for _ in range(count)]
        self.texts, self.ends = [""] * count, [None] * count
        self.asker = Asker(self.hear)

    @property
    def room(self) -> int:
        """Tokens of an answer, at most."""
        room = self.max_len - len(self.prompt)
        return min(room, self.params.max_tokens or room)

    @property
    def open_count(self) -> int:
        """How many answers did not end yet."""
        return 0 if self.is_refused else self.ends.count(None) - len(self.errors)

    @property
    def is_refused(self) -> bool:
        """Whether there was no place for it; then that is said once for all answers."""
        return any(isinstance(each, QueueFullError) for each in self.errors)

    def ask(self) -> Ask:
        """Return the command."""
        return Ask(tuple(self._answer(index) for index in range(self.params.n)))

    def hear(self, said: Output | RbeeError) -> None:
        """Take in what is delivered, and insist that an answer that ended is heard of no more."""
        if isinstance(said, RbeeError):
            self.errors.append(said)
            assert self.open_count >= 0
            return
        assert self.ends[said.index] is None
        self.tokens[said.index] += said.token_ids
        self.texts[said.index] += said.text
        self.ends[said.index] = said.finish

    def _answer(self, index: int) -> Answer:
        grammar = None if self.breaks is None else Grammar(*self.breaks, self.fault)
        return Answer(
            asker=self.asker,
            sequence=Sequence(
                prompt=self.prompt,
                token_count_max=self.room,
                arrived_s=0.0,
                priority=self.priority,
                answer=list(self.begun),
            ),
            index=index,
            seed=0,
            row=row_of(self, index),
            text=TextStream(token_text(), is_start=True),
            stop=StopStrings(self.params.stop),
            calls=None,
            matcher=grammar and Matcher(grammar, _vocabulary(), on_failure=lambda: None),
            end_ids=frozenset() if self.params.ignore_eos else ENDS,
            token_bytes=token_text().written,
        )


def row_of(request: Request, index: int) -> Row:
    """Return what the choices of an answer depend on."""
    return Row(
        request.params,
        seed=request.params.seed or 0,
        vocab_size=VOCAB_SIZE,
        prompt=request.prompt,
        eos_token_ids=ENDS,
        index=index,
    )


class Stage:
    """A step loop in this thread. What it hands over is seen, and who asked ends it."""

    def __init__(
        self,
        session: ScriptedSession,
        *,
        guesses: bool = False,
        seen: Callable[[], object] = lambda: None,
    ) -> None:
        """Begin with nothing to do.

        Args:
            session: the model.
            guesses: whether tokens may be guessed.
            seen: called whenever something was handed over.
        """
        self.loop = StepLoop(session, flush=self._flush, guesses=guesses)
        self._seen = seen
        self._asked: list[Request] = []

    def put(self, *requests: Request) -> None:
        """Ask."""
        self._asked += requests
        for request in requests:
            self.loop.commands.put_nowait(request.ask())

    def play(self, *requests: Request) -> None:
        """Ask, and return when all have ended."""
        self.put(*requests)
        self.loop.run()

    def _flush(self) -> None:
        self._seen()
        if not any(each.open_count for each in self._asked):
            self.loop.commands.put_nowait(Stop())


@dataclass(frozen=True, slots=True)
class Expected:
    """What an answer must be: its tokens and its text without what was begun, and its end."""

    tokens: list[int]
    text: str
    reason: FinishReason
    stop: str
    completion_tokens: int


def alone(request: Request, index: int) -> Expected:
    """Compute an answer by itself, from its begin in every step."""
    row = row_of(request, index)
    said: list[int] = []
    for token in request.begun:
        row.push(token)
        said.append(token)
    told = text_of(said, request.params.stop, is_over=False)[0]
    while (end := _end(request, said)) is None:
        logits = logits_after(request.prompt + said)[None].copy()
        (choice,) = choose([row], logits, [None])
        assert isinstance(choice, Choice)
        if choice.token == END and not request.params.ignore_eos:
            end = FinishReason.STOP, 1
            break
        row.push(choice.token)
        said.append(choice.token)
    text, stop = text_of(said, request.params.stop, is_over=True)
    count = len(said) + end[1]
    return Expected(said[len(request.begun) :], text[len(told) :], end[0], stop, count)


def _end(request: Request, said: Items[int]) -> tuple[FinishReason, int] | None:
    if text_of(said, request.params.stop, is_over=False)[1]:
        return FinishReason.STOP, 0
    return (FinishReason.LENGTH, 0) if len(said) >= request.room else None


def text_of(tokens: Items[int], stops: Items[str], *, is_over: bool) -> tuple[str, str]:
    """Return the text that may be told of these tokens, and the stop string that ends it."""
    raw = b"".join(token_text().written(token) for token in tokens)
    whole = raw.decode(errors="replace")
    if not is_over and raw.endswith(b"\xc3"):
        whole = whole[:-1]  # half a letter is not told
    for end in range(len(whole) + 1):
        if found := [each for each in stops if whole[:end].endswith(each)]:
            stop = max(found, key=len)
            return whole[: end - len(stop)], stop
    if is_over:
        return whole, ""
    held = max(
        (size for each in stops for size in range(1, len(each)) if whole.endswith(each[:size])),
        default=0,
    )
    return whole[: len(whole) - held], ""
