from dataclasses import replace
from typing import Any

import pytest

from rbee_shared.errors import InvalidArgumentError
from rbee_worker.sampling.params import SamplingParams

EDGES: list[dict[str, Any]] = [
    {},
    {"temperature": 0.0, "top_p": 1e-9, "min_p": 1.0, "logprobs": 0, "n": 16},
    {"temperature": 2.0, "top_k": 100, "min_p": 0.0, "logprobs": 20, "max_tokens": 1},
    {"repetition_penalty": 0.01, "frequency_penalty": -2.0, "presence_penalty": 2.0},
    {"repetition_penalty": 2.0, "min_tokens": 5, "max_tokens": 5, "ignore_eos": True},
    {"stop": ("x" * 256,) * 16, "stop_token_ids": (99,) * 64},
    {"logit_bias": ((0, -100.0), (99, 100.0)), "seed": -1},
]
FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"temperature": 2.1}, "temperature is not in 0..2"),
    ({"temperature": float("nan")}, "temperature is not in 0..2"),
    ({"top_k": -1}, "top_k is negative"),
    ({"top_k": 101}, "top_k is above the model's vocabulary, which has 100 tokens"),
    ({"top_p": 0.0}, "top_p is not above 0 and at most 1"),
    ({"min_p": 1.1}, "min_p is not in 0..1"),
    ({"max_tokens": 0}, "max_tokens is below 1"),
    ({"min_tokens": -1}, "min_tokens is negative"),
    ({"min_tokens": 3, "max_tokens": 2}, "min_tokens is above max_tokens"),
    ({"stop": ("",)}, "a stop string has not 1 to 256 characters"),
    ({"stop": ("x",) * 17}, "there are over 16 stop strings"),
    ({"stop_token_ids": (1,) * 65}, "there are over 64 stop_token_ids"),
    ({"stop_token_ids": (-1,)}, "a stop_token_id is negative"),
    ({"stop_token_ids": (100,)}, "a stop_token_id is not a token of the model"),
    ({"repetition_penalty": 0.0}, "repetition_penalty is not in 0.01..2"),
    ({"frequency_penalty": 2.1}, "frequency_penalty is not in -2..2"),
    ({"presence_penalty": -2.1}, "presence_penalty is not in -2..2"),
    ({"presence_penalty": float("nan")}, "presence_penalty is not in -2..2"),
    ({"logit_bias": ((1, 100.5),)}, "a logit_bias is not in -100..100"),
    ({"logit_bias": ((1, 1.0), (1, 2.0))}, "logit_bias names a token twice"),
    ({"logit_bias": ((-1, 1.0),)}, "logit_bias names a negative token"),
    ({"logit_bias": ((100, 1.0),)}, "logit_bias names a token that is not the model's"),
    ({"logit_bias": tuple((each, 1.0) for each in range(301))}, "logit_bias has over 300 tokens"),
    ({"logprobs": 21}, "logprobs is not in 0..20"),
    ({"logprobs": -1}, "logprobs is not in 0..20"),
    ({"n": 0}, "n is not in 1..16"),
    ({"n": 17}, "n is not in 1..16"),
]


@pytest.mark.parametrize("asked", EDGES)
def test_all_up_to_the_edges_is_accepted(asked: dict[str, Any]) -> None:
    SamplingParams(**asked).check(vocab_size=100)


@pytest.mark.parametrize(("asked", "fault"), FAULTS)
def test_what_is_beyond_is_refused_by_name(asked: dict[str, Any], fault: str) -> None:
    with pytest.raises(InvalidArgumentError, match=fault) as refused:
        SamplingParams(**asked).check(vocab_size=100)
    assert refused.value.reason == "SAMPLING_INVALID"


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(InvalidArgumentError) as refused:
        SamplingParams(top_p=2.0, n=0, min_tokens=-1, presence_penalty=9.0).check()
    assert str(refused.value).count(";") == 3


def test_a_value_that_was_asked_for_is_not_repeated() -> None:
    with pytest.raises(InvalidArgumentError) as refused:
        SamplingParams(temperature=77.0, stop=("secret" * 99,), top_k=-77).check()
    assert "secret" not in str(refused.value)
    assert "77" not in str(refused.value)


def test_what_only_a_model_can_tell_is_left_out_without_one() -> None:
    params = SamplingParams(top_k=10**6, stop_token_ids=(10**6,), logit_bias=((10**6, 1.0),))
    params.check()
    with pytest.raises(InvalidArgumentError):
        replace(params, top_k=0).check(vocab_size=100)
