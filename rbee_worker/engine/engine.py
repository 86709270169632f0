"""The engine as asyncio sees it: open a model, ask for answers, read them as they come.

    async with opened_engine(folder, device=..., threads=..., max_len=...) as engine:
        async for output in engine.generate(request):
            ...

The model lives in a thread of its own (`step_loop.py`); this side only queues and waits. Leaving
`generate` early, by cancel or by closing it, stops the work between two steps.
"""

import asyncio
import logging
import queue
import secrets
import threading
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from rbee_shared.errors import InvalidArgumentError, RbeeError
from rbee_shared.narration.event import Level
from rbee_shared.narration.narrate import narrate
from rbee_worker.description import ModelDescription
from rbee_worker.device import Device
from rbee_worker.engine.request import Output, Request
from rbee_worker.engine.scheduler import QueueFullError
from rbee_worker.engine.sequence import Sequence
from rbee_worker.engine.step_loop import COMMANDS_MAX, EngineDeadError, Load, StepLoop, Task
from rbee_worker.session import Session
from rbee_worker.text.stop_strings import StopStrings
from rbee_worker.text.tokenizer import Tokenizer

SEED_BITS = 63


class PromptTooLongError(InvalidArgumentError):
    """The prompt does not fit the context; it is never cut."""

    reason = "PROMPT_TOO_LONG"
    hint = "shorten the prompt, or spawn a worker with a longer `--context` if the model has one"

    def __init__(self, prompt_tokens: int, max_len: int) -> None:
        super().__init__(f"the prompt has {prompt_tokens} tokens, the context holds {max_len}")


class Engine:
    """One loaded model. Made by `opened_engine`."""

    def __init__(self, loop: StepLoop, tokenizer: Tokenizer) -> None:
        self._loop = loop
        self._tokenizer = tokenizer
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self.is_dead = False

    @property
    def load(self) -> Load:
        """What it is doing now."""
        return self._loop.load

    @property
    def max_len(self) -> int:
        """Tokens that its context holds."""
        return self._loop.session.max_len

    async def generate(self, request: Request) -> AsyncGenerator[Output]:
        """Yield the answer piece by piece; the last piece says how it ended.

        Raises:
            InvalidArgumentError: sampling out of range, or a conversation that the model refuses.
            PromptTooLongError: the prompt does not fit, with both numbers; nothing was computed.
            QueueFullError: too many requests wait.
            RbeeError: the computation failed.
        """
        sequence = self._sequence_of(request)
        outputs: asyncio.Queue[Output | RbeeError] = asyncio.Queue()  # bounded by the context
        put = asyncio.get_running_loop().call_soon_threadsafe
        task = Task(
            sequence,
            self._tokenizer.stream(sequence.prompt),
            StopStrings(request.sampling.stop),
            partial(put, outputs.put_nowait),
        )
        self._submit(task)
        try:
            while True:
                output = await outputs.get()
                if isinstance(output, RbeeError):
                    raise output
                yield output
                if output.finish is not None:
                    return
        finally:
            task.is_cancelled = True  # seen before the next step; too late is harmless

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    async def stop(self) -> None:
        """End the thread after the step it is in."""
        self._loop.stop()
        await asyncio.to_thread(self._thread.join)

    def _submit(self, task: Task) -> None:
        if self.is_dead:
            raise EngineDeadError("the engine has stopped")
        try:
            self._loop.commands.put_nowait(task)
        except queue.Full:
            raise QueueFullError(COMMANDS_MAX) from None

    def _sequence_of(self, request: Request) -> Sequence:
        params = request.sampling
        params.check()
        prompt = (
            self._tokenizer.encode_conversation(request.messages)
            if request.prompt is None
            else self._tokenizer.encode_text(request.prompt)
        )
        if not prompt:
            raise InvalidArgumentError("the prompt is empty", reason="PROMPT_EMPTY")
        room = self.max_len - len(prompt)
        if room < 1:
            raise PromptTooLongError(len(prompt), self.max_len)
        seed = secrets.randbits(SEED_BITS) if params.seed is None else params.seed
        return Sequence(
            sampling=params,
            prompt=prompt,
            seed=seed,
            token_count_max=min(room, params.max_tokens or room),
            arrived_s=time.monotonic(),
        )

    def _run(self) -> None:
        try:
            self._loop.run()
        except Exception:  # the thread's edge: the traceback is kept, the worker says it is dead
            logging.exception("the engine ends by a bug")
        finally:
            self.is_dead = True


@asynccontextmanager
async def opened_engine(
    folder: Path, *, device: Device, threads: int, max_len: int, slots: int = 1
) -> AsyncGenerator[Engine]:
    """Load a model for the block, warm it up, and answer with it.

    Args:
        folder: a model with `rbee.json`.
        device: where it runs, there or not at all.
        threads: cores granted.
        max_len: tokens that the context holds; 0 for what the model has.
        slots: sequences at once.

    Raises:
        RbeeError: why it cannot be loaded.
    """
    description = ModelDescription.read(folder)
    narrate(
        "model_load",
        "loading the model on {device} with {threads} threads",
        target=str(device),
        model=description.name,
        device=str(device),
        threads=threads,
        cute="filling the comb on {device} with {threads} threads",
        story='"Quiet, I am learning", says the worker on {device}',
    )
    begin_s = time.monotonic()
    length = min(max_len or description.context_length, description.context_length)
    tokenizer = await asyncio.to_thread(Tokenizer, folder, description)
    session = await asyncio.to_thread(
        _warm, folder, description, device=device, threads=threads, max_len=length
    )
    narrate(
        "model_loaded",
        "the model is loaded after {seconds:.1f} s, context {context} tokens",
        target=str(device),
        model=description.name,
        seconds=time.monotonic() - begin_s,
        context=length,
        cute="the comb is full after {seconds:.1f} s, with room for {context} tokens",
        story='"I know it all, and hold {context} tokens", says the worker after {seconds:.1f} s',
    )
    narrate(
        "model_layout",
        "the graph is of the layout {layout}, its KV cache is {style}",
        target=str(device),
        level=Level.DEBUG,
        layout=description.layout,
        style=session.style.value,
    )
    engine = Engine(StepLoop(session, frozenset(description.eos_token_ids)), tokenizer)
    engine.start()
    try:
        yield engine
    finally:
        await engine.stop()


def _warm(
    folder: Path, description: ModelDescription, *, device: Device, threads: int, max_len: int
) -> Session:
    session = Session(folder, description, device=device, threads=threads, max_len=max_len)
    session.forward([0], 0)  # the first run plans memory and touches the weights
    return session
