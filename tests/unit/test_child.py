import asyncio
import os
import signal
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import psutil
import pytest
import uvloop

from rbee_shared.errors import ModelNotFoundError, NotFoundError, RbeeError
from rbee_shared.jobs.log import JobLog
from rbee_shared.lifecycle import capture
from rbee_shared.lifecycle.child import Child, running_child
from rbee_shared.lifecycle.launch import StartFailedError
from rbee_shared.limits import LINES_KEPT_MAX
from rbee_shared.narration.context import JOB, JobContext

READY = """
import os, sys, time
from rbee_shared.lifecycle.ready import Ready, announce
ready = lambda: announce(Ready(address="unix:/x", pid=os.getpid()))
"""
LOOPS = [asyncio.new_event_loop, uvloop.new_event_loop]


class Module:
    """A module that a test writes and runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, source: str) -> "Module":
        (self.folder / "tried.py").write_text(source)
        return self

    def running(self) -> AbstractAsyncContextManager[Child]:
        environment = {"PYTHONPATH": str(self.folder)}
        return running_child("tried", [], name="w-1", environment=environment)


@pytest.fixture
def module(tmp_path: Path) -> Module:
    return Module(tmp_path)


def humans(log: JobLog) -> list[str]:
    seen: list[str] = []
    after = 0
    while events := log.read(after):
        seen += [event.narration.human for event in events]
        after = events[-1].sequence
    return seen


async def told_while(waits: Callable[[], Coroutine[None, None, object]]) -> list[str]:
    """Wait in a job of its own and return what that job was told."""
    log = JobLog()

    async def job() -> None:
        JOB.set(JobContext("j-1", story=log))
        await waits()

    async with asyncio.timeout(10):
        await asyncio.create_task(job())
    return humans(log)


async def end_of(child: Child) -> RbeeError:
    with pytest.raises(RbeeError) as error:
        async with asyncio.timeout(10):
            await child.done()
    return error.value


async def test_its_start_is_told_to_each_who_waits(module: Module) -> None:
    source = """
print('{"narration": {"actor": "worker", "action": "load", "human": "loading", "time_s": 1}}')
print("[worker    ] warm           : warming up")
print("plain key=abc.def", flush=True)
ready()
sys.stdin.read()
"""
    async with module.write(READY + source).running() as child:
        async with asyncio.TaskGroup() as tasks:
            waiting = [tasks.create_task(told_while(child.ready)) for _ in range(2)]
        late = await told_while(child.ready)
        assert waiting[0].result() == waiting[1].result() == late
        assert late == ["loading", "warming up", "plain key=[REDACTED]"]
        ready = await child.ready()
        assert (ready.address, ready.pid) == ("unix:/x", child.pid)
        assert child.lines() == [
            "[worker    ] load           : loading",
            "[worker    ] warm           : warming up",
            "plain key=[REDACTED]",
        ]
        assert child.exit_code is None
    assert child.exit_code == -signal.SIGTERM


async def test_whatever_it_writes_is_told(module: Module) -> None:
    source = """
out = sys.stdout.buffer
out.write(b"bad \\xff\\n" + b"x" * 1_000_000 + b"\\nafter\\n")
out.write(b'{"narration": {"actor": 5, "action": "b", "human": "c", "time_s": 1}}\\n')
out.write(b'{"ready": [[[[\\n{"failure": {"code": Infinity}}\\npartial')
out.flush()
"""
    async with module.write(READY + source).running() as child:
        told = await told_while(child.done)
    assert told[0] == "bad \ufffd"
    assert set(told[1][:-1]) == {"x"}
    assert told[2] == "after"
    assert [each[:12] for each in told[3:]] == [
        '{"narration"',
        '{"ready": [[',
        '{"failure": ',
        "partial",
    ]


async def test_a_flood_is_cut_and_says_so(module: Module) -> None:
    source = "for n in range(10_000): print(n)\n"
    async with module.write(source).running() as child:
        async with asyncio.timeout(10):
            await child.capture.drained.wait()
        told = await told_while(child.done)
    assert told[0] == f"{10_000 - LINES_KEPT_MAX} earlier lines are left out"
    assert told[1:] == [str(n) for n in range(10_000 - LINES_KEPT_MAX, 10_000)]


async def test_who_waits_all_along_hears_of_every_line(module: Module) -> None:
    source = "for n in range(10_000): print(n, flush=True)\n"
    async with module.write(source).running() as child:
        told = await told_while(child.done)
    left_out = sum(int(each.split()[0]) for each in told if "left out" in each)
    assert left_out + sum("left out" not in each for each in told) == 10_000
    assert told[-1] == "9999"


async def test_its_own_error_survives(module: Module) -> None:
    source = """
