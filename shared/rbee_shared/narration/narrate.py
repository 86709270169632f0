"""One call, `narrate`, tells people what is happening now.

A narration is for people first: a short sentence in the present tense. Its fields are for
programs. It is not a log line about code; use `logging` for that. Where it goes depends on the
context alone: inside a job to that job's log, else to the daemon's own sinks (a line on stdout).
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from time import time
from typing import Any

from rbee_shared.narration.context import current
from rbee_shared.narration.event import Field, Level, Narration, Progress
from rbee_shared.narration.redact import clean, clean_fields

Sink = Callable[[Narration], None]

_sinks: list[Sink] = []
_actor: list[str] = ["rbee"]
_component: ContextVar[str] = ContextVar("rbee_component", default="")


def set_actor(actor: str) -> None:
    """Name this process (`queen`, `hive`, `worker`) in everything it tells."""
    _actor[0] = actor


def set_component(actor: str) -> None:
    """Name what tells from here on in this task and those it starts: a hive inside the queen."""
    _component.set(actor)


def add_sink(sink: Sink) -> None:
    """Send every narration that belongs to no job to `sink`, which must not block."""
    _sinks.append(sink)


@contextmanager
def heard_by(sink: Sink) -> Generator[None]:
    """Do what `add_sink` does, for the block."""
    _sinks.append(sink)
    try:
        yield
    finally:
        _sinks.remove(sink)


def narrate(
    action: str,
    human: str,
    *,
    target: str = "",
    level: Level = Level.INFO,
    progress: Progress | None = None,
    cute: str = "",
    story: str = "",
    **fields: Field,
) -> None:
    """Tell people one thing. `human`, `cute` and `story` are templates over `fields`.

    Args:
        action: snake_case, stable: `spawn_start`, `model_download`.
        human: present tense, at most a line.
        target: what is acted on, by name; progress of the same action and target is replaced.
        level: DEBUG is shown on request only.
        progress: how far this step is.
        cute: the same in the voice of a bee.
        story: the same with somebody speaking.
        **fields: for programs; numbers stay numbers.
    """
    fields = clean_fields(fields)  # before they get into the sentences
    emit(
        Narration(
            actor=_component.get() or _actor[0],
            action=action,
            human=human.format(**fields) if fields else human,
            time_s=time(),
            target=target,
            level=level,
            fields=fields,
            progress=progress,
            correlation_id=current().correlation_id,
            cute=cute.format(**fields) if fields else cute,
            story=story.format(**fields) if fields else story,
        )
    )


def emit(narration: Narration) -> None:
    """Pass on a narration made here or captured from a child, under the context of the caller."""
    narration = clean(narration)
    context = current()
    if context.job_id:
        if context.story is not None:
            context.story.narrate(narration)
        return
    for sink in _sinks:
        sink(narration)


def tell_completion(completion: Any) -> None:
    """Append a piece of an answer to the current job's log; dropped where there is no job."""
    story = current().story
    if story is not None:
        story.complete(completion)
