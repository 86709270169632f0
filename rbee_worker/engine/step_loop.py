"""The engine's thread: it alone touches the model. Commands in, pieces of answers out.

One turn: take commands, let go who left, give rows, compute a step, choose, deliver. It blocks on
the command queue when there is nothing to do. What goes wrong with one answer ends that answer.
"""

import logging
import queue
import time
from collections.abc import Callable, Generator, Sequence as Items
from contextlib import suppress
from dataclasses import dataclass

from rbee_shared.errors import RbeeError, UnavailableError
from rbee_worker.compute_error import compute_error
from rbee_worker.engine.answer import Answer, Asker
from rbee_worker.engine.load import Load, Rates
from rbee_worker.engine.request import FinishReason
from rbee_worker.engine.rows import Move
from rbee_worker.engine.runs import Floats, Runs
from rbee_worker.engine.scheduler import WAITING_MAX, Chunk, QueueFullError, Scheduler
from rbee_worker.engine.sequence import Sequence
from rbee_worker.sampling.choose import Choice, choose
from rbee_worker.session import Session

COMMANDS_MAX = 1_024
FAULTS = (RbeeError, MemoryError)  # what may go wrong with one answer


class EngineDeadError(UnavailableError):
    """The engine's thread has ended; the worker cannot answer any more."""

    reason = "ENGINE_DEAD"
    hint = "run it again: the hive starts a new worker"


@dataclass(frozen=True, slots=True)
class Ask:
    """The command to write some answers, all of one request."""

    answers: tuple[Answer, ...]


@dataclass(frozen=True, slots=True)
class Embed:
    """The command to turn texts into vectors."""

    texts: Items[Items[int]]
    asker: Asker


@dataclass(frozen=True, slots=True)
class Stop:
    """The command that ends the thread."""


Command = Ask | Embed | Stop


