"""What the queen makes of an operation: which hives she asks, and what she answers."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from rbee.v1 import job_pb2, operation_pb2 as pb, placement_pb2
from rbee_queen.fleet import HiveState
from rbee_queen.operations import execute
from rbee_queen.queen import Queen
from rbee_queen.remote_hive import dialled_hive
from rbee_shared.errors import (
    DeviceNotFoundError,
    HiveNotFoundError,
    InvalidArgumentError,
    NotFoundError,
    ResourceExhaustedError,
    UnavailableError,
    UnimplementedError,
    WorkerNotFoundError,
)
from tests.hives import ScriptedHive, queen_jobs, story, told
from tests.houses import TINY, House, reigning


@asynccontextmanager
async def with_a_lost_hive(*houses: House, socket: Path) -> AsyncGenerator[Queen]:
    async with AsyncExitStack() as stack:
        lost = await stack.enter_async_context(dialled_hive("lost", f"unix:{socket}"))
        queen = await stack.enter_async_context(reigning(*houses, more=[lost]))
        assert queen.watch.fleet.get("lost").state == HiveState.LOST
        yield queen


def names(hives: Sequence[Any]) -> list[str]:
    return [hive.name for hive in hives]


A = "hf:org/a"
MODEL_LIST = pb.Operation(model_list=pb.ModelListOperation())
WORKER_LIST = pb.Operation(worker_list=pb.WorkerListOperation())


def model_get(model: str, hive: str = "") -> pb.Operation:
    return pb.Operation(model_get=pb.ModelGetOperation(model=model, hive=hive))


def worker_get(worker_id: str, hive: str = "") -> pb.Operation:
    return pb.Operation(worker_get=pb.WorkerGetOperation(worker_id=worker_id, hive=hive))


def infer(**asked: Any) -> pb.Operation:
    return pb.Operation(infer=pb.InferOperation(prompt="hi", **asked))


async def test_lists_of_all_hives_are_joined_in_name_order() -> None:
    attic, cellar = House("attic", models=["a", "b"]), House("cellar", models=["c"], workers=["w"])
    async with reigning(cellar, attic) as queen:
        models = (await execute(queen, MODEL_LIST)).model_list.models
        workers = (await execute(queen, WORKER_LIST)).worker_list.workers
        only = pb.Operation(model_list=pb.ModelListOperation(hive="cellar"))
        of_cellar = (await execute(queen, only)).model_list.models
    assert [model.reference for model in models] == ["a", "b", "c"]
    assert [worker.id for worker in workers] == ["w"]
    assert [model.reference for model in of_cellar] == ["c"]
    assert attic.asked == ["model_list", "worker_list"]


async def test_an_empty_list_is_still_a_list() -> None:
    async with reigning(House("attic"), House("cellar")) as queen:
        assert (await execute(queen, MODEL_LIST)).WhichOneof("kind") == "model_list"


async def test_one_hive_that_fails_fails_the_list_with_its_own_error() -> None:
    async def full(_: pb.Operation) -> pb.Result:
        raise ResourceExhaustedError("full", reason="JOBS_FULL")

    async def waits(_: pb.Operation) -> pb.Result:
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()
        raise AssertionError

    stopped = asyncio.Event()
    more = [ScriptedHive("barn", waits).local(), ScriptedHive("cellar", full).local()]
    async with reigning(House("attic"), more=more) as queen:
        with pytest.raises(ResourceExhaustedError) as error:
            await execute(queen, MODEL_LIST)
    assert error.value.reason == "JOBS_FULL"
    assert stopped.is_set()


async def test_a_lost_hive_is_left_out_of_lists_and_not_in_silence(tmp_path: Path) -> None:
    attic = House("attic", models=[A])
    async with with_a_lost_hive(attic, socket=tmp_path / "s") as queen, queen_jobs() as jobs:
        events = await story(jobs.submit("j-1", partial(execute, queen), MODEL_LIST))
    assert told(events) == ["hive lost is lost: it is left out"]
    assert [model.reference for model in events[-2].result.model_list.models] == [A]
    assert events[-1].state.state == job_pb2.JOB_STATE_COMPLETED


@pytest.mark.parametrize(
    "operation",
    [
        pb.Operation(model_list=pb.ModelListOperation(hive="lost")),
        pb.Operation(self_check=pb.SelfCheckOperation(hive="lost")),
        pb.Operation(model_download=pb.ModelDownloadOperation(model=A, hive="lost")),
        model_get(A, "lost"),
        worker_get("w-1", "lost"),
    ],
    ids=lambda operation: operation.WhichOneof("kind"),
)
async def test_a_lost_hive_that_is_asked_for_is_not_waited_for(
    tmp_path: Path, operation: pb.Operation
) -> None:
    async with with_a_lost_hive(House("attic"), socket=tmp_path / "s") as queen:
        with pytest.raises(UnavailableError, match="`lost` cannot be heard") as error:
            await execute(queen, operation)
    assert error.value.reason == "HIVE_LOST"
    assert error.value.hint


@pytest.mark.parametrize(
    "operation",
    [
        MODEL_LIST,
        pb.Operation(device_list=pb.DeviceListOperation()),
        pb.Operation(self_check=pb.SelfCheckOperation()),
        model_get(A),
        worker_get("w-1"),
        infer(model=A),
    ],
    ids=lambda operation: operation.WhichOneof("kind"),
)
async def test_where_no_hive_can_be_heard_that_is_the_answer(
    tmp_path: Path, operation: pb.Operation
) -> None:
    async with with_a_lost_hive(socket=tmp_path / "s") as queen:
        with pytest.raises(UnavailableError) as error:
            await execute(queen, operation)
        status = (await execute(queen, pb.Operation(status=pb.StatusOperation()))).status
    assert error.value.reason == "NO_HIVE"
    assert names(status.hives) == ["lost"]


async def test_an_unknown_hive_is_not_found_whatever_is_asked() -> None:
    asks = [
        pb.Operation(hive_get=pb.HiveGetOperation(name="moon")),
        pb.Operation(model_list=pb.ModelListOperation(hive="moon")),
        pb.Operation(model_delete=pb.ModelDeleteOperation(hive="moon")),
        worker_get("w-1", "moon"),
        infer(model=A, hive="moon"),
    ]
    async with reigning(House("attic")) as queen:
        for ask in asks:
            with pytest.raises(HiveNotFoundError):
                await execute(queen, ask)


async def test_a_model_is_shown_by_the_first_hive_that_has_it() -> None:
    hives = [House("attic"), House("barn", models=[A]), House("cellar", models=[A])]
    async with reigning(*hives) as queen:
        assert (await execute(queen, model_get(A))).model_get.model.hive == "barn"
        with pytest.raises(NotFoundError) as error:
            await execute(queen, model_get("hf:org/moon"))
    assert error.value.reason == "MODEL_NOT_FOUND"
    assert hives[2].asked == ["model_get"]  # for the one that nobody has


async def test_a_worker_is_asked_at_the_hive_that_says_it_has_it() -> None:
    attic, cellar = House("attic", workers=["w-1"]), House("cellar", workers=["w-2"])
    async with reigning(attic, cellar) as queen:
        assert (await execute(queen, worker_get("w-2"))).worker_get.worker.hive == "cellar"
        for kind in ("worker_delete", "worker_logs"):
            operation = pb.Operation()
            getattr(operation, kind).worker_id = "w-2"
            await execute(queen, operation)
    assert attic.asked == []
    assert cellar.asked == ["worker_get", "worker_delete", "worker_logs"]


async def test_a_worker_too_new_for_the_snapshot_is_looked_for_everywhere() -> None:
    attic, cellar = House("attic"), House("cellar", workers=["w-2"])
    cellar.workers = ["w-2", "w-new"]
    async with reigning(attic, cellar) as queen:
        assert queen.watch.fleet.hive_of_worker("w-new") == ""
        assert (await execute(queen, worker_get("w-new"))).worker_get.worker.hive == "cellar"
        with pytest.raises(WorkerNotFoundError, match="w-9"):
            await execute(queen, worker_get("w-9"))


async def test_an_inference_goes_where_it_is_warm_and_says_why() -> None:
    attic, cellar = House("attic", models=[TINY]), House("cellar", workers=["w-1"])
    async with reigning(attic, cellar) as queen:
        answer = (await execute(queen, infer(model=TINY))).infer
        dry = (await execute(queen, infer(model=TINY, dry_run=True))).infer
        asked = (await execute(queen, infer(model=TINY, hive="attic"))).infer
        with pytest.raises(DeviceNotFoundError):
            await execute(queen, infer(model=TINY, device="cuda"))
    assert (answer.hive, dry.hive, asked.hive) == ("cellar", "cellar", "attic")
    verdicts = [(each.hive, each.verdict) for each in answer.placement.candidates]
    assert verdicts == [
        ("cellar", placement_pb2.PLACEMENT_VERDICT_CHOSEN),
        ("attic", placement_pb2.PLACEMENT_VERDICT_POSSIBLE),
    ]
    assert dry.placement == answer.placement
    assert (attic.asked, cellar.asked) == (["infer"], ["infer"])  # the dry run asked nobody


async def test_texts_are_embedded_where_it_is_warm_and_that_is_said() -> None:
    attic, cellar = House("attic", models=[TINY]), House("cellar", workers=["w-1"])
    async with reigning(attic, cellar) as queen:
        asked = pb.EmbedOperation(model=TINY, inputs=["x"])
        result = (await execute(queen, pb.Operation(embed=asked))).embed
        asked.hive = "attic"
        await execute(queen, pb.Operation(embed=asked))
    verdicts = [(each.hive, each.verdict) for each in result.placement.candidates]
    assert verdicts[0] == ("cellar", placement_pb2.PLACEMENT_VERDICT_CHOSEN)
    assert (attic.asked, cellar.asked) == (["embed"], ["embed"])


async def test_a_worker_is_spawned_where_the_model_is() -> None:
    attic, cellar = House("attic"), House("cellar", models=[A])
    async with reigning(attic, cellar) as queen:
        await execute(queen, pb.Operation(worker_spawn=pb.WorkerSpawnOperation(model=A)))
    assert (attic.asked, cellar.asked) == ([], ["worker_spawn"])


async def test_models_are_pulled_and_deleted_on_this_machine_unless_said_otherwise() -> None:
    attic, localhost = House("attic"), House("localhost")
    async with reigning(attic, localhost) as queen:
        await execute(queen, pb.Operation(model_download=pb.ModelDownloadOperation(model=A)))
        there = pb.ModelDeleteOperation(model=A, hive="attic")
        await execute(queen, pb.Operation(model_delete=there))
    assert (attic.asked, localhost.asked) == (["model_delete"], ["model_download"])


async def test_the_self_check_asks_the_queen_and_every_hive() -> None:
    check = pb.Operation(self_check=pb.SelfCheckOperation())
    async with reigning(House("attic"), House("cellar")) as queen, queen_jobs() as jobs:
        events = await story(jobs.submit("j-1", partial(execute, queen), check))
    checks = names(events[-2].result.self_check.checks)
    assert "queen context" in checks
    assert checks[-2:] == ["attic context", "cellar context"]


async def test_the_fleet_is_shown() -> None:
    async with reigning(House("cellar"), House("attic")) as queen:
        hives = (await execute(queen, pb.Operation(hive_list=pb.HiveListOperation()))).hive_list
        one = pb.Operation(hive_get=pb.HiveGetOperation(name="attic"))
        hive = (await execute(queen, one)).hive_get.hive
        status = (await execute(queen, pb.Operation(status=pb.StatusOperation()))).status
    assert names(hives.hives) == names(status.hives) == ["attic", "cellar"]
    assert (hive.name, hive.address) == ("attic", "embedded")
    assert status.pid


@pytest.mark.parametrize(
    ("operation", "kind", "reason"),
    [
        (pb.Operation(), InvalidArgumentError, "OPERATION_MISSING"),
        (pb.Operation(embed=pb.EmbedOperation()), InvalidArgumentError, "MODEL_MISSING"),
        (pb.Operation(hive_add=pb.HiveAddOperation()), UnimplementedError, "UNIMPLEMENTED"),
        (infer(), InvalidArgumentError, "MODEL_MISSING"),
        (
            pb.Operation(worker_spawn=pb.WorkerSpawnOperation()),
            InvalidArgumentError,
            "MODEL_MISSING",
        ),
    ],
    ids=["nothing", "embed", "hive_add", "infer", "worker_spawn"],
)
async def test_what_cannot_be_done_is_refused_before_a_hive_is_asked(
    operation: pb.Operation, kind: type[Exception], reason: str
) -> None:
    attic = House("attic")
    async with reigning(attic) as queen:
        with pytest.raises(kind) as error:
            await execute(queen, operation)
    assert getattr(error.value, "reason", "") == reason
    assert attic.asked == []
