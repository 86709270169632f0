"""`rbee doctor`: what each machine has to compute with, what is missing, and what to install.

A queen that runs asks her hives: what counts is what the processes see that start workers. Else
this machine is looked at from here, and nothing is started for it.
"""

from typing import Any

from rbee.v1 import operation_pb2 as pb
from rbee_keeper import output, queen
from rbee_keeper.blocking import blocking
from rbee_keeper.lazy import verb
from rbee_keeper.options import AnyHive, Json
from rbee_keeper.output import Column
from rbee_shared.doctor import MachineCheck, examined
from rbee_shared.errors import FailedPreconditionError, HiveNotFoundError, RbeeError
from rbee_shared.ids import LOCALHOST

app = verb()

COLUMNS = (
    Column("HIVE", "hive"),
    Column("CHECK", "name"),
    Column("STATE", "state"),
    Column("SEEN", "detail"),
    Column("WHAT TO DO", "hint"),
)


@app.command()
@blocking
async def doctor(hive: AnyHive = "", as_json: Json = False) -> None:
    """Check what each machine has to compute with, and say what to install.

    Looks at Python, ONNX Runtime, the processor, memory and disk, and where there is an NVIDIA card
    at its driver and libraries; adds two numbers on each device. Fails if a check does.

    Example: rbee doctor
    """
    rows = await _through_the_queen(hive) if queen.running() else await _here(hive)
    output.show_table(COLUMNS, rows, as_json=as_json)
    if failed := [f"{row['name']} ({row['hive']})" for row in rows if row["state"] == "fail"]:
        raise FailedPreconditionError(
            f"not well: {', '.join(failed)}",
            reason="DOCTOR_FAILED",
            hint="the last column says what to do",
        )


async def _through_the_queen(hive: str) -> list[dict[str, Any]]:
    asked = pb.SelfCheckOperation(hive=hive, machine=True)
    try:
        async with queen.client() as client:
            checks = (await client.call(pb.Operation(self_check=asked))).self_check.checks
    except HiveNotFoundError:
        raise
    except RbeeError as error:  # a queen in trouble is one of the things found
        found = MachineCheck("queen", passed=False, detail=str(error), hint=error.hint)
        return [_row(found, LOCALHOST), *await _here("")]
    return [
        _row(MachineCheck(each.name, each.passed, each.detail, each.hint), each.hive)
        for each in checks
    ]


async def _here(hive: str) -> list[dict[str, Any]]:
    if hive not in ("", LOCALHOST):
        raise HiveNotFoundError(hive)  # without a queen nobody knows another
    return [_row(each, LOCALHOST) for each in await examined()]


def _row(check: MachineCheck, hive: str) -> dict[str, Any]:
    return {
        "hive": hive,
        "name": check.name,
        "state": check.state,
        "detail": check.detail,
        "hint": check.hint,
    }
