"""`rbee queen ...`: the control plane's process."""

import sys
from typing import Annotated

import typer

from rbee_keeper import output, queen
from rbee_keeper.blocking import blocking
from rbee_keeper.display import opened_display
from rbee_keeper.lazy import noun
from rbee_keeper.logs import shown
from rbee_keeper.options import Json, Verbose, Voice, number
from rbee_keeper.voice import chosen
from rbee_shared.errors import FailedPreconditionError
from rbee_shared.lifecycle import launch
from rbee_shared.paths import resolve

app = noun("Start, stop and read the control plane.")


@app.command("start")
@blocking
async def start(
    separate_hive: Annotated[
        bool, typer.Option("--separate-hive", help="Run this machine's hive as its own process.")
    ] = False,
    as_json: Json = False,
    verbose: Verbose = False,
    mode: Voice = None,
) -> None:
    """Start the queen in the background. One that runs already is left as it is.

    Example: rbee queen start
    """
    with opened_display(as_json=False, verbose=verbose, mode=chosen(mode)) as display:
        holder, is_new = await queen.ensure(display, separate_hive=separate_hive)
    if as_json:
        output.show_json({"pid": holder.pid, "address": holder.address, "started": is_new})
        return
    how = "runs" if is_new else "runs already"
    output.say(f"the queen {how} (pid {holder.pid}, {holder.address})")


@app.command("stop")
@blocking
async def stop(as_json: Json = False) -> None:
    """Stop the queen, its hive and its workers. Where none runs, nothing is done.

    Example: rbee queen stop
    """
    holder = queen.running()
    if holder is None:
        _tell_stopped(None, as_json=as_json)
        return
    killed = await launch.stop(holder, grace_s=queen.STOP_GRACE_S)
    _tell_stopped(holder.pid, as_json=as_json)
    if killed:
        output.say("warning: it had to be killed")


@app.command("status")
def status(as_json: Json = False) -> None:
    """Say whether a queen runs, and where. Starts nothing.

    Example: rbee queen status --json
    """
    holder = queen.running()
    facts = {
        "running": holder is not None,
        "pid": holder.pid if holder else None,
        "address": holder.address if holder else None,
        "version": holder.version if holder else None,
        "log_file": str(resolve().log_file(queen.NAME)),
    }
    output.show_facts(facts, as_json=as_json)


@app.command("logs")
def logs(
    lines: Annotated[
        int,
        typer.Option(
            "--lines", "-n", parser=number(minimum=1), metavar="N", help="The newest lines."
        ),
    ] = 50,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as they come.")] = False,
    as_json: Json = False,
) -> None:
    """Show what the queen wrote: narration that belongs to no job, and errors.

    Example: rbee queen logs --follow
    """
    file = resolve().log_file(queen.NAME)
    if not file.exists():
        raise FailedPreconditionError(
            "no queen has written a log yet", reason="LOG_MISSING", hint="`rbee queen start`"
        )
    for text in shown(file, lines, follow=follow, as_json=as_json):
        sys.stdout.write(text + "\n")
        sys.stdout.flush()


def _tell_stopped(pid: int | None, *, as_json: bool) -> None:
    if as_json:
        output.show_json({"stopped": pid is not None, "pid": pid})
    else:
        output.say(f"the queen has stopped (pid {pid})" if pid else "no queen runs")
