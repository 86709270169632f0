"""`rbee self-check`: prove that what is told anywhere reaches the job."""

from rbee.v1 import operation_pb2 as pb
from rbee_keeper import output, queen
from rbee_keeper.blocking import blocking
from rbee_keeper.display import opened_display
from rbee_keeper.follow import run_job
from rbee_keeper.lazy import verb
from rbee_keeper.options import Json, Verbose, Voice
from rbee_keeper.output import Column
from rbee_keeper.voice import chosen
from rbee_shared.errors import FailedPreconditionError

app = verb()

COLUMNS = (Column("CHECK", "name"), Column("PASSED", "passed"), Column("DETAIL", "detail"))


@app.command()
@blocking
async def self_check(as_json: Json = False, verbose: Verbose = False, mode: Voice = None) -> None:
    """Prove on the running system that all parts hear each other, under one job id.

    Example: rbee self-check
    """
    operation = pb.Operation(self_check=pb.SelfCheckOperation())
    with opened_display(as_json=False, verbose=verbose, mode=chosen(mode)) as display:
        async with queen.client(display) as client:
            checks = (await run_job(client, operation, display)).self_check.checks
    rows = [{"name": each.name, "passed": each.passed, "detail": each.detail} for each in checks]
    output.show_table(COLUMNS, rows, as_json=as_json)
    if failed := [row["name"] for row in rows if not row["passed"]]:
        raise FailedPreconditionError(
            f"does not hold: {', '.join(map(str, failed))}", reason="SELF_CHECK_FAILED"
        )
