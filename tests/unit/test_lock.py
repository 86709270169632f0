import fcntl
import json
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from rbee_shared.lifecycle import lock
from rbee_shared.lifecycle.lock import AlreadyRunningError, Holder


def test_who_holds_a_lock_says_where_it_listens(tmp_path: Path) -> None:
    file = tmp_path / "queen.lock"
    assert not lock.is_held(file)
    with lock.held(file, "queen") as held:
        assert lock.is_held(file)
        assert lock.holder_of(file) is None
        held.publish(address="unix:/x" * 10, version="0.1.0")
        held.publish(address="unix:/x", version="0.1.0")
        holder = lock.holder_of(file)
        assert holder is not None
        assert (holder.pid, holder.address, holder.version) == (os.getpid(), "unix:/x", "0.1.0")
        process = lock.process_of(holder)
        assert process is not None
        assert process.pid == os.getpid()
    assert not lock.is_held(file)
    assert lock.holder_of(file) is None
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_second_one_is_refused_and_told_who_the_first_is(tmp_path: Path) -> None:
    file = tmp_path / "queen.lock"
    with lock.held(file, "queen") as held:
        held.publish(address="unix:/x", version="0.1.0")
        with pytest.raises(AlreadyRunningError, match=f"pid {os.getpid()}, unix:/x"):
            lock.held(file, "queen").__enter__()
        assert lock.is_held(file)


def test_somebody_who_only_looks_does_not_stop_a_start(tmp_path: Path) -> None:
    file = tmp_path / "queen.lock"
    file.touch()
    looking = os.open(file, os.O_RDWR)
    fcntl.flock(looking, fcntl.LOCK_SH)
    done = threading.Timer(0.02, os.close, [looking])
    done.start()
    with lock.held(file, "queen"):
        assert lock.is_held(file)
    done.join()


def test_a_lock_goes_with_its_process_however_it_ends(tmp_path: Path) -> None:
    file = tmp_path / "queen.lock"
    script = (
        "import sys, pathlib\n"
        "from rbee_shared.lifecycle import lock\n"
        "with lock.held(pathlib.Path(sys.argv[1]), 'queen') as held:\n"
        "    held.publish(address='unix:/x', version='1')\n"
        "    print('held', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", script, str(file)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        holder = lock.holder_of(file)
        assert holder is not None
        assert holder.pid == process.pid
        process.kill()
        while lock.is_held(file):
            pass
        assert lock.process_of(holder) is None  # a zombie, until its parent asks for it
    assert lock.process_of(holder) is None
    with lock.held(file, "queen"):
        assert lock.holder_of(file) is None


def test_a_pid_that_was_given_to_another_is_not_the_holder() -> None:
    start_time_s = psutil.Process().create_time() - psutil.boot_time()
    assert lock.process_of(Holder(os.getpid(), start_time_s, "", "")) is not None
    assert lock.process_of(Holder(os.getpid(), start_time_s - 1000, "", "")) is None
    assert lock.process_of(Holder(2**22 + 1, start_time_s, "", "")) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "garbage",
        "[]",
        "{}",
        '{"pid": 1}',
        json.dumps({"pid": -1, "start_time_s": 1, "address": "", "version": ""}),
        '{"pid": Infinity, "start_time_s": 1, "address": "", "version": ""}',
        "[" * 100_000,
    ],
)
def test_a_damaged_lock_file_names_nobody(tmp_path: Path, text: str) -> None:
    file = tmp_path / "queen.lock"
    with lock.held(file, "queen"):
        file.write_text(text)
        assert lock.holder_of(file) is None
