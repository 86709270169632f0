"""`rbee model verify`, `prune` and `import`: what is on disk is whole, wanted, and known."""

from typing import Annotated

import typer

from rbee.v1 import operation_pb2 as pb
from rbee_keeper import here, output, queen, units
from rbee_keeper.blocking import blocking
from rbee_keeper.display import opened_display
from rbee_keeper.follow import run_job
from rbee_keeper.model_rows import fault_row, model_row
from rbee_keeper.options import Json, StoreHive, Timeout, Verbose, Voice, Weights
from rbee_keeper.output import Column
from rbee_keeper.voice import chosen
from rbee_shared.errors import DataLossError

REPAIR_FAILED = "`rbee model pull` fetches a model anew; a folder of no model may be removed"
FAULTS = (
    Column("MODEL", "reference"),
    Column("FILE", "path"),
    Column("REPAIRED", "repaired"),
    Column("WHAT IS WRONG", "message"),
)
PRUNED = (Column("PATH", "path"), Column("SIZE", "size_bytes", "bytes"))


class ModelsDamagedError(DataLossError):
    """Files of models differ from their hashes, and were not mended."""

    reason = "MODELS_DAMAGED"
    hint = "`rbee model verify --repair` puts good files in their place"


@blocking
async def verify(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="The model, as for pull; all if not given.")
    ] = "",
    *,
    repair: Annotated[
        bool,
        typer.Option("--repair", help="Put a good file in the place of each damaged one."),
    ] = False,
    hive: StoreHive = "",
    timeout_s: Timeout = None,
    as_json: Json = False,
    verbose: Verbose = False,
    mode: Voice = None,
) -> None:
    """Check every file of the models against its hash.

    Fails if one is damaged and not repaired.

    Example: rbee model verify smollm2 --repair
    """
    name = here.named(model, hive) if model else ""
    operation = pb.Operation(
        model_verify=pb.ModelVerifyOperation(model=name, hive=hive, repair=repair)
    )
    with opened_display(as_json=False, verbose=verbose, mode=chosen(mode)) as display:
        async with queen.client(display) as client:
            result = await run_job(client, operation, display, timeout_s=timeout_s)
    found = result.model_verify
    faults = [fault_row(fault) for fault in found.faults]
    if as_json:
        counts = {"models": found.model_count, "files": found.file_count}
        output.show_json({**counts, "faults": faults})
    elif faults:
        output.show_table(FAULTS, faults, as_json=False)
    left = sum(not fault["repaired"] for fault in faults)
    files, models = units.counted(found.file_count, "file"), found.model_count
    looked_at = f"{files} of {units.counted(models, 'model')}"
    if left:
        hint = REPAIR_FAILED if repair else ModelsDamagedError.hint
        raise ModelsDamagedError(f"{units.counted(left, 'fault')} in {looked_at}", hint=hint)
    how = f"{units.counted(len(faults), 'fault')} repaired" if faults else "all as they came"
    output.say(f"checked {looked_at}: {how}")


@blocking
async def prune(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be removed; remove nothing.")
    ] = False,
    hive: StoreHive = "",
    as_json: Json = False,
) -> None:
    """Remove old revisions and what broken pulls left.

    What a worker uses and what is being fetched stays.

    Example: rbee model prune --dry-run
    """
    asked = pb.ModelPruneOperation(hive=hive, dry_run=dry_run)
    async with queen.client() as client:
        found = (await client.call(pb.Operation(model_prune=asked))).model_prune
    paths = [{"path": each.path, "size_bytes": each.size_bytes} for each in found.paths]
    if as_json:
        freed_bytes = found.freed_bytes
        output.show_json({"paths": paths, "freed_bytes": freed_bytes, "dry_run": dry_run})
        return
    if paths:
        output.show_table(PRUNED, paths, as_json=False)
    freed, count = units.size(found.freed_bytes), len(found.paths)
    if not count:
        output.say("there is nothing to remove")
    elif dry_run:
        output.say(f"would remove {count} and free {freed}")
    else:
        output.say(f"removed {count} and freed {freed}")


@blocking
async def import_model(
    path: Annotated[
        str,
        typer.Argument(metavar="PATH", help="A GGUF file, or a folder that holds a model."),
    ],
    *,
    weights: Weights = None,
    hive: StoreHive = "",
    timeout_s: Timeout = None,
    as_json: Json = False,
    verbose: Verbose = False,
    mode: Voice = None,
) -> None:
    """Take in a model that is on the machine already.

    It is a GGUF file, a folder with an ONNX layout, or a folder of another rbee's store, which is
    verified by its hashes and keeps its name.

    Example: rbee model import ./my-model.gguf --weights exact
    """
    asked = pb.ModelImportOperation(path=here.placed(path, hive), hive=hive, weights=weights or "")
    with opened_display(as_json=False, verbose=verbose, mode=chosen(mode)) as display:
        async with queen.client(display) as client:
            operation = pb.Operation(model_import=asked)
            result = await run_job(client, operation, display, timeout_s=timeout_s)
    found = result.model_import
    if as_json:
        output.show_json({**model_row(found.model), "was_present": found.was_present})
        return
    how = "is here already" if found.was_present else "is here now"
    output.say(f"{path} {how} as {found.model.reference} ({units.size(found.model.size_bytes)})")
