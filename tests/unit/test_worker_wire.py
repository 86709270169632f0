import pytest

from rbee.v1 import inference_pb2, worker_service_pb2 as pb
from rbee_shared.errors import InvalidArgumentError, UnimplementedError
from rbee_worker import device
from rbee_worker.sampling.params import SamplingParams
from rbee_worker.wire import request_of


def test_absent_is_the_default_and_zero_is_zero() -> None:
    assert request_of(pb.GenerateRequest(prompt="x")).sampling == SamplingParams()
    zero = inference_pb2.SamplingParams(temperature=0, seed=0)
    found = request_of(pb.GenerateRequest(prompt="x", sampling=zero)).sampling
    assert (found.temperature, found.seed) == (0, 0)


def test_what_this_worker_cannot_do_is_refused_by_name() -> None:
    asked = inference_pb2.SamplingParams(min_p=0.1, n=2)
    with pytest.raises(UnimplementedError, match="min_p, n"):
        request_of(pb.GenerateRequest(prompt="x", sampling=asked))
    with pytest.raises(UnimplementedError, match="begun"):
        request_of(pb.GenerateRequest(prompt="x", begun_token_ids=[1]))


def test_nothing_to_answer_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="nothing to answer"):
        request_of(pb.GenerateRequest())


def test_all_faults_of_sampling_are_told_at_once() -> None:
    wrong = SamplingParams(temperature=3, top_k=-1, top_p=0, max_tokens=0, stop=("",) * 17)
    with pytest.raises(InvalidArgumentError) as info:
        wrong.check()
    for name in ("temperature", "top_k", "top_p", "max_tokens", "stop strings", "characters"):
        assert name in str(info.value)


@pytest.mark.parametrize("text", ["", "gpu", "cpu:1", "cuda:", "cuda:-1", "cuda:0 ", "cuda:9999"])
def test_a_malformed_device_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgumentError, match="malformed"):
        device.parse(text)


def test_a_device_reads_back() -> None:
    assert [str(device.parse(text)) for text in ("cpu", "cpu:0", "cuda:3")] == [
        "cpu:0",
        "cpu:0",
        "cuda:3",
    ]
