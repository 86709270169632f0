import json
import time
from typing import Any

import pytest

from rbee_keeper import output
from rbee_keeper.output import Column
from tests.terminal import attach

Captured = pytest.CaptureFixture[str]

COLUMNS = (
    Column("ID", "id"),
    Column("SIZE", "size_bytes", "bytes"),
    Column("CREATED", "create_time", "time"),
    Column("TAGS", "tags"),
)


def row(**values: Any) -> dict[str, Any]:
    return {"id": "w-1", "size_bytes": 2048, "create_time": "2020-01-01T00:00:00Z", **values}


def iso(before_s: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - before_s))


def test_a_table_without_rows_is_its_headings(capsys: Captured) -> None:
    output.show_table(COLUMNS, [], as_json=False)
    assert capsys.readouterr().out == "ID  SIZE  CREATED  TAGS\n"
    output.show_table(COLUMNS, [], as_json=True)
    assert json.loads(capsys.readouterr().out) == []


def test_columns_are_aligned_and_told_for_people(capsys: Captured) -> None:
    rows = [
        row(id="w-模型", create_time=iso(200), tags=["a", "b"]),
        row(size_bytes=3 * 2**30, create_time=None, tags=[]),
    ]
    output.show_table(COLUMNS, rows, as_json=False)
    assert capsys.readouterr().out.splitlines() == [
        "ID         SIZE  CREATED        TAGS",
        "w-模型  2.0 KiB  3 minutes ago  a, b",
        "w-1     3.0 GiB  -              -",
    ]


def test_no_line_ends_in_blanks(capsys: Captured) -> None:
    output.show_table(COLUMNS, [row(tags="x" * 300), row(tags="y")], as_json=False)
    assert all(line == line.rstrip() for line in capsys.readouterr().out.splitlines())


def test_a_narrow_terminal_cuts_no_id(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = attach(monkeypatch, width=20)
    output.show_table(COLUMNS, [row(id="j-840ad20b442a", tags="t" * 30)], as_json=False)
    written = "".join(terminal.screen())
    assert "j-840ad20b442a" in written
    assert "t" * 30 in written
    assert "…" not in written


def test_a_heading_is_bold_on_a_terminal_and_plain_without_colour(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = attach(monkeypatch)
    output.show_table(COLUMNS, [], as_json=False)
    assert "\x1b[1mID" in terminal.getvalue()


def test_json_has_every_key_of_a_row_and_its_own_types(capsys: Captured) -> None:
    rows = [row(more=1.5, none=None, yes=True)]
    output.show_table(COLUMNS, rows, as_json=True)
    assert json.loads(capsys.readouterr().out) == rows


def test_facts_are_told_in_the_units_of_their_names(capsys: Captured) -> None:
    facts = {
        "name": "attic",
        "size_bytes": 1536,
        "uptime_s": 140,
        "keep_alive_s": None,
        "create_time": iso(90),
        "end_time": None,
        "is_local": True,
        "count": 0,
        "error": {"reason": "NO", "message": "it fails", "hint": ""},
    }
    output.show_facts(facts, as_json=False)
    assert capsys.readouterr().out.splitlines() == [
        "name           attic",
        "size           1.5 KiB",
        "uptime         2 minutes 20 seconds",
        "keep alive     -",
        f"create time    {facts['create_time']} (1 minute ago)",
        "end time       -",
        "is local       yes",
        "count          0",
        "error reason   NO",
        "error message  it fails",
    ]


def test_no_facts_are_no_output(capsys: Captured) -> None:
    output.show_facts({}, as_json=False)
    assert capsys.readouterr().out == ""


def test_an_error_without_hint_is_one_line(capsys: Captured) -> None:
    output.show_error(output.RbeeError("no `x`"), as_json=False)
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "error: no `x`\n")


def test_a_long_error_is_not_broken_into_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = attach(monkeypatch, width=20)
    output.show_error(output.RbeeError("word " * 20), as_json=False)
    assert terminal.getvalue().count("\n") == 1
