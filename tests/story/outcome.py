"""May a scripted job have ended as it did, and does its story say what the script says?"""

from collections.abc import Iterator, Sequence

from rbee.v1 import job_pb2
from rbee_shared.jobs.merge import is_forgotten
from tests.story.script import Script
from tests.story.validator import Reading

ALLOWED_BY_DEATH_OF = {
    "QUEEN_RESTARTED": {"queen"},
    "HIVE_LOST": {"hive"},
    "NO_HIVE": {"hive", "link"},  # while nobody can be heard, nothing new is begun
}


def faults_of_end(
    job: job_pb2.Job,
    script: Script,
    reading: Reading,
    *,
    may_be_cancelled: bool,
    deaths: Sequence[str],
) -> list[str]:
    """Return what is wrong with the end of a job.

    Args:
        job: as the queen lists it.
        script: what it was to tell.
        reading: its whole story, from the start.
        may_be_cancelled: somebody asked, or it needed a watcher.
        deaths: which daemons were killed meanwhile.
    """
    return [
        *_story(job, script, reading),
        *_state(job, reading, may_be_cancelled=may_be_cancelled, deaths=deaths),
    ]


def _story(job: job_pb2.Job, script: Script, reading: Reading) -> Iterator[str]:
    text = "".join(event.completion.text for event in reading.events)
    humans = [
        event.narration.human for event in reading.events if event.narration.action == "script"
    ]
    forgotten = any(is_forgotten(event) for event in reading.events)
    done = job.state == job_pb2.JOB_STATE_COMPLETED
    if not script.text().startswith(text):
        yield f"it says what the script does not: {text!r}"
    if done and text != script.text() and not forgotten:
        yield f"it says less than the script: {text!r}"
    if humans != script.humans()[: len(humans)] or (done and humans != script.humans()):
        yield f"it tells what the script does not: {humans}"


def _state(
    job: job_pb2.Job, reading: Reading, *, may_be_cancelled: bool, deaths: Sequence[str]
) -> Iterator[str]:
    told = reading.events[-1].state if reading.events else job_pb2.JobStateChange()
    if told.state != job.state:
        yield f"it is listed as {job.state} and its story ends with {told.state}"
    if job.state == job_pb2.JOB_STATE_CANCELLED and not may_be_cancelled:
        yield f"nobody cancelled it: {job.error.message}"
    explained = not ALLOWED_BY_DEATH_OF.get(job.error.reason, set()).isdisjoint(deaths)
    if job.state == job_pb2.JOB_STATE_FAILED and not explained:
        yield f"nothing explains its failure: {job.error.reason}: {job.error.message}"
