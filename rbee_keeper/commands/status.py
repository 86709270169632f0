"""`rbee status`: the queen, its hives and addresses."""

import time

from rbee.v1 import operation_pb2 as pb
from rbee_keeper import output, queen
from rbee_keeper.blocking import blocking
from rbee_keeper.commands.hive import COLUMNS
from rbee_keeper.lazy import verb
from rbee_keeper.options import Json
from rbee_keeper.rows import hive_row
from rbee_shared.contracts import wire

app = verb()


@app.command()
@blocking
async def status(as_json: Json = False) -> None:
    """Show the queen, its hives, and where clients in other languages reach it.

    Example: rbee status --json
    """
    async with queen.client() as client:
        found = (await client.call(pb.Operation(status=pb.StatusOperation()))).status
    facts = {
        "version": found.version,
        "pid": found.pid,
        "uptime_s": round(time.time() - wire.seconds(found.start_time)),
        "addresses": list(found.addresses),
        "token_file": str(queen.paths().token_file),
        "running_jobs": found.running_job_count - 1,  # this very question is one
    }
    hives = [hive_row(hive) for hive in found.hives]
    if as_json:
        output.show_json({**facts, "hives": hives})
        return
    output.show_facts(facts, as_json=False)
    output.show_gap()
    output.show_table(COLUMNS, hives, as_json=False)
