"""Templates by people who mean harm: a refusal in bounded time and memory, and the worker lives."""

import os
import sys
import time
from pathlib import Path

import psutil
import pytest

from rbee_shared.errors import InvalidArgumentError, RbeeError
from rbee_worker.text import renderer
from rbee_worker.text.chat_template import ChatTemplate, ChatTemplateError
from rbee_worker.text.render.__main__ import MEMORY_MIB_MAX
from rbee_worker.text.renderer import ANSWER_S_MAX, START_S_MAX
from tests.rendering import rendering, used

MIB = 1024 * 1024
SLACK_MIB = 32  # what this process may grow by for other reasons
LOOPS = "{% for a in range(99999) %}" * 4 + "{% endfor %}" * 4
DOUBLED = "{% for i in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}"
GREEDY = {
    "a_constant": "{{ 'x' * 10**9 }}",
    "a_product": "{{ 'x' * (messages | length * 10**9) }}",
    "a_list": "{{ [1] * 10**10 }}",
    "a_percent_format": "{{ '%1000000000d' % 1 }}",
    "a_filter_format": "{{ '%1000000000d' | format(messages | length) }}",
    "a_method_format": "{{ '{:>1000000000}'.format(1) }}",
    "an_indent": "{{ ('a\\n' * 1000000) | indent(100000) }}",
    "a_json_indent": "{{ messages | tojson(indent=100000000) }}",
    "a_centre": "{{ 'x' | center(10**10) }}",
    "a_join": "{{ range(99999) | map('string') | join('x' * 100000) }}",
    "growing_text": "{% set ns = namespace(x='x') %}" + DOUBLED,
    "growing_lists": "{% set ns = namespace(x=[1]) %}" + DOUBLED,
}
ENDLESS = {
    "loops": LOOPS,
    "a_constant_power": "{{ 10 ** (10 ** 10) }}",
    "a_power": "{{ (messages | length + 9) ** (10 ** 10) }}",
    "words": "{{ lipsum(n=99999) }}",
}
DEEP = {
    "macros": "{% macro again() %}{{ again() }}{% endmacro %}{{ again() }}",
    "forked_macros": "{% macro f(n) %}{{ f(n) }}{{ f(n) }}{% endmacro %}{{ f(0) }}",
    "brackets": "{{ " + "(" * 20_000 + "1" + ")" * 20_000 + " }}",
    "signs": "{{ " + "-" * 90_000 + "1 }}",
    "conditions": "{% if 1 %}" * 9_000 + "{% endif %}" * 100,
}
FORBIDDEN = (
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ messages.append(1) }}",
    "{{ cycler.__init__.__globals__ }}",
    "{% for i in range(10000000) %}x{% endfor %}",
    "{% for i in range(99999) %}{{ 'x' * 1000 }}{% endfor %}",
    "{{ 1 / 0 }}",
    "{{ messages[7].content }}",
    "{{ messages | tojson(7) }}",
    "{{ '\\ud800' }}",
    "{% include 'other' %}",
)


def refusal(template: ChatTemplate, content: str = "hi") -> str:
    with pytest.raises(ChatTemplateError) as caught:
        used(template, content)
    assert "--raw" in caught.value.hint
    return str(caught.value)


def peak_bytes(process: psutil.Process) -> int:
    text = Path(f"/proc/{process.pid}/status").read_text()
    [line] = [each for each in text.splitlines() if each.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of a process from /proc")
@pytest.mark.parametrize("kind", GREEDY)
def test_a_template_that_wants_all_memory_gets_little_and_ends(kind: str) -> None:
    own_bytes, start_s = psutil.Process().memory_info().rss, time.monotonic()
    with rendering(GREEDY[kind]) as (template, process):
        assert f"{MEMORY_MIB_MAX} MiB" in refusal(template)
        assert time.monotonic() - start_s < START_S_MAX + ANSWER_S_MAX
        assert peak_bytes(process) <= MEMORY_MIB_MAX * MIB
    assert psutil.Process().memory_info().rss - own_bytes < SLACK_MIB * MIB


@pytest.mark.parametrize("kind", ENDLESS)
def test_a_template_without_an_end_is_ended(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(renderer, "ANSWER_S_MAX", 0.3)
    with rendering(ENDLESS[kind]) as (template, process):
        assert "it takes over 0.3 s" in refusal(template)
        assert not process.is_running()


@pytest.mark.parametrize("kind", DEEP)
def test_a_template_that_nests_without_end_is_refused(kind: str) -> None:
    assert "nests too deeply" in refusal(ChatTemplate(DEEP[kind]))


@pytest.mark.parametrize("source", FORBIDDEN)
def test_what_a_template_may_not_do_it_cannot(source: str) -> None:
    assert "template fails" in refusal(ChatTemplate(source))


def test_after_a_conversation_without_an_end_the_next_is_served(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    template = ChatTemplate(
        "{% if messages[0].content == 'loop' %}" + LOOPS + "{% endif %}{{ messages[0].content }}"
    )
    assert used(template, "a") == "a"
    with monkeypatch.context() as patch:
        patch.setattr(renderer, "ANSWER_S_MAX", 0.3)
        assert "takes over" in refusal(template, "loop")
    assert used(template, "b") == "b"
    template.close()


WRITTEN = "the heron sleeps at noon"


@pytest.mark.parametrize(
    "source",
    [
        "{{ raise_exception('no: ' + messages[0].content) }}",
        "{{ messages[0][messages[0].content].x }}",
        "{{ messages[0][messages[0].content | upper].x }}",
        "{{ {}[messages[0].content]() }}",
        "{{ messages[0].content + 1 }}",
        "{% set x = messages[0].content | reverse %}{{ messages[0][x].x }}",
    ],
)
def test_no_error_tells_what_somebody_wrote(source: str) -> None:
    with pytest.raises(RbeeError) as caught:
        used(ChatTemplate(source), WRITTEN)
    assert isinstance(caught.value, ChatTemplateError | InvalidArgumentError)
    told = str(caught.value).lower()
    assert not any(word in told for word in ("heron", "sleeps", "noon", "noreh", "speels"))
    assert len(str(caught.value)) < 500


def test_the_process_has_nothing_to_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", WRITTEN)
    with rendering("{{ messages[0].content }}") as (template, process):
        assert used(template, WRITTEN) == WRITTEN
        assert "HF_TOKEN" not in process.environ()
        assert WRITTEN not in " ".join(process.cmdline())
        if sys.platform == "linux":
            assert Path(f"/proc/{process.pid}/fd/2").readlink() == Path(os.devnull)
