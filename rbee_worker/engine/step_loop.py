"""The engine's thread: it alone touches the model. Commands in, pieces of answers out.

One turn: take commands, schedule, compute, choose, deliver. It blocks on the command queue when
there is nothing to do. What goes wrong with one sequence ends that sequence.
"""

import queue
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from rbee_shared.errors import RbeeError, UnavailableError
from rbee_worker.engine.request import Finish, FinishReason, Output
from rbee_worker.engine.scheduler import Scheduler, Step
from rbee_worker.engine.sequence import Sequence
from rbee_worker.sampling.sampler import sample, uniform
from rbee_worker.session import Session
from rbee_worker.text.stop_strings import StopStrings
from rbee_worker.text.tokenizer import TextStream

COMMANDS_MAX = 1_024
RATE_SMOOTHING = 0.1

Deliver = Callable[[Output | RbeeError], object]


class EngineDeadError(UnavailableError):
    """The engine's thread has ended; the worker cannot answer any more."""

    reason = "ENGINE_DEAD"
    hint = "run it again: the hive starts a new worker"


@dataclass(slots=True, eq=False)
class Task:
    """A sequence with what turns its tokens into an answer, and where that goes."""

    sequence: Sequence
    text: TextStream
    stop: StopStrings
    deliver: Deliver
    is_cancelled: bool = False


@dataclass(slots=True)
class Load:
    """What the engine is doing. Written by its thread, read by others."""

    running: int = 0
    waiting: int = 0
    token_count: int = 0
    tokens_per_second: float = 0.0
    cache_usage: float = 0.0


@dataclass(slots=True)
class _Stop:
    """The command that ends the thread."""


@dataclass(slots=True)
class StepLoop:
    """The loop; `run` is the thread's body."""

    session: Session
    eos_token_ids: frozenset[int]
    load: Load = field(default_factory=Load)
    scheduler: Scheduler = field(default_factory=Scheduler)
    commands: "queue.Queue[Task | _Stop]" = field(
        default_factory=lambda: queue.Queue(maxsize=COMMANDS_MAX)
    )
    tasks: dict[Sequence, Task] = field(default_factory=dict[Sequence, Task])

    def stop(self) -> None:
        """Ask the thread to end; sequences that are left fail."""
        self.commands.put(_Stop())

    def run(self) -> None:
        """Work until told to stop; whatever ends it, every sequence gets its end."""
        try:
            while self._take_commands():
                self._drop_cancelled()
                step = self.scheduler.schedule()
                self._tell_load(step)
                if step is not None:
                    self._do(step)
        finally:
            for task in list(self.tasks.values()):
                self._fail(task, EngineDeadError("the engine has stopped"))

    def _take_commands(self) -> bool:
        idle = not self.tasks
        while True:
            try:
                command = self.commands.get(block=idle)
            except queue.Empty:
                return True
            if isinstance(command, _Stop):
                return False
            idle = False
            self._add(command)

    def _add(self, task: Task) -> None:
        try:
            self.scheduler.add(task.sequence)
        except RbeeError as error:
            task.deliver(error)
        else:
            self.tasks[task.sequence] = task

    def _drop_cancelled(self) -> None:
        for task in [task for task in self.tasks.values() if task.is_cancelled]:
            self._finish(task, FinishReason.CANCELLED)

    def _do(self, step: Step) -> None:
        sequence = step.sequence
        task = self.tasks[sequence]
        begin_s = time.monotonic()
        sequence.begun_s = sequence.begun_s or begin_s
        try:
            tokens = _tokens(sequence, step.begin, step.end)
            logits = self.session.forward(tokens, step.begin)
            sequence.computed = step.end
            if not step.samples:
                return
            params = sequence.sampling
            token = sample(
                logits,
                temperature=params.temperature,
                top_k=params.top_k,
                top_p=params.top_p,
                uniform_value=uniform(sequence.seed, sequence.length),
            )
        except RbeeError as error:
            self._fail(task, error)
            return
        self._take_token(task, token)
        self._count(time.monotonic() - begin_s, is_decode=step.end - step.begin == 1)

    def _take_token(self, task: Task, token: int) -> None:
        sequence = task.sequence
        sequence.answer.append(token)
        sequence.first_token_s = sequence.first_token_s or time.monotonic()
        if token in self.eos_token_ids:
            self._finish(task, FinishReason.STOP)
            return
        text = task.stop.push(task.text.push(token))
        if task.stop.found:
            self._finish(task, FinishReason.STOP, text, (token,))
        elif len(sequence.answer) >= sequence.token_count_max:
            self._finish(task, FinishReason.LENGTH, text, (token,))
        else:
            task.deliver(Output(text, (token,)))

    def _finish(
        self, task: Task, reason: FinishReason, text: str = "", token_ids: tuple[int, ...] = ()
    ) -> None:
        if not task.stop.found:
            text += task.stop.push(task.text.flush()) + task.stop.flush()
        sequence = task.sequence
        finish = Finish(reason, task.stop.found, sequence.usage(), sequence.seed)
        self._drop(task)
        task.deliver(Output(text, token_ids, finish))

    def _fail(self, task: Task, error: RbeeError) -> None:
        self._drop(task)
        task.deliver(error)

    def _drop(self, task: Task) -> None:
        self.scheduler.remove(task.sequence)
        self.tasks.pop(task.sequence, None)
        self._tell_load(None)

    def _count(self, took_s: float, *, is_decode: bool) -> None:
        self.load.token_count += 1
        if is_decode and took_s > 0:
            rate = self.load.tokens_per_second or 1 / took_s
            self.load.tokens_per_second = rate + RATE_SMOOTHING * (1 / took_s - rate)

    def _tell_load(self, step: Step | None) -> None:
        self.load.running = self.scheduler.running
        self.load.waiting = self.scheduler.waiting
        self.load.cache_usage = step.end / self.session.max_len if step else 0.0
        if not self.scheduler.running:
            self.load.tokens_per_second = 0.0


def _tokens(sequence: Sequence, begin: int, end: int) -> list[int]:
    prompt_length = len(sequence.prompt)
    if begin >= prompt_length:  # decoding: the common case, without building the whole
        return sequence.answer[begin - prompt_length : end - prompt_length]
    return (sequence.prompt + sequence.answer)[begin:end]
