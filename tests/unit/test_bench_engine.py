"""What the engine's benchmark computes of what it measured, and the file that it makes."""

from pathlib import Path
from typing import Any

import gguf as untyped_gguf
import numpy as np
import pytest

from bench.engine.cases import FAST, RBEE, SAME
from bench.engine.q4_0 import requantized
from bench.engine.rates import decode_rate
from bench.engine.table import Alone, Row, alone, compared, values
from bench.engine.texts import repeated_share
from tests.tiny_llama import TinyLlama

gguf: Any = untyped_gguf


def stream(
    *, begin_s: float, step_s: float, steps: int, tokens: int = 1
) -> list[tuple[float, int]]:
    return [(begin_s + step * step_s, tokens) for step in range(steps)]


def test_one_stream_is_timed_from_its_first_token_to_its_last() -> None:
    rate = decode_rate([stream(begin_s=5, step_s=0.1, steps=11)])
    assert rate.tokens_per_second == pytest.approx(10)
    assert rate.is_at_once


def test_tokens_that_come_together_count_each() -> None:
    rate = decode_rate([[(0.0, 1), (0.1, 3), (0.2, 1), (0.5, 6)]])
    assert rate.tokens_per_second == pytest.approx(20)


def test_streams_are_timed_while_all_of_them_run() -> None:
    alone_at_first = [
        *stream(begin_s=0, step_s=0.01, steps=100),
        *stream(begin_s=1, step_s=0.1, steps=11),
    ]
    late = stream(begin_s=1.001, step_s=0.1, steps=30)
    rate = decode_rate([alone_at_first, late])
    assert rate.is_at_once
    assert rate.tokens_per_second == pytest.approx(20)


def test_streams_that_follow_each_other_are_not_at_once() -> None:
    rate = decode_rate([stream(begin_s=begin_s, step_s=0.1, steps=11) for begin_s in (0, 1, 2)])
    assert not rate.is_at_once
    assert rate.tokens_per_second == pytest.approx(10)


@pytest.mark.parametrize(
    ("prompt", "answer", "share"),
    [([1, 2, 3, 4, 5], [1, 2, 3, 4, 5], 0.6), ([1, 2, 3], [4, 5, 6], 0), ([], [7] * 6, 0.5)],
)
def test_an_answer_is_told_by_what_came_before(
    prompt: list[int], answer: list[int], share: float
) -> None:
    assert repeated_share(prompt, answer) == pytest.approx(share)


ROW = Row(
    "decode",
    "tokens/s",
    {RBEE: [10.0, 30.0, 20.0], SAME: [10.0, 10.0, 10.0], FAST: [20.0, 20.0, 20.0]},
    {SAME: 2.0, FAST: 1.2},
)


def test_a_ratio_is_the_median_of_the_rounds_and_is_held_against_its_goal() -> None:
    line = compared([ROW])[-1]
    assert line == (
        "| decode, tokens/s | 20.0 (10.0 to 30.0) | 10.0 (10.0 to 10.0) | 20.0 (20.0 to 20.0)"
        " | 2.00x of 2x: met | 1.00x of 1.2x: **not met** |"
    )


def test_of_times_the_shorter_is_better() -> None:
    row = Row("again", "ms", {RBEE: [5.0], SAME: [10.0], FAST: [2.5]}, {}, is_time=True)
    assert compared([row])[-1] == "| again, ms | 5.0 | 10.0 | 2.5 | 2.00x | 0.50x |"


def test_what_has_no_goal_is_neither_met_nor_not() -> None:
    rows = [Alone("roofline", "%", [70.0, 90.0, 81.0], 80), Alone("memory", "GB/s", [150.0])]
    assert alone(rows)[2:] == [
        "| roofline, % | 81.0 (70.0 to 90.0) | 80 %: met |",
        "| memory, GB/s | 150 |  |",
    ]
    assert [each["met"] for each in values([ROW, *rows])] == [{SAME: True, FAST: False}, True, None]


def test_what_other_work_disturbed_is_not_judged() -> None:
    row = Row("again", "ms", {RBEE: [5.0], SAME: [9.0], FAST: [9.0]}, {SAME: 1.0}, is_quiet=False)
    assert compared([row])[-1].endswith("| 0.56x of 1x: disturbed | 0.56x |")
    assert row.is_met(SAME) is None
    assert Alone("roofline", "%", [90.0], 80, is_quiet=False).is_met is None


def test_a_file_in_q4_0_keeps_its_metadata_its_vectors_and_the_output(tmp_path: Path) -> None:
    tiny = TinyLlama(kind="Q4_1", kinds={"token_embd.weight": "Q8_0"})
    source, target = tiny.write(tmp_path / "a.gguf"), tmp_path / "b.gguf"
    requantized(source, target)
    before, after = gguf.GGUFReader(source), gguf.GGUFReader(target)
    facts = {name: field.contents() for name, field in before.fields.items()}
    made = {name: field.contents() for name, field in after.fields.items()}
    own = {"GGUF.kv_count", "general.file_type"}
    assert {k: v for k, v in facts.items() if k not in own} == {
        k: v for k, v in made.items() if k not in own
    }
    for old, new in zip(before.tensors, after.tensors, strict=True):
        assert (old.name, list(old.shape)) == (new.name, list(new.shape))
        if old.tensor_type.name == "Q4_1":
            assert new.tensor_type.name == "Q4_0"
            near = gguf.quants.dequantize(new.data, new.tensor_type)
            exact = gguf.quants.dequantize(old.data, old.tensor_type)
            assert np.abs(near - exact).max() < np.abs(exact).max() / 7
        else:
            assert new.tensor_type == old.tensor_type
            assert (new.data == old.data).all()


def test_an_output_of_floats_becomes_q8_0(tmp_path: Path) -> None:
    source = TinyLlama(is_tied=False).write(tmp_path / "a.gguf")
    requantized(source, tmp_path / "b.gguf")
    kinds = {t.name: t.tensor_type.name for t in gguf.GGUFReader(tmp_path / "b.gguf").tensors}
    assert kinds["output.weight"] == "Q8_0"
    assert {kinds[name] for name in ("token_embd.weight", "blk.0.attn_q.weight")} == {"Q4_0"}
    assert kinds["output_norm.weight"] == "F32"
