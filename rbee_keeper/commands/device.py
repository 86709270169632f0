"""`rbee device ...`: what there is to run on."""

from rbee.v1 import operation_pb2 as pb
from rbee_keeper import output, queen
from rbee_keeper.blocking import blocking
from rbee_keeper.lazy import noun
from rbee_keeper.options import AnyHive, Json
from rbee_keeper.output import Column
from rbee_keeper.rows import device_row

app = noun("List what there is to run on.")

COLUMNS = (
    Column("HIVE", "hive"),
    Column("DEVICE", "id"),
    Column("NAME", "name"),
    Column("CORES", "cores"),
    Column("MEMORY", "memory_bytes", "bytes"),
    Column("FREE", "free_memory_bytes", "bytes"),
)


@app.callback()
def devices() -> None:
    """List what there is to run on."""


@app.command("list")
@app.command("ls", hidden=True)
@blocking
async def list_devices(hive: AnyHive = "", as_json: Json = False) -> None:
    """List the devices of all hives; what is not there is not listed.

    Example: rbee device list
    """
    async with queen.client() as client:
        asked = pb.Operation(device_list=pb.DeviceListOperation(hive=hive))
        hives = (await client.call(asked)).device_list.hives
    rows = [device_row(each.hive, device) for each in hives for device in each.devices]
    output.show_table(COLUMNS, rows, as_json=as_json)
