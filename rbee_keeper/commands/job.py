"""`rbee job ...`: what is being done, and what was."""

from typing import Annotated

import typer

from rbee.v1 import job_pb2
from rbee_client.client import result_of
from rbee_keeper import output, queen
from rbee_keeper.blocking import blocking
from rbee_keeper.display import opened_display
from rbee_keeper.lazy import noun
from rbee_keeper.options import INT64_MAX, Json, Verbose, Voice, number
from rbee_keeper.output import Column
from rbee_keeper.rows import job_row
from rbee_keeper.timings import where_time_went
from rbee_keeper.voice import chosen
from rbee_shared.errors import JobCancelledError

app = noun("List, watch and cancel jobs.")

JobId = Annotated[
    str, typer.Argument(metavar="JOB", help="The job's id, as `rbee job list` shows it.")
]
COLUMNS = (
    Column("ID", "id"),
    Column("OPERATION", "kind"),
    Column("MODEL", "model"),
    Column("STATE", "state"),
    Column("CREATED", "create_time", "time"),
    Column("ENDED", "end_time", "time"),
    Column("EVENTS", "events"),
)
# lists and looks are jobs too, but nobody wants to see them among what was asked for
LOOKS = {
    "status",
    "hive_list",
    "hive_get",
    "model_list",
    "model_get",
    "worker_list",
    "worker_get",
    "worker_logs",
    "device_list",
}
RUNNING = (job_pb2.JOB_STATE_QUEUED, job_pb2.JOB_STATE_RUNNING)


@app.command("list")
@app.command("ls", hidden=True)
@blocking
async def list_jobs(
    count: Annotated[
        int,
        typer.Option("--count", "-n", parser=number(1, 1_000), metavar="N", help="At most."),
    ] = 100,
    running: Annotated[bool, typer.Option("--running", help="Only those being done.")] = False,
    everything: Annotated[
        bool, typer.Option("--all", "-a", help="Also jobs that only looked something up.")
    ] = False,
    as_json: Json = False,
) -> None:
    """List jobs, the newest first.

    Example: rbee job list --running
    """
    async with queen.client() as client:
        jobs = await client.jobs(1_000, RUNNING if running else ())
    rows = [job_row(job) for job in jobs]
    rows = [row for row in rows if everything or row["kind"] not in LOOKS][:count]
    output.show_table(COLUMNS, rows, as_json=as_json)


@app.command("show")
@blocking
async def show(job_id: JobId, as_json: Json = False) -> None:
    """Show one job: what it does, its state, where its time went, and why it failed.

    Example: rbee job show j-3f9a2c01d4e5
    """
    async with queen.client() as client:
        job = await client.job(job_id)
        row = job_row(job)
        if job.HasField("end_time"):
            story = [event async for event in client.watch(job_id)]
            row["took"] = where_time_went(story)
    output.show_facts(row, as_json=as_json)


@app.command("watch")
@blocking
async def watch(
    job_id: JobId,
    after: Annotated[
        int,
        typer.Option(
            "--from",
            parser=number(1, INT64_MAX),
            metavar="N",
            help="The first event to show; 1: the whole story.",
        ),
    ] = 1,
    as_json: Json = False,
    verbose: Verbose = False,
    mode: Voice = None,
) -> None:
    """Show a job's whole story, then follow it live. Ctrl-C stops watching; the job goes on.

    Example: rbee job watch j-3f9a2c01d4e5
    """
    with opened_display(as_json=as_json, verbose=verbose, whole=True, mode=chosen(mode)) as display:
        async with queen.client(display) as client:
            try:
                await result_of(client.watch(job_id, after - 1), display.event)
            except JobCancelledError as error:
                display.close()
                if not as_json:
                    output.say(f"the job was cancelled: {error}")


@app.command("cancel")
@blocking
async def cancel(job_id: JobId, as_json: Json = False) -> None:
    """Stop a job at every hop. A job that has ended is left as it is.

    Example: rbee job cancel j-3f9a2c01d4e5
    """
    async with queen.client() as client:
        job = await client.cancel(job_id, "cancelled by `rbee job cancel`")
    row = job_row(job)
    if as_json:
        output.show_json(row)
        return
    ended = row["state"] in ("completed", "failed", "cancelled")
    output.say(f"{job_id} had {row['state']} already" if ended else f"stopping {job_id}")
