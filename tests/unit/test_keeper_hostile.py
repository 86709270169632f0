"""What another process says is text to a terminal: never markup, never a command."""

import json
from contextlib import closing

import pytest

from rbee.v1 import hive_pb2, job_pb2, model_pb2, worker_pb2
from rbee_keeper import output
from rbee_keeper.commands import hive, job, model, pull, upkeep, worker
from rbee_keeper.display import JsonDisplay, PlainDisplay
from rbee_keeper.live import LiveDisplay
from rbee_keeper.model_rows import fault_row, file_row, fit_row, listed, model_row
from rbee_keeper.output import Column, Row
from rbee_keeper.plans import plan_facts, shown_choices
from rbee_keeper.rows import hive_row, job_row, worker_row
from rbee_shared.errors import RbeeError
from rbee_shared.narration.event import Level, Narration, Progress
from tests.job_events import token, told
from tests.terminal import HOSTILE, attach

WIDE = 20_000
LINE_MAX = 2_200
hostile = pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)


def tables(text: str) -> list[tuple[tuple[Column, ...], Row]]:
    """Return every noun's table with a row in which all that can be said is hostile."""
    asked = job_pb2.Job(id=text)
    asked.operation.infer.model = text
    asked.error.message = asked.error.hint = asked.error.reason = text
    one = worker_pb2.Worker(id=text, hive=text, model=text, alias=text, device=text)
    one.error.message = text
    known = model_pb2.Model(reference=text, alias=text, hive=text, quantization=text, licence=text)
    plan = model_pb2.DownloadPlan(
        choices=[model_pb2.ModelFileChoice(path=text, reason=text, chosen=True)]
    )
    fault = model_pb2.ModelFault(reference=text, path=text, message=text)
    machine = hive_pb2.Hive(name=text, address=text)
    machine.snapshot.version = machine.snapshot.platform = text
    machine.snapshot.devices.add(id=text, name=text)
    return [
        (worker.COLUMNS, {"name": text, **worker_row(one)}),
        (model.COLUMNS, {"name": text, **model_row(known)}),
        (model.COLUMNS, {"name": text, **listed(model_row(known))}),
        (model.FILES, file_row(model_pb2.ModelFile(path=text, sha256=text))),
        (pull.FITS, fit_row(model_pb2.DeviceFit(device=text))),
        (pull.CHOICES, shown_choices(plan)[0][0]),
        (
            (Column("REFERENCE", "reference"), Column("IS PRESENT", "is_present")),
            plan_facts(model_pb2.DownloadPlan(reference=text, revision=text)),
        ),
        (upkeep.FAULTS, fault_row(fault)),
        (hive.COLUMNS, hive_row(machine)),
        (job.COLUMNS, job_row(asked)),
    ]


@hostile
@pytest.mark.parametrize("verbose", [False, True])
def test_a_plain_line_is_one_printable_line(
    capsys: pytest.CaptureFixture[str], text: str, *, verbose: bool
) -> None:
    narration = Narration(text, text, text, 0.0, text, progress=Progress(1, 2, text))
    PlainDisplay(verbose=verbose).narrate(narration)
    written = capsys.readouterr().err
    assert written.removesuffix("\n").isprintable()
    assert len(written) < LINE_MAX


@hostile
@pytest.mark.parametrize("width", [10, 20, 40, 80, 200])
def test_a_live_step_is_one_row_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, text: str, width: int
) -> None:
    terminal = attach(monkeypatch, width=width)
    with closing(LiveDisplay()) as display:
        for done in (1, 2):
            for target in (text, text + "x"):
                step = Progress(done, 3, "bytes")
                display.event(told(text, target=target, action="x", progress=step))
            display.redraw()
            assert 1 <= len(terminal.screen()) <= 2
        display.event(told(text, action="y"))
    assert terminal.screen() == []


@hostile
def test_a_live_warning_and_a_line_that_stays_are_text(
    monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    terminal = attach(monkeypatch, width=WIDE)
    with closing(LiveDisplay(lasting_s=0.0)) as display:
        display.event(told(text, level=Level.WARN))
        display.event(told(text, action="x"))
        display.event(told(""))
    warning, *lines = terminal.screen()
    assert [line.removeprefix("✓").strip() for line in lines if line] == [
        said for said in (warning.removeprefix("warning:").strip(),) if said
    ]


@pytest.mark.parametrize("name", ["markup", "emoji code", "braces"])
def test_a_live_step_shows_markup_as_it_is(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    terminal = attach(monkeypatch, width=120)
    with closing(LiveDisplay()) as display:
        display.event(told(HOSTILE[name]))
        display.redraw()
        assert terminal.screen()[-1][2:] == HOSTILE[name]


def test_an_answer_on_a_terminal_commands_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = attach(monkeypatch)
    with closing(LiveDisplay()) as display:
        for text in HOSTILE.values():
            for piece in (text, *text[:50]):  # whole, and cut anywhere
                display.event(token(piece))
    written = terminal.getvalue()
    assert not set(written) & set("\x1b\x9b\x9d\r\b\x07\x00\u202e\u2066")
    assert "[red]x[/red]" in written


@hostile
def test_tables_are_a_line_a_row_on_any_terminal(
    monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    for columns, row in tables(text):
        terminal = attach(monkeypatch, width=WIDE)
        output.show_table(columns, [row, row], as_json=False)
        heading, first, second = terminal.screen()
        assert heading.startswith(columns[0].heading)
        assert first == second
        terminal = attach(monkeypatch, width=WIDE)
        output.show_facts(row, as_json=False)
        assert len(terminal.screen()) == len(row) + 2 * isinstance(row.get("error"), dict)


@hostile
def test_a_line_of_data_is_one_line_on_any_terminal(
    monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    terminal = attach(monkeypatch, width=WIDE)
    output.show_line(text)
    assert len(terminal.screen()) <= 1
    assert terminal.getvalue().removesuffix("\n").isprintable()


@hostile
def test_json_is_printable_and_means_the_same(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    for _, row in tables(text):
        terminal = attach(monkeypatch)
        output.show_facts(row, as_json=True)
        written = terminal.getvalue()
        assert written.replace("\n", "").isprintable()
        assert json.loads(written) == row


@hostile
def test_json_events_are_printable_lines_that_mean_the_same(
    capsys: pytest.CaptureFixture[str], text: str
) -> None:
    display = JsonDisplay()
    display.event(told(text, target=text, action="x"))
    display.event(token(text))
    lines = capsys.readouterr().out.split("\n")
    assert lines.pop() == ""
    assert all(line.isprintable() for line in lines)
    narration, completion = map(json.loads, lines)
    assert (narration["narration"]["human"], narration["narration"]["target"]) == (text, text)
    assert completion["completion"]["text"] == text


@hostile
def test_an_error_is_a_line_and_its_hint_another(
    monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    terminal = attach(monkeypatch, width=WIDE)
    output.show_error(RbeeError(f"no {text}", hint=f"do {text}"), as_json=False)
    output.say(f"note: {text}")
    error, hint, note = terminal.screen()
    assert error.startswith("error: no")
    assert hint.startswith("hint: do")
    assert note.startswith("note:")


@hostile
def test_an_error_for_programs_is_one_printable_line(
    capsys: pytest.CaptureFixture[str], text: str
) -> None:
    output.show_error(RbeeError(text, reason="R", hint=text), as_json=True)
    written = capsys.readouterr().err
    assert written.removesuffix("\n").isprintable()
    assert json.loads(written)["error"]["reason"] == "R"
