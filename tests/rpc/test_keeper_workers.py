"""The commands of workers: the real command line against a queen that answers as a hive would."""

import json
from pathlib import Path

from rbee.v1 import operation_pb2 as pb, worker_pb2
from tests.keepers import keeper_of

WORKER = worker_pb2.Worker(
    id="w-3f9a2c",
    hive="attic",
    model="hf:org/repo@main:model-q8_0.gguf",
    alias="tiny",
    device="cpu:0",
    state=worker_pb2.WORKER_STATE_BUSY,
    cores=2,
    context_length=8192,
    load=worker_pb2.WorkerLoad(
        running=3, waiting=1, slots=16, tokens_per_second=120.25, kv_cache_usage=0.0625
    ),
)


async def work(operation: pb.Operation) -> pb.Result:
    match operation.WhichOneof("kind"):
        case "worker_list":
            return pb.Result(worker_list=pb.WorkerListResult(workers=[WORKER]))
        case "worker_get":
            return pb.Result(worker_get=pb.WorkerGetResult(worker=WORKER))
        case _:
            return pb.Result(worker_spawn=pb.WorkerSpawnResult(worker=WORKER))


async def test_ps_shows_how_busy_each_worker_is(tmp_path: Path) -> None:
    async with keeper_of(tmp_path, work) as rbee:
        table = (await rbee("ps")).out
        [row] = json.loads((await rbee("ps", "--json")).out)
    heading, line = table.splitlines()
    assert heading.split()[-4:] == ["RUN/SLOTS", "WAIT", "TOK/S", "KV%"]
    assert line.split()[-4:] == ["3/16", "1", "120.2", "6.2"]
    assert (row["running"], row["slots"], row["kv_cache_percent"]) == (3, 16, 6.2)


async def test_show_says_context_and_slots(tmp_path: Path) -> None:
    async with keeper_of(tmp_path, work) as rbee:
        lines = (await rbee("worker", "show", "w-3f9a2c")).out.splitlines()
    facts = dict(line.rsplit(maxsplit=1) for line in lines)
    assert (facts["context length"], facts["slots"], facts["running"]) == ("8192", "16", "3")


async def test_the_slots_that_somebody_asks_for_reach_the_hive(tmp_path: Path) -> None:
    async with keeper_of(tmp_path, work) as rbee:
        assert (await rbee("worker", "spawn", "tiny", "--slots", "4")).code == 0
        assert rbee.last().slots == 4
        assert (await rbee("worker", "spawn", "tiny")).code == 0
        assert rbee.last().slots == 0
        refused = await rbee("worker", "spawn", "tiny", "--slots", "-1")
    assert refused.code == 2
    assert "-1 is not from 0" in refused.err
