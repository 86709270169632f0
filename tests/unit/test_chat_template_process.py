"""The process that renders a template: it lives as long as somebody needs it, and no longer."""

import gc
import io
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import psutil
import pytest

from rbee_shared.errors import InvalidArgumentError
from rbee_worker.text import renderer
from rbee_worker.text.chat_template import ChatTemplate
from rbee_worker.text.render.frames import FRAME_BYTES_MAX, HEADER, framed, read_frame
from rbee_worker.text.renderer import RendererLostError
from tests.rendering import rendering, used

DEADLINE_S = 20.0
PLAIN = "{{ messages[0].content }}"
LOOPS = "{% for a in range(99999) %}" * 4 + "{% endfor %}" * 4


def test_many_threads_get_each_their_own() -> None:
    contents = [f"number {number}" * number for number in range(200)]
    with rendering(PLAIN) as (template, _), ThreadPoolExecutor(8) as threads:
        assert list(threads.map(partial(used, template), contents)) == contents


def test_one_process_serves_until_it_is_closed() -> None:
    with rendering(PLAIN) as (template, process):
        assert (used(template, "a"), used(template, "b")) == ("a", "b")
        assert process.is_running()
        template.close()
        assert not process.is_running()


def test_a_process_that_nobody_holds_is_gone() -> None:
    before = set(psutil.Process().children())
    template = ChatTemplate(PLAIN)
    [process] = set(psutil.Process().children()) - before
    del template
    gc.collect()
    assert not process.is_running()


def test_a_process_that_was_killed_is_started_again() -> None:
    with rendering(PLAIN) as (template, process):
        used(template, "a")
        process.send_signal(signal.SIGKILL)
        psutil.wait_procs([process], timeout=DEADLINE_S)
        assert used(template, "b") == "b"


def test_a_process_that_cannot_start_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(renderer, "MODULE", "this")  # it writes what is no message, and ends
    with pytest.raises(RendererLostError, match="with code 0") as caught:
        ChatTemplate(PLAIN).check()
    assert caught.value.hint
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(RendererLostError, match="No such file"):
        ChatTemplate(PLAIN)


@pytest.mark.parametrize("source", [PLAIN, LOOPS])
def test_it_ends_with_its_parent_whatever_it_computes(source: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", renderer.MODULE], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(framed({"template": source}) + framed({"messages": [{"content": "x"}]}))
    process.stdin.close()
    process.stdout.read()
    process.wait(DEADLINE_S)
    process.stdout.close()


@pytest.mark.parametrize(
    ("content", "reason"),
    [("\ud800", "CONVERSATION_MALFORMED"), ("x" * FRAME_BYTES_MAX, "CONVERSATION_TOO_LONG")],
)
def test_what_cannot_be_sent_is_refused(content: str, reason: str) -> None:
    with rendering(PLAIN) as (template, _):
        with pytest.raises(InvalidArgumentError) as caught:
            used(template, content)
        assert caught.value.reason == reason
        assert used(template, "a") == "a"


def test_a_message_is_whole_or_none() -> None:
    message = framed(["text", "\U0001f41d"])
    assert read_frame(io.BytesIO(message)) == ["text", "\U0001f41d"]
    for cut in (0, 3, 4, len(message) - 1):
        with pytest.raises(EOFError):
            read_frame(io.BytesIO(message[:cut]))
    with pytest.raises(ValueError, match="bytes"):
        read_frame(io.BytesIO(HEADER.pack(FRAME_BYTES_MAX + 1)))
