"""Async commands for Typer, which calls plain functions only."""

import asyncio
import functools
import sys
from collections.abc import Callable, Coroutine
from typing import ParamSpec

P = ParamSpec("P")

if sys.platform == "win32":
    new_event_loop = asyncio.new_event_loop
else:
    from uvloop import new_event_loop


def blocking(command: Callable[P, Coroutine[None, None, None]]) -> Callable[P, None]:
    """Make an async command one that runs its own event loop, with the same signature."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            runner.run(command(*args, **kwargs))

    return run
