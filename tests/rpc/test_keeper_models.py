"""The commands of models: the real command line against a queen that answers as a hive would."""

import json
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from rbee.v1 import model_pb2, operation_pb2 as pb
from rbee_shared.contracts import wire
from rbee_shared.narration.event import Progress
from rbee_shared.narration.narrate import narrate
from tests.keepers import Keeper, keeper_of

MIB = 2**20
COMMIT = "8f3a12bc90de" + "0" * 28
NAME = "hf:org/repo@main:model-q8_0.gguf"
MODEL = model_pb2.Model(
    reference=NAME,
    alias="tiny",
    hive="localhost",
    state=model_pb2.MODEL_STATE_AVAILABLE,
    revision=COMMIT,
    architecture="llama",
    quantization="int8-block32",
    context_length=8192,
    licence="apache-2.0",
    size_bytes=145 * MIB,
    required_memory_bytes=420 * MIB,
    kv_bytes_per_token=46_080,
    create_time=wire.timestamp(0.0),
    source="hf",
    layout="rbee",
    folder="/models/hf-repo-1",
    files=[model_pb2.ModelFile(path="model.onnx", size_bytes=2 * MIB, sha256="ab" * 32)],
)
PLAN = model_pb2.DownloadPlan(
    reference=NAME,
    revision=COMMIT,
    choices=[
        model_pb2.ModelFileChoice(path="model-f16.gguf", size_bytes=270 * MIB, reason="larger"),
        model_pb2.ModelFileChoice(
            path="model-q8_0.gguf", size_bytes=145 * MIB, chosen=True, reason="loses nothing"
        ),
    ],
    fetch_bytes=100 * MIB,
    reused_bytes=45 * MIB,
    required_disk_bytes=300 * MIB,
    free_disk_bytes=200 * MIB,
    fits=[
        model_pb2.DeviceFit(
            device="cpu:0", required_memory_bytes=420 * MIB, free_memory_bytes=4096 * MIB, fits=True
        )
    ],
)
DAMAGED = model_pb2.ModelFault(reference=NAME, path="model.onnx", message="its hash differs")
OLD = model_pb2.Model(
    reference="hf:org/repo@main:old.gguf",
    superseded=True,
    state=model_pb2.MODEL_STATE_AVAILABLE,
    revision="1" * 40,
)


async def pull(asked: pb.ModelDownloadOperation) -> pb.Result:
    if asked.dry_run:
        return pb.Result(model_download=pb.ModelDownloadResult(plan=PLAN))
    progress = Progress(50 * MIB, 100 * MIB, "bytes", rate=50.0 * MIB, remaining_s=1.0)
    narrate("model_download", "fetching tiny", target="tiny", progress=progress)
    narrate("file_download", "a.gguf", target="a.gguf", progress=progress)
    return pb.Result(model_download=pb.ModelDownloadResult(model=MODEL))


def verified(asked: pb.ModelVerifyOperation) -> pb.ModelVerifyResult:
    found = pb.ModelVerifyResult(file_count=3, model_count=1)
    if asked.model != "whole":
        found.faults.add().CopyFrom(DAMAGED)
        found.faults[0].repaired = asked.repair
    return found


