"""Live displays of the keeper, and the progress that they draw."""

from collections.abc import Callable

from rbee.v1 import job_pb2
from rbee_keeper.live import LiveDisplay
from rbee_shared.narration.event import Level, Progress
from tests.job_events import told

Open = Callable[..., LiveDisplay]
QUEUED, RUNNING = job_pb2.JOB_STATE_QUEUED, job_pb2.JOB_STATE_RUNNING
COMPLETED, FAILED = job_pb2.JOB_STATE_COMPLETED, job_pb2.JOB_STATE_FAILED
SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
CANCELLED = job_pb2.JOB_STATE_CANCELLED


def bar(
    target: str, done: int, *, total: int = 100 * 2**20, unit: str = "bytes"
) -> job_pb2.JobEvent:
    progress = Progress(done, total, unit)
    return told(f"fetching {target}", target=target, action="fetch", progress=progress)


def part(
    number: int, done: int, *, rate: float = 0.0, level: Level = Level.INFO
) -> job_pb2.JobEvent:
    target = f"onnx/{number}.onnx"
    progress = Progress(done, 1000, "bytes", rate=rate)
    return told(target, target=target, action="file_download", progress=progress, level=level)


def draw(display: LiveDisplay, *events: job_pb2.JobEvent) -> None:
    for event in events:
        display.event(event)
    display.redraw()