class StepLoop:
    """The loop; `run` is the thread's body.

    Args:
        session: the model.
        flush: hands over what was told; called once in each turn, or more often.
        guesses: whether the next tokens may be guessed, where that pays and changes nothing.
    """

    def __init__(
        self, session: Session, *, flush: Callable[[], object], guesses: bool = True
    ) -> None:
        self.load = Load()
        self.is_dead = False
        self.commands: queue.Queue[Command] = queue.Queue(maxsize=COMMANDS_MAX)
        self._session = session
        self._flush = flush
        self._guesses = guesses and session.is_exact
        self._rates = Rates()
        self._runs = Runs(session, self._rates)
        self._scheduler = Scheduler(session.slots)
        self._answers: dict[Sequence, Answer] = {}
        self._embeds: list[Embed] = []
        self._embedding: Generator[None, None, Floats] | None = None

    def run(self) -> None:
        """Work until told to stop; whatever ends it, everybody who asked gets an end."""
        try:
            while self._take_commands():
                self._turn()
                self._hand_over()
        finally:
            self.is_dead = True
            self._end_all(EngineDeadError("the engine has stopped"))
            self._hand_over()

    def _end_all(self, why: RbeeError) -> None:
        """Tell everybody, and touch neither rows nor model: they may be why it ends."""
        delivers = [each.asker.deliver for each in self._answers.values()]
        delivers += [each.asker.deliver for each in self._embeds]
        with suppress(queue.Empty):
            while True:
                match self.commands.get_nowait():
                    case Ask(answers):
                        delivers += [each.asker.deliver for each in answers]
                    case Embed() as embed:
                        delivers.append(embed.asker.deliver)
                    case Stop():
                        pass
        for deliver in delivers:
            deliver(why)
        self._answers, self._embeds = {}, []
        self._scheduler = Scheduler(self._session.slots)  # nothing runs any more

    def _turn(self) -> None:
        for answer in [each for each in self._answers.values() if each.asker.is_gone]:
            self._leave(answer)
            answer.finish(FinishReason.CANCELLED, time.monotonic())
        self._admit()
        if self._embeds:
            self._embed(self._embeds[0])
        step = self._scheduler.schedule(self._rates.prefill_tokens_per_s)
        if step is None:
            return
        if step.decode:
            self._write([self._answers[each] for each in step.decode], may_guess=step.chunk is None)
            self._hand_over()
        if step.chunk is not None:
            self._read(step.chunk)

    def _take_commands(self) -> bool:
        idle = not self._answers and not self._embeds
        while True:
            try:
                command = self.commands.get(block=idle)
            except queue.Empty:
                return True
            idle = False
            match command:
                case Stop():
                    return False
                case Ask(answers):
                    self._add(answers)
                case Embed(_, asker) if len(self._embeds) >= WAITING_MAX:
                    asker.deliver(QueueFullError(len(self._embeds)))
                case Embed():
                    self._embeds.append(command)

    def _add(self, answers: Items[Answer]) -> None:
        try:
            self._scheduler.add(each.sequence for each in answers if each.over is None)
        except RbeeError as error:
            answers[0].asker.deliver(error)
            return
        for answer in answers:
            if answer.over is not None:
                answer.finish(answer.over, time.monotonic())
            else:
                self._answers[answer.sequence] = answer

    def _admit(self) -> None:
        while (admitted := self._scheduler.admit()) is not None:
            sequence, placement = admitted
            sequence.begun_s = time.monotonic()
            self._move(placement.moves)
            if sequence.uncomputed == 0 and placement.row.end is not None:
                self._choose([self._answers[sequence]], [placement.row.end.logits[None].copy()])
                self._hand_over()

    def _read(self, chunk: Chunk) -> None:
        if chunk.sequence.computed != chunk.begin:  # its row was lost since
            return
        answer = self._answers[chunk.sequence]
        try:
            logits = self._runs.prefill(chunk)
        except FAULTS as error:
            self._fail(answer, error)
            return
        if chunk.samples:
            self._choose([answer], [logits])

    def _write(self, answers: list[Answer], *, may_guess: bool) -> None:
        if len(answers) == 1 and may_guess and self._guesses and self._write_guessed(answers[0]):
            return
        lengths = self._scheduler.rows.lengths
        try:
            logits = self._runs.decode([each.sequence for each in answers], lengths)
        except FAULTS as error:
            if len(answers) == 1:
                self._fail(answers[0], error)
                return
            for answer in answers:  # perhaps there is room for each alone
                if answer.sequence.decodes:  # else its row was lost since
                    self._write([answer], may_guess=False)
            return
        self._choose(answers, logits)

    def _write_guessed(self, answer: Answer) -> bool:
        sequence, drafts = answer.sequence, answer.drafts
        room = sequence.token_count_max - len(sequence.answer) - 1  # its end fits in the row
        count = min(room, self._runs.guess_costs.best_count(drafts.hit_rate))
        guesses = drafts.guess(sequence.answer, max(1, count))  # what is not tried is learned from
        if count < 1 or not guesses:
            return False
        try:
            logits = self._runs.check(sequence, guesses)
        except FAULTS:  # a run over one token needs less
            return False
        for place in range(len(guesses) + 1):
            is_over = not self._choose([answer], [logits[place : place + 1]])
            if is_over or place == len(guesses) or sequence.answer[-1] != guesses[place]:
                break
        if sequence in self._answers:
            sequence.advance(sequence.length - 1)
        return True

    def _choose(self, answers: Items[Answer], logits: Items[Floats]) -> bool:
        """Choose and tell the next token of each; return whether the first goes on.

        Args:
            answers: at least one.
            logits: [1, vocabulary] of each; overwritten.
        """
        choices = [_choice(*each) for each in zip(answers, logits, strict=True)]
        now_s = time.monotonic()
        for answer, choice in zip(answers, choices, strict=True):
            self._take(answer, choice, now_s)
        self._rates.wrote(len(answers), now_s)
        return answers[0].sequence in self._answers

    def _take(self, answer: Answer, choice: Choice | Exception, now_s: float) -> None:
        if isinstance(choice, Exception):
            self._fail(answer, choice)
            return
        self.load.token_count += 1
        try:
            if answer.take(choice, now_s):
                self._leave(answer)
        except FAULTS as error:
            self._fail(answer, error)

    def _embed(self, embed: Embed) -> None:
        """Compute one run of the texts whose turn it is."""
        if self._embedding is None:
            self._embedding = self._session.embedding(embed.texts)
        deliver = embed.asker.deliver
        try:
            if not embed.asker.is_gone:
                next(self._embedding)
                return
        except StopIteration as end:
            deliver(end.value)
        except FAULTS as error:
            deliver(_said(error))
        self._embeds.pop(0)
        self._embedding = None

    def _fail(self, answer: Answer, error: Exception) -> None:
        self._leave(answer, keeps=False)
        answer.asker.deliver(_said(error))
        answer.asker.is_gone = True  # its other answers are of no use to anybody

    def _leave(self, answer: Answer, *, keeps: bool = True) -> None:
        self._answers.pop(answer.sequence, None)
        self._move(self._scheduler.remove(answer.sequence, keeps=keeps))

    def _move(self, moves: tuple[Move, ...]) -> None:
        try:
            self._runs.move(moves)
        except RbeeError as error:  # it is nobody's fault: nobody fails
            logging.warning(
                "rows of the cache could not be moved, they are computed again: %s", error
            )
            self._scheduler.lose(moves)

    def _hand_over(self) -> None:
        """Let others see what was done: its load first, which who reads an end may look at."""
        running = self._scheduler.running
        if not running:
            self._rates.rest()
        self.load.running = len(running)
        self.load.waiting = self._scheduler.waiting
        held = sum(each.computed for each in running)
        self.load.cache_usage = held / (self._session.slots * self._session.max_len)
        self.load.tokens_per_second = self._rates.tokens_per_s
        self._flush()


def _choice(answer: Answer, logits: Floats) -> Choice | Exception:
    """Return the next token of an answer, or why there is none: the others have theirs."""
    try:
        mask = None if answer.matcher is None else answer.matcher.mask()
        return choose([answer.row], logits, [mask])[0]
    except FAULTS as error:
        return error


def _said(error: Exception) -> RbeeError:
    return error if isinstance(error, RbeeError) else compute_error(error)
