"""Between frozen values and wire messages: narration, errors, times. Shared by every process."""

from datetime import UTC, datetime

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from rbee.v1 import error_pb2, narration_pb2
from rbee_shared.errors import RbeeError, rebuild
from rbee_shared.narration.event import Field, Level, Narration, Progress
from rbee_shared.narration.redact import TIME_S_MAX, clean_name, clean_text


def timestamp(time_s: float) -> Timestamp:
    """Return seconds since the epoch as a Timestamp."""
    whole = int(time_s)
    return Timestamp(seconds=whole, nanos=int((time_s - whole) * 1e9))


def seconds(value: Timestamp | Duration) -> float:
    """Return a Timestamp as seconds since the epoch, or a Duration as seconds."""
    return value.seconds + value.nanos / 1e9


def duration(value_s: float) -> Duration:
    """Return seconds as a Duration."""
    whole = int(value_s)
    return Duration(seconds=whole, nanos=int((value_s - whole) * 1e9))


def iso(value: Timestamp) -> str:
    """Return a Timestamp in ISO 8601, UTC, to the millisecond; within the years 1970 to 9999."""
    moment = datetime.fromtimestamp(max(0.0, min(seconds(value), TIME_S_MAX)), tz=UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def error_to_proto(error: RbeeError) -> error_pb2.Error:
    """Return an error as data, cleaned of secrets."""
    return error_pb2.Error(
        code=error.code,
        reason=clean_name(error.reason),
        message=clean_text(str(error)),
        hint=clean_text(error.hint),
    )


def error_from_proto(error: error_pb2.Error) -> RbeeError:
    """Return the error that another process meant."""
    return rebuild(
        error.code, clean_name(error.reason), clean_text(error.message), clean_text(error.hint)
    )


def narration_to_proto(narration: Narration) -> narration_pb2.NarrationEvent:
    """Return a narration for the wire."""
    event = narration_pb2.NarrationEvent(
        actor=narration.actor,
        action=narration.action,
        target=narration.target,
        human=narration.human,
        level=narration_pb2.NarrationLevel.ValueType(narration.level),
        fields=[_field_to_proto(name, value) for name, value in narration.fields.items()],
        cute=narration.cute,
        story=narration.story,
        correlation_id=narration.correlation_id,
        create_time=timestamp(narration.time_s),
    )
    if narration.progress is not None:
        event.progress.CopyFrom(_progress_to_proto(narration.progress))
    return event


def narration_from_proto(event: narration_pb2.NarrationEvent) -> Narration:
    """Return a narration from the wire, as it came: `emit` cleans it."""
    fields: dict[str, Field] = {each.name: _field_from_proto(each) for each in event.fields}
    known = {level.value for level in Level}
    return Narration(
        actor=event.actor,
        action=event.action,
        human=event.human,
        time_s=seconds(event.create_time),
        target=event.target,
        level=Level(event.level) if event.level in known else Level.INFO,
        fields=fields,
        progress=_progress_from_proto(event.progress) if event.HasField("progress") else None,
        correlation_id=event.correlation_id,
        cute=event.cute,
        story=event.story,
    )


def _progress_to_proto(progress: Progress) -> narration_pb2.Progress:
    message = narration_pb2.Progress(
        done=progress.done, total=progress.total, unit=progress.unit, rate=progress.rate
    )
    if progress.remaining_s is not None:
        message.remaining_duration.CopyFrom(duration(progress.remaining_s))
    return message


def _progress_from_proto(message: narration_pb2.Progress) -> Progress:
    is_known = message.HasField("remaining_duration")
    return Progress(
        done=message.done,
        total=message.total,
        unit=message.unit,
        rate=message.rate,
        remaining_s=seconds(message.remaining_duration) if is_known else None,
    )


def _field_to_proto(name: str, value: Field) -> narration_pb2.NarrationField:
    if isinstance(value, str):
        return narration_pb2.NarrationField(name=name, text=value)
    if isinstance(value, int):
        return narration_pb2.NarrationField(name=name, integer=value)
    return narration_pb2.NarrationField(name=name, number=value)


def _field_from_proto(field: narration_pb2.NarrationField) -> Field:
    match field.WhichOneof("value"):
        case "integer":
            return field.integer
        case "number":
            return field.number
        case _:
            return field.text
