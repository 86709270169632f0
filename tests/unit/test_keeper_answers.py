"""Several answers, calls of tools and log-probabilities, as a person sees them."""

import pytest

from rbee.v1 import inference_pb2, job_pb2, operation_pb2
from rbee_keeper.display import opened_display
from rbee_keeper.logprobs import ROWS_MAX, LogprobTable
from tests.terminal import HOSTILE, attach

Captured = pytest.CaptureFixture[str]


def piece(text: str, index: int = 0) -> job_pb2.JobEvent:
    return job_pb2.JobEvent(completion=inference_pb2.Completion(text=text, index=index))


def ended(*calls: list[inference_pb2.ToolCall]) -> job_pb2.JobEvent:
    infer = operation_pb2.InferResult(
        finishes=[
            inference_pb2.Finish(index=index, tool_calls=each) for index, each in enumerate(calls)
        ]
    )
    return job_pb2.JobEvent(result=operation_pb2.Result(infer=infer))


def shown(*events: job_pb2.JobEvent, verbose: bool = False) -> None:
    with opened_display(as_json=False, verbose=verbose) as display:
        for event in events:
            display.event(event)


def test_mixed_answers_are_printed_one_after_the_other(capsys: Captured) -> None:
    shown(piece("a"), piece("x", 1), piece("b"), piece("y\n", 1), ended([], [], []))
    assert capsys.readouterr().out == "ab\n---\nxy\n---\n"


def test_the_first_answer_is_not_held_back(capsys: Captured) -> None:
    with opened_display(as_json=False, verbose=False) as display:
        display.event(piece("x", 1))
        display.event(piece("a"))
        assert capsys.readouterr().out == "a"
    assert capsys.readouterr().out == "\n---\nx\n"


def test_on_a_terminal_answers_keep_apart_and_command_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = attach(monkeypatch)
    shown(piece("first"), piece("second" + HOSTILE["clear screen"], 1), ended([], []))
    rows = terminal.screen()
    assert rows[:2] == ["first", "---"]
    assert rows[2].startswith("second")


def test_a_call_is_a_line_of_json_with_its_arguments_read(capsys: Captured) -> None:
    call = inference_pb2.ToolCall(id="c-1", name="find", arguments='{"city": "Bern"}')
    cut = inference_pb2.ToolCall(id="c-2", name="find", arguments='{"city')
    shown(piece("I look."), ended([call, cut]))
    assert capsys.readouterr().out.splitlines() == [
        "I look.",
        '{"id": "c-1", "name": "find", "arguments": {"city": "Bern"}}',
        '{"id": "c-2", "name": "find", "arguments": "{\\"city"}',
    ]


def logprob(text: bytes, value: float, token_id: int = 0) -> inference_pb2.TokenLogprob:
    return inference_pb2.TokenLogprob(token_id=token_id, text=text, logprob=value)


def with_logprobs(count: int = 1) -> job_pb2.JobEvent:
    chosen = logprob(b" sky", -0.5, 1)
    each = inference_pb2.Logprobs(chosen=chosen, alternatives=[chosen, logprob(b"\xe2", -1.0, 2)])
    completion = inference_pb2.Completion(text=" sky", logprobs=[each] * count)
    return job_pb2.JobEvent(completion=completion)


def test_log_probabilities_are_a_table_for_who_asks_for_all(capsys: Captured) -> None:
    shown(with_logprobs(), verbose=True)
    captured = capsys.readouterr()
    assert captured.out == " sky\n"
    assert [line.split() for line in captured.err.splitlines()] == [
        ["TOKEN", "LOGPROB", "SHARE", "INSTEAD", "OF"],
        ["'", "sky'", "-0.500", "60.7", "%", "'\\\\xe2'", "36.8", "%"],
    ]
    shown(with_logprobs())
    assert capsys.readouterr().err == ""


def test_log_probabilities_of_several_answers_are_told_answer_by_answer(capsys: Captured) -> None:
    table = LogprobTable()
    for index in (1, 0, 1):
        piece = with_logprobs().completion
        piece.index = index
        table.take(piece)
    table.show()
    first, *lines = capsys.readouterr().err.splitlines()
    assert first.split()[:2] == ["ANSWER", "TOKEN"]
    assert [line.split()[0] for line in lines] == ["1", "2", "2"]


def test_letters_are_shown_as_letters_and_commands_as_their_codes(capsys: Captured) -> None:
    chosen = logprob("\xfc\u202e".encode(), -0.5, 1)
    table = LogprobTable()
    table.take(inference_pb2.Completion(logprobs=[inference_pb2.Logprobs(chosen=chosen)]))
    table.show()
    assert capsys.readouterr().err.splitlines()[1].startswith("'\xfc\\u202e'")


def test_a_long_table_says_what_is_left_out(capsys: Captured) -> None:
    table = LogprobTable()
    for _ in range(3):
        table.take(with_logprobs(ROWS_MAX // 2).completion)
    table.show()
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 + ROWS_MAX + 1
    assert lines[-1] == f"and {ROWS_MAX // 2} tokens more; `--json` has all"