def pruned(asked: pb.ModelPruneOperation) -> pb.ModelPruneResult:
    names = [] if asked.hive == "tidy" else ["/models/a", "/models/b"]
    paths = [pb.PrunedPath(path=name, size_bytes=MIB // 2) for name in names]
    return pb.ModelPruneResult(paths=paths, freed_bytes=MIB)


async def hive(operation: pb.Operation) -> pb.Result:
    result = pb.Result()
    match operation.WhichOneof("kind"):
        case "model_download":
            return await pull(operation.model_download)
        case "model_list":
            result.model_list.models.extend([MODEL, OLD])
            result.model_list.faults.append(DAMAGED)
        case "model_get":
            result.model_get.model.CopyFrom(MODEL)
            needed = MODEL.required_memory_bytes
            for device, free in (("cpu:0", 4096 * MIB), ("cuda:0", 100 * MIB)):
                result.model_get.fits.add(
                    device=device,
                    required_memory_bytes=needed,
                    free_memory_bytes=free,
                    fits=needed <= free,
                )
        case "model_verify":
            result.model_verify.CopyFrom(verified(operation.model_verify))
        case "model_prune":
            result.model_prune.CopyFrom(pruned(operation.model_prune))
        case "model_import":
            result.model_import.model.CopyFrom(MODEL)
        case kind:
            raise AssertionError(kind)
    return result


@pytest.fixture
async def rbee(tmp_path: Path) -> AsyncGenerator[Keeper]:
    async with keeper_of(tmp_path, hive) as keeper:
        yield keeper


async def test_a_pull_is_asked_for_with_all_that_was_chosen(rbee: Keeper) -> None:
    done = await rbee(
        *("pull", "org/repo", "--file", "a.gguf", "--quant", "Q8_0"),
        *("--weights", "exact", "--max-rate", "1.5M", "--hive", "attic"),
    )
    assert (done.code, done.out) == (0, "")
    assert done.err.splitlines() == [
        "fetching tiny (50.0 of 100.0 MiB, 50.0 MiB/s, 1 second left)",
        "tiny is here now (145.0 MiB)",
    ]
    asked = pb.ModelDownloadOperation(
        model="org/repo",
        file="a.gguf",
        quantization="Q8_0",
        weights="exact",
        rate_bytes_max=3 * 2**19,
        hive="attic",
    )
    assert rbee.last() == asked


async def test_a_pull_as_json_has_the_progress_of_each_file(rbee: Keeper) -> None:
    done = await rbee("model", "pull", "org/repo", "--json")
    assert (done.code, done.err) == (0, "")
    events = [json.loads(line) for line in done.out.splitlines()]
    told = [event["narration"] for event in events if "narration" in event]
    assert {each["action"] for each in told} >= {"model_download", "file_download"}
    assert told[-1]["progress"]["rate"] == 50.0 * MIB


async def test_a_dry_run_shows_what_would_be_taken_and_that_it_does_not_fit(rbee: Keeper) -> None:
    done = await rbee("pull", "org/repo", "--dry-run")
    assert done.code == 0
    assert done.out.splitlines() == [
        "   FILE                  SIZE  WHY",
        "*  model-q8_0.gguf  145.0 MiB  loses nothing",
        "   model-f16.gguf   270.0 MiB  larger",
        "",
        f"reference      {NAME}",
        f"revision       {COMMIT}",
        "is present     no",
        "fetch          100.0 MiB",
        "reused         45.0 MiB",
        "required disk  300.0 MiB",
        "free disk      200.0 MiB",
        "",
        "DEVICE      NEEDS     FREE  FITS",
        "cpu:0   420.0 MiB  4.0 GiB  yes",
    ]
    assert done.err == ("warning: it does not fit on the disk: 300.0 MiB needed, 200.0 MiB free\n")


async def test_a_dry_run_as_json_is_one_document(rbee: Keeper) -> None:
    done = await rbee("pull", "org/repo", "--dry-run", "--json")
    plan = json.loads(done.out)
    assert [choice["chosen"] for choice in plan["choices"]] == [True, False]
    assert (plan["fetch_bytes"], plan["fits"][0]["fits"]) == (100 * MIB, True)
    assert plan["problems"] == ["it does not fit on the disk: 300.0 MiB needed, 200.0 MiB free"]


async def test_a_list_has_short_revisions_marks_old_ones_and_says_what_mends(rbee: Keeper) -> None:
    done = await rbee("model", "list")
    lines = done.out.splitlines()
    assert lines[0].split() == [
        *("NAME", "REFERENCE", "HIVE", "QUANTIZATION", "CONTEXT", "SIZE", "REVISION", "STATE")
    ]
    assert lines[1].endswith("145.0 MiB  8f3a12bc90de  available")
    assert lines[2].endswith("111111111111  superseded")
    assert done.err.splitlines() == [
        f"warning: {NAME}: its hash differs",
        "hint: `rbee model verify --repair` puts good files in their place",
    ]
    rows = json.loads((await rbee("ls", "--json")).out)
    assert [row["revision"] for row in rows] == [COMMIT, "1" * 40]
    assert [row["state"] for row in rows] == ["available", "available"]
    assert [row["superseded"] for row in rows] == [False, True]


async def test_a_model_is_shown_with_what_it_is_is_from_needs_and_is_made_of(rbee: Keeper) -> None:
    done = await rbee("show", "tiny")
    sections = done.out.split("\n\n")
    assert "licence            apache-2.0" in sections[0]
    assert f"revision        {COMMIT}" in sections[1]
    assert sections[2].splitlines() == [
        "size              145.0 MiB",
        "required memory   420.0 MiB",
        "memory per token  45.0 KiB",
    ]
    assert sections[3].splitlines() == [
        "DEVICE      NEEDS       FREE  FITS",
        "cpu:0   420.0 MiB    4.0 GiB  yes",
        "cuda:0  420.0 MiB  100.0 MiB  no",
    ]
    assert sections[4].splitlines()[1] == f"model.onnx  2.0 MiB  {'ab' * 32}"
    shown = json.loads((await rbee("show", "tiny", "--json")).out)
    assert [fit["fits"] for fit in shown["fits"]] == [True, False]
    assert (shown["files"][0]["path"], shown["kv_bytes_per_token"]) == ("model.onnx", 46_080)


async def test_what_is_damaged_is_shown_and_fails(rbee: Keeper) -> None:
    done = await rbee("model", "verify")
    assert done.code == 1
    assert done.out.splitlines() == [
        f"MODEL{' ' * (len(NAME) - 5)}  FILE        REPAIRED  WHAT IS WRONG",
        f"{NAME}  model.onnx  no        its hash differs",
    ]
    assert done.err.splitlines() == [
        "error: 1 fault in 3 files of 1 model",
        "hint: `rbee model verify --repair` puts good files in their place",
    ]
    assert rbee.last().model == ""


async def test_what_was_repaired_is_shown_and_does_not_fail(rbee: Keeper) -> None:
    done = await rbee("model", "verify", "tiny", "--repair", "--json")
    assert done.code == 0
    found = json.loads(done.out)
    assert (found["models"], found["files"]) == (1, 3)
    assert [fault["repaired"] for fault in found["faults"]] == [True]
    assert done.err == "checked 3 files of 1 model: 1 fault repaired\n"


async def test_what_is_whole_has_nothing_to_show(rbee: Keeper) -> None:
    done = await rbee("model", "verify", "whole")
    assert (done.code, done.out) == (0, "")
    assert done.err == "checked 3 files of 1 model: all as they came\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "removed 2 and freed 1.0 MiB\n"),
        (("--dry-run",), "would remove 2 and free 1.0 MiB\n"),
        (("--hive", "tidy"), "there is nothing to remove\n"),
    ],
)
async def test_a_prune_says_what_it_removes(
    rbee: Keeper, arguments: tuple[str, ...], said: str
) -> None:
    done = await rbee("model", "prune", *arguments)
    assert (done.code, done.err) == (0, said)
    paths = [line.split()[0] for line in done.out.splitlines()[1:]]
    assert paths == ([] if "tidy" in arguments else ["/models/a", "/models/b"])
    assert rbee.last().dry_run == ("--dry-run" in arguments)


async def test_an_import_is_asked_for_by_its_whole_path_and_says_what_it_became(
    rbee: Keeper, tmp_path: Path
) -> None:
    done = await rbee("model", "import", "../a.gguf", "--weights", "f32", folder=tmp_path / "run")
    assert done.err == f"../a.gguf is here now as {NAME} (145.0 MiB)\n"
    asked = pb.ModelImportOperation(path=str(tmp_path / "a.gguf"), weights="f32")
    assert rbee.last() == asked


async def test_a_file_here_is_a_model_to_every_command(rbee: Keeper, tmp_path: Path) -> None:
    (tmp_path / "a.gguf").touch()
    for words in (("show",), ("pull",), ("model", "verify")):
        await rbee(*words, "a.gguf", folder=tmp_path)
        kind = rbee.asked[-1].WhichOneof("kind") or ""
        assert getattr(rbee.asked[-1], kind).model == f"file:{tmp_path}/a.gguf"