from rbee_shared.errors import ModelNotFoundError
from rbee_shared.lifecycle.daemon import run_once
def main():
    raise ExceptionGroup("g", [ModelNotFoundError("tiny")])
sys.exit(run_once(main))
"""
    async with module.write("import sys\n" + source).running() as child:
        error = await end_of(child)
        assert await child.ended() == 1
    assert isinstance(error, NotFoundError)
    assert (str(error), error.reason) == (str(ModelNotFoundError("tiny")), "MODEL_NOT_FOUND")
    assert error.hint == ModelNotFoundError.hint


@pytest.mark.parametrize(
    ("source", "how"),
    [
        ("import sys; sys.exit('key=abc')", r"w-1 ended with code 1: key=\[REDACTED\]"),
        ("import os; os.kill(os.getpid(), 9)", "w-1 ended by SIGKILL"),
        ("import os; os.kill(os.getpid(), 40)", "w-1 ended by signal 40"),
        ("import os; os._exit(3)", "w-1 ended with code 3"),
    ],
)
async def test_a_child_that_dies_says_how(module: Module, source: str, how: str) -> None:
    async with module.write(source).running() as child:
        with pytest.raises(StartFailedError, match=f"^{how}$"):
            async with asyncio.timeout(10):
                await child.ready()


async def test_a_child_that_cannot_be_started_is_told_of() -> None:
    async with running_child("no_such_module", [], name="w-1") as child:
        assert "No module named no_such_module" in str(await end_of(child))


@pytest.mark.parametrize("new_loop", LOOPS)
def test_a_child_that_will_not_end_is_made_to(
    module: Module, new_loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    source = """
import signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
ready()
while True: time.sleep(60)
"""

    async def main() -> None:
        async with module.write(READY + source).running() as child:
            await child.ready()
            await child.stop(grace_s=0.05)
            assert child.exit_code == -signal.SIGKILL
            await child.stop(grace_s=0.05)
            child.kill()

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(main())


@pytest.mark.parametrize("new_loop", LOOPS)
def test_what_a_child_leaves_behind_holds_nobody_up(
    module: Module,
    new_loop: Callable[[], asyncio.AbstractEventLoop],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(capture, "DRAIN_S_MAX", 0.1)
    source = """
import subprocess
left = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(left.pid, flush=True)
"""

    async def main() -> int:
        async with asyncio.timeout(8), module.write(READY + source).running() as child:
            (pid,) = await told_while(child.done)
        return int(pid)

    with asyncio.Runner(loop_factory=new_loop) as runner:
        pid = runner.run(main())
    os.kill(pid, signal.SIGKILL)


async def test_a_child_ends_with_its_parent(module: Module) -> None:
    source = """
import asyncio
from rbee_shared.lifecycle.parent import parent_gone
async def main():
    ready()
    await parent_gone()
    print("alone", flush=True)
asyncio.run(main())
"""
    async with module.write(READY + source).running() as child:
        await child.ready()
        pipe = child.capture.transport.get_pipe_transport(0)
        assert pipe is not None
        pipe.close()  # what the kernel does when the parent dies
        assert await told_while(child.done) == ["alone"]
        assert child.exit_code == 0


async def test_cancelling_twice_leaves_no_process(module: Module) -> None:
    source = """
import signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
ready()
while True: time.sleep(60)
"""
    found: list[psutil.Process] = []

    async def parent() -> None:
        async with module.write(READY + source).running() as child:
            await child.ready()
            found.append(psutil.Process(child.pid))
            task.cancel()
            asyncio.get_running_loop().call_later(0.05, task.cancel)
            await asyncio.Event().wait()

    task = asyncio.create_task(parent())
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.to_thread(found[0].wait, 5)


async def test_no_descriptor_is_left_open(module: Module) -> None:
    module.write("print('x')")
    for _ in range(2):
        async with module.running() as child:
            await child.done()
    await asyncio.sleep(0)
    before = psutil.Process().num_fds()
    for _ in range(3):
        async with module.running() as child:
            await child.done()
    await asyncio.sleep(0)
    assert psutil.Process().num_fds() <= before
