"""Every text that is told, found in the code: it can be told, fits a line, and has its voice."""

import ast
import re
import string
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from rbee_hive.files import progress
from rbee_keeper.live import NO_NEWS

ROOT = Path(__file__).parents[2]
PACKAGES = ("rbee_keeper", "rbee_queen", "rbee_hive", "rbee_worker", "shared/rbee_shared")
NO_FIELDS = {"target", "level", "progress", "cute", "story"}
TEXTS = ("human", "cute", "story")
LENGTH_MAX = 90  # of a template; with its fields in it still a line
DOING = re.compile(r"(doing|[A-Z]+)\.(action|human|cute|story)")
MAIN_PATH = {
    "queen_start",
    "queen_ready",
    "queen_stop",
    "queen_reconnect",
    "hive_start",
    "hive_active",
    "hive_lost",
    "hive_restart",
    "hive_reconnect",
    "hive_stop",
    "model_download",
    "model_unpack",
    "model_verify",
    "model_convert",
    "model_ready",
    "model_damaged",
    "model_delete",
    "worker_spawn",
    "worker_start",
    "model_load",
    "model_loaded",
    "worker_ready",
    "worker_evict",
    "worker_expire",
    "worker_stop",
    "infer_place",
    "infer_start",
    "job_resume",
}


@dataclass(frozen=True)
class Told:
    """One place that tells. `fields` are the names that its templates may use."""

    where: str
    action: str
    fields: frozenset[str]
    human: str
    cute: str
    story: str


def told_in(path: Path) -> Iterator[Told]:
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call):
            continue
        arguments = [node.func, *node.args]
        if isinstance(node.func, ast.Name) and node.func.id == "partial":
            arguments = node.args
        if not (isinstance(arguments[0], ast.Name) and arguments[0].id == "narrate"):
            continue
        keywords = {each.arg: each.value for each in node.keywords if each.arg}
        yield Told(
            where=f"{path.relative_to(ROOT)}:{node.lineno}",
            action=text_of(arguments[1]),
            fields=frozenset(keywords.keys() - NO_FIELDS),
            human=text_of(arguments[2]),
            cute=text_of(keywords.get("cute")),
            story=text_of(keywords.get("story")),
        )


def text_of(node: ast.expr | None) -> str:
    """Return a text of a call; one of a table's texts is looked at where the table is."""
    if node is None:
        return ""
    if isinstance(node, ast.Constant):
        return str(node.value)
    source = ast.unparse(node)
    if isinstance(node, ast.Name) and node.id.isupper():
        return source
    assert DOING.fullmatch(source), f"`{source}` is neither a text nor from a table"
    return "" if source.endswith("action") else source.rpartition(".")[2] + ' "'


def doings() -> Iterator[Told]:
    for name, each in vars(progress).items():
        if isinstance(each, progress.Doing):
            fields = frozenset({"model"})
            yield Told(name, each.action, fields, each.human, each.cute, each.story)


CALLS = [
    told
    for package in PACKAGES
    for path in sorted((ROOT / package).rglob("*.py"))
    for told in told_in(path)
]
ALL = [*CALLS, *doings()]
VOICED = [told for told in ALL if told.cute or told.story]


def test_the_places_that_tell_are_found() -> None:
    assert len(CALLS) > 30
    assert len(VOICED) > 30


@pytest.mark.parametrize("told", ALL, ids=lambda told: f"{told.where}-{told.action}")
@pytest.mark.parametrize("kind", TEXTS)
def test_a_text_formats_with_the_fields_of_its_call(told: Told, kind: str) -> None:
    text: str = getattr(told, kind)
    used = {
        (name, specification)
        for _, name, specification, _ in string.Formatter().parse(text)
        if name is not None
    }
    assert {name for name, _ in used} <= told.fields
    samples = {name: 1.5 if (spec or "").endswith("f") else "x" for name, spec in used}
    line = text.format(**samples) if told.fields else text
    assert len(text) <= LENGTH_MAX
    assert line.isprintable()
    assert line.isascii()  # any terminal and any log can show it
    assert line == line.strip()
    assert not line.endswith(".")


@pytest.mark.parametrize("told", VOICED, ids=lambda told: f"{told.where}-{told.action}")
def test_who_has_one_voice_has_both_and_in_a_story_somebody_speaks(told: Told) -> None:
    assert told.human
    assert told.cute
    assert told.story.count('"') >= 1
    assert len({told.human, told.cute, told.story}) == len(TEXTS)


def test_what_a_person_sees_on_the_main_path_has_every_voice() -> None:
    assert {told.action for told in VOICED} >= MAIN_PATH
    assert all(told.cute and '"' in told.story for told in NO_NEWS.values())


@pytest.mark.parametrize("action", sorted(MAIN_PATH))
def test_no_call_of_a_voiced_action_is_without_its_voice(action: str) -> None:
    assert [told.where for told in ALL if told.action == action and not told.cute] == []
