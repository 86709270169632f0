"""The engine as asyncio sees it: open a model, ask for answers, read them as they come.

    async with opened_engine(folder, device=..., threads=..., max_len=..., slots=...) as engine:
        async for output in engine.generate(request):
            ...

The model lives in a thread of its own (`step_loop.py`); this side only queues and waits. Leaving
`generate` early, by cancel or by closing it, stops the work between two steps.
"""

import asyncio
import logging
import queue
import threading
import time
from collections.abc import AsyncGenerator, Sequence as Items
from contextlib import asynccontextmanager
from pathlib import Path

from rbee_shared.errors import RbeeError
from rbee_shared.narration.event import Level
from rbee_shared.narration.narrate import narrate
from rbee_worker.description import ModelDescription
from rbee_worker.device import Device
from rbee_worker.engine.answer import Asker
from rbee_worker.engine.load import Load
from rbee_worker.engine.outbox import Outbox
from rbee_worker.engine.preparing import Preparing
from rbee_worker.engine.request import Embeddings, Output, Request
from rbee_worker.engine.runs import Floats
from rbee_worker.engine.scheduler import QueueFullError
from rbee_worker.engine.step_loop import (
    COMMANDS_MAX,
    Ask,
    Command,
    Embed,
    EngineDeadError,
    StepLoop,
    Stop,
)
from rbee_worker.layouts.signature import Style
from rbee_worker.session import Session

WARM_TOKENS = 16


class Engine:
    """One loaded model. Made by `opened_engine`."""

    def __init__(self, session: Session, preparing: Preparing, *, guesses: bool) -> None:
        self._session = session
        self._preparing = preparing
        self._outbox = Outbox()
        self._loop = StepLoop(session, flush=self._outbox.flush, guesses=guesses)
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)

    @property
    def load(self) -> Load:
        """What it is doing now."""
        return self._loop.load

    @property
    def max_len(self) -> int:
        """Tokens that the context of one answer holds."""
        return self._session.max_len

    @property
    def slots(self) -> int:
        """Answers that are written at once, at most."""
        return self._session.slots

    @property
    def embedding_size(self) -> int:
        """Numbers of a vector that it makes of a text.

        Raises:
            UnimplementedError: the model has no vectors to give.
        """
        return self._session.embedding_size

    async def generate(self, request: Request) -> AsyncGenerator[Output]:
        """Yield the answers piece by piece; the last piece of each says how it ended.

        Raises:
            InvalidArgumentError: sampling out of range, a constraint that cannot be met, or a
                conversation that the model refuses.
            PromptTooLongError: the prompt does not fit, with both numbers; nothing was computed.
            QueueFullError: too many requests wait.
            RbeeError: the computation failed.
        """
        outputs: asyncio.Queue[Output | RbeeError] = asyncio.Queue()  # bounded by the context
        asker = Asker(self._outbox.to(outputs))
        answers = await asyncio.to_thread(self._preparing.answers, request, asker, self.max_len)
        self._submit(Ask(answers))
        left = len(answers)
        try:
            while left:
                output = await outputs.get()
                if isinstance(output, RbeeError):
                    raise output
                yield output
                left -= output.finish is not None
        finally:
            asker.is_gone = True  # seen before the next step; too late is harmless

    async def embed(self, texts: Items[str]) -> Embeddings:
        """Return the mean hidden state of each text, as a vector of length 1.

        Raises:
            UnimplementedError: the model offers none.
            InvalidArgumentError: a text is empty, or longer than the context.
            RbeeError: the computation failed.
        """
        tokens = await asyncio.to_thread(self._preparing.texts, texts, self.max_len)
        vectors: asyncio.Queue[Floats | RbeeError] = asyncio.Queue()
        asker = Asker(self._outbox.to(vectors))
        self._submit(Embed(tokens, asker))
        try:
            found = await vectors.get()
        finally:
            asker.is_gone = True
        if isinstance(found, RbeeError):
            raise found
        return Embeddings(found, sum(len(each) for each in tokens))

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    async def stop(self) -> None:
        """End the thread after the step it is in."""
        await asyncio.to_thread(self._end)

    def _submit(self, command: Command) -> None:
        self._check_alive()  # nobody takes commands any more: they would fill the queue
        try:
            self._loop.commands.put_nowait(command)
        except queue.Full:
            raise QueueFullError(COMMANDS_MAX) from None
        self._check_alive()  # it may have ended since

    def _check_alive(self) -> None:
        if self._loop.is_dead:
            raise EngineDeadError("the engine has stopped")

    def _end(self) -> None:
        self._loop.commands.put(Stop())
        self._thread.join()
        self._preparing.close()

    def _run(self) -> None:
        try:
            self._loop.run()
        except Exception:  # the thread's edge: the traceback is kept, the worker says it is dead
            logging.exception("the engine ends by a bug")


@asynccontextmanager
async def opened_engine(
    folder: Path,
    *,
    device: Device,
    threads: int,
    max_len: int,
    slots: int = 1,
    guesses: bool = True,
) -> AsyncGenerator[Engine]:
    """Load a model for the block, warm it up, and answer with it.

    Args:
        folder: a model with `rbee.json`.
        device: where it runs, there or not at all.
        threads: cores granted.
        max_len: tokens that the context of one answer holds; 0 for what the model has.
        slots: answers to write at once, at most.
        guesses: guess tokens where that pays and changes nothing.

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
    preparing = await asyncio.to_thread(Preparing, folder, description)
    try:
        session = await asyncio.to_thread(
            _warm, folder, description, device=device, threads=threads, max_len=length, slots=slots
        )
        _tell(description, device, session, time.monotonic() - begin_s)
        engine = Engine(session, preparing, guesses=guesses)
    except BaseException:
        preparing.close()
        raise
    engine.start()
    try:
        yield engine
    finally:
        await engine.stop()


def _warm(
    folder: Path,
    description: ModelDescription,
    *,
    device: Device,
    threads: int,
    max_len: int,
    slots: int,
) -> Session:
    session = Session(
        folder, description, device=device, threads=threads, max_len=max_len, slots=slots
    )
    # the first runs plan memory and touch the weights
    session.prefill(0, [0] * min(WARM_TOKENS, max_len - 1), 0)
    session.decode(0, [0], [0])
    return session


def _tell(description: ModelDescription, device: Device, session: Session, took_s: float) -> None:
    narrate(
        "model_loaded",
        "the model is loaded after {seconds:.1f} s, {slots} x {context} tokens",
        target=str(device),
        model=description.name,
        seconds=took_s,
        slots=session.slots,
        context=session.max_len,
        cute="the comb is full after {seconds:.1f} s, with {slots} cells for {context} tokens each",
        story='"I know it all, and hold {slots} talks of {context} tokens", says the worker',
    )
    if session.style is Style.COMPAT:
        narrate(
            "model_compat",
            "the graph has no grouped-query attention: one answer at a time, slower as it grows",
            target=str(device),
            cute="this comb has one cell: one answer at a time",
            story='"One after the other, please", says the worker',
        )
    narrate(
        "model_layout",
        "the graph is of the layout {layout}, its KV cache is {style}",
        target=str(device),
        level=Level.DEBUG,
        layout=description.layout,
        style=session.style.value,
    )
