import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from rbee.v1 import error_pb2, narration_pb2
from rbee_shared.contracts import wire
from rbee_shared.errors import ModelNotFoundError, NotFoundError, RbeeError
from rbee_shared.narration.event import Level, Narration, Progress


def test_a_narration_comes_back_as_it_went() -> None:
    narration = Narration(
        actor="hive",
        action="model_download",
        human="fetching",
        time_s=1_700_000_000.25,
        target="tiny",
        level=Level.ERROR,
        fields={"model": "tiny", "done": 3, "ratio": 0.5, "minus": -7},
        progress=Progress(3, 9, "bytes"),
        correlation_id="c-1",
        cute="bzz",
        story="said she",
    )
    assert wire.narration_from_proto(wire.narration_to_proto(narration)) == narration


def test_a_step_without_measure_has_no_progress() -> None:
    event = wire.narration_to_proto(Narration("a", "b", "c", 1.0))
    assert not event.HasField("progress")
    assert wire.narration_from_proto(event).progress is None


@pytest.mark.parametrize("level", [0, 77])
def test_an_unknown_level_is_info(level: int) -> None:
    event = narration_pb2.NarrationEvent()
    event.ParseFromString(bytes([0x28, level]))
    assert wire.narration_from_proto(event).level == Level.INFO


def test_an_error_keeps_its_kind_reason_and_hint() -> None:
    error = wire.error_from_proto(wire.error_to_proto(ModelNotFoundError("tiny")))
    assert isinstance(error, NotFoundError)
    assert (error.reason, error.hint) == ("MODEL_NOT_FOUND", ModelNotFoundError.hint)
    assert str(error) == "no model `tiny` on this hive"


def test_an_error_is_cleaned_both_ways() -> None:
    dirty = RbeeError("token=abc\ud800", reason="NO\x1b[3", hint="\x1b[31mkey=abc")
    sent = wire.error_to_proto(dirty)
    assert (sent.message, sent.reason) == ("token=[REDACTED]", "NO__3")
    assert sent.hint == "key=[REDACTED]"
    got = wire.error_from_proto(
        error_pb2.Error(code=5, reason="\x1b", message="\x07x", hint="\x07")
    )
    assert (str(got), got.reason, got.hint) == ("x", "_", "")


@pytest.mark.parametrize("code", [0, 2, 99, -1])
def test_an_unknown_code_is_internal(code: int) -> None:
    assert type(wire.error_from_proto(error_pb2.Error(code=code, message="x"))) is RbeeError


@pytest.mark.parametrize("time_s", [0.0, 1.5, 1_700_000_000.123456])
def test_times_come_back(time_s: float) -> None:
    assert wire.seconds(wire.timestamp(time_s)) == pytest.approx(time_s, abs=1e-6)
    assert wire.seconds(wire.duration(time_s)) == pytest.approx(time_s, abs=1e-6)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (1_700_000_000, "2023-11-14T22:13:20.000Z"),
        (-(10**17), "1970-01-01T00:00:00.000Z"),
        (10**17, "9999-12-31T23:59:59.000Z"),
    ],
)
def test_a_time_for_people_is_within_the_calendar(seconds: int, text: str) -> None:
    assert wire.iso(Timestamp(seconds=seconds)) == text
