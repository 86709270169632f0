"""`rbee hive ...`: the machines."""

from typing import Annotated

import typer

from rbee.v1 import operation_pb2 as pb
from rbee_keeper import output, queen
from rbee_keeper.blocking import blocking
from rbee_keeper.lazy import noun
from rbee_keeper.options import Json
from rbee_keeper.output import Column
from rbee_keeper.rows import hive_row

app = noun("List the machines.")

COLUMNS = (
    Column("NAME", "name"),
    Column("STATE", "state"),
    Column("ADDRESS", "address"),
    Column("VERSION", "version"),
    Column("DEVICES", "devices"),
    Column("MODELS", "models"),
    Column("WORKERS", "workers"),
)


@app.command("list")
@app.command("ls", hidden=True)
@blocking
async def list_hives(as_json: Json = False) -> None:
    """List the hives that the queen knows.

    Example: rbee hive list
    """
    async with queen.client() as client:
        asked = pb.Operation(hive_list=pb.HiveListOperation())
        hives = (await client.call(asked)).hive_list.hives
    output.show_table(COLUMNS, [hive_row(hive) for hive in hives], as_json=as_json)


@app.command("show")
@blocking
async def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The hive's name.")],
    as_json: Json = False,
) -> None:
    """Show all that is known of a hive.

    Example: rbee hive show localhost
    """
    async with queen.client() as client:
        asked = pb.Operation(hive_get=pb.HiveGetOperation(name=name))
        hive = (await client.call(asked)).hive_get.hive
    output.show_facts(hive_row(hive), as_json=as_json)
