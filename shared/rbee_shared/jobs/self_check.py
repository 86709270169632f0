"""Proving on a running system that what a handler tells reaches the job, however it runs.

The watcher sees one narration from each kind of code: the coroutine itself, a task, a thread, an
async generator. The result says what else this process stands on.
"""

import asyncio
from collections.abc import AsyncGenerator

from google.protobuf.internal import api_implementation

from rbee.v1 import operation_pb2
from rbee_shared.narration.context import current
from rbee_shared.narration.narrate import narrate

ACTION = "self_check"


async def self_check(who: str) -> list[operation_pb2.Check]:
    """Tell one thing from everywhere that code can run, and return what was found."""
    _tell(who, "coroutine")
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_in_task(who))
    await asyncio.to_thread(_tell, who, "thread")
    async for where in _generator():
        _tell(who, where)
    protobuf = str(api_implementation.Type())
    loop = type(asyncio.get_running_loop()).__module__
    return [
        _check(f"{who} context", f"job {current().job_id}", passed=bool(current().job_id)),
        _check(f"{who} story", "told to the job", passed=current().story is not None),
        _check(f"{who} protobuf", protobuf, passed=protobuf == "upb"),
        _check(f"{who} event loop", loop, passed=loop.startswith("uvloop")),
    ]


async def _in_task(who: str) -> None:
    _tell(who, "task")


async def _generator() -> AsyncGenerator[str]:
    yield "generator"


def _tell(who: str, where: str) -> None:
    narrate(ACTION, "{who} tells from a {where}", target=f"{who}/{where}", who=who, where=where)


def _check(name: str, detail: str, *, passed: bool) -> operation_pb2.Check:
    return operation_pb2.Check(name=name, passed=passed, detail=detail)
