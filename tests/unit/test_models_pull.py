"""One transfer for all who want a model: shared, heard in full by each, stopped by the last."""

import asyncio
import json
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

from rbee_hive.models.description import FORMAT
from rbee_hive.models.metadata import StoredModel
from rbee_hive.models.store import PULLS_MAX, ModelStore, opened_store
from rbee_hive.models.wire import pulling_to_proto
from rbee_shared.errors import (
    DataLossError,
    RbeeError,
    ResourceExhaustedError,
    UnavailableError,
)
from rbee_shared.narration.context import JOB, JobContext
from rbee_shared.narration.event import Narration
from rbee_shared.narration.narrate import narrate
from tests.stores import names, tools

DESCRIPTION = {
    "format": FORMAT,
    "name": "Tiny",
    "architecture": "llama",
    "quantization": "int8-block32",
    "licence": "",
    "parameters": 135,
    "context_length": 2_048,
    "layers": 2,
    "kv_heads": 3,
    "head_dim": 64,
    "layout": "rbee",
    "kv_value_bytes": 4,
}


class Converter:
    """Stands where the converter's process stands: tells, waits to be let go on, writes."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.go_on = asyncio.Event()
        self.count = 0
        self.cancelled_count = 0
        self.failure: RbeeError | None = None

    async def __call__(self, gguf: Path, out: Path, *, weights: str) -> None:
        self.count += 1
        narrate("model_convert", "halfway through {file}", target="tiny", file=gguf.name)
        await asyncio.to_thread(out.mkdir)
        self.begun.set()
        try:
            await self.go_on.wait()
        finally:
            self.cancelled_count += not self.go_on.is_set()
        if self.failure is not None:
            raise self.failure
        await asyncio.to_thread((out / "rbee.json").write_text, json.dumps(DESCRIPTION))


class Told(list[Narration]):
    """A job's story, kept."""

    def __init__(self) -> None:
        super().__init__()
        self.heard = asyncio.Event()

    def narrate(self, narration: Narration) -> None:
        self.append(narration)
        self.heard.set()

    def complete(self, completion: Any) -> None:
        raise AssertionError(completion)

    @property
    def humans(self) -> list[str]:
        return [each.human for each in self]


async def pull_as_job(store: ModelStore, text: str, told: Told, who: str = "") -> Path:
    JOB.set(JobContext("j-1", who, story=told))
    return (await store.pull(store.reference(text))).folder


async def outcome_of(pull: Coroutine[None, None, StoredModel]) -> StoredModel | RbeeError:
    try:
        return await pull
    except RbeeError as error:
        return error


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "models"


@pytest.fixture
def text(tmp_path: Path) -> str:
    file = tmp_path / "tiny.gguf"
    file.write_bytes(b"GGUF, and so on")
    return f"file:{file}"


async def test_two_jobs_share_one_transfer_and_both_hear_all_of_it(root: Path, text: str) -> None:
    converter, early, late = Converter(), Told(), Told()
    async with opened_store(root, tools=tools(converter)) as store, asyncio.TaskGroup() as jobs:
        first = jobs.create_task(pull_as_job(store, text, early, "c-1"))
        await converter.begun.wait()
        second = jobs.create_task(pull_as_job(store, text.replace("file:", "file://"), late, "c-2"))
        await late.heard.wait()
        (reference,) = store.pulling()
        assert pulling_to_proto(reference, hive="attic").reference == text
        assert await store.find(store.reference(text)) is None
        converter.go_on.set()
        assert await first == await second
        assert store.pulling() == ()
    assert converter.count == 1
    assert early.humans == late.humans
    assert "halfway through tiny.gguf" in late.humans
    assert late.humans[-1] == f"{text} is ready"
    assert {each.correlation_id for each in early} == {"c-1"}
    assert {each.correlation_id for each in late} == {"c-2"}


async def test_a_job_that_leaves_does_not_stop_the_others(root: Path, text: str) -> None:
    converter, early, late = Converter(), Told(), Told()
    async with opened_store(root, tools=tools(converter)) as store, asyncio.TaskGroup() as jobs:
        first = jobs.create_task(pull_as_job(store, text, early))
        await converter.begun.wait()
        second = jobs.create_task(pull_as_job(store, text, late))
        await late.heard.wait()
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        converter.go_on.set()
        await second
    assert (converter.count, converter.cancelled_count) == (1, 0)


async def test_the_last_job_that_leaves_stops_the_work(root: Path, text: str) -> None:
    converter, told = Converter(), Told()
    async with opened_store(root, tools=tools(converter)) as store:
        async with asyncio.TaskGroup() as jobs:
            pulls = [jobs.create_task(pull_as_job(store, text, told)) for _ in range(2)]
            await converter.begun.wait()
            for pull in pulls:
                pull.cancel()
        assert store.pulling() == ()
    assert (converter.count, converter.cancelled_count) == (1, 1)
    assert names(root) == []


async def test_who_comes_while_the_work_stops_gets_a_new_one(root: Path, text: str) -> None:
    converter = Converter()
    async with opened_store(root, tools=tools(converter)) as store, asyncio.TaskGroup() as jobs:
        first = jobs.create_task(pull_as_job(store, text, Told()))
        await converter.begun.wait()
        converter.begun.clear()
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        second = jobs.create_task(pull_as_job(store, text, Told()))
        await converter.begun.wait()
        converter.go_on.set()
        folder = await second
    assert (converter.count, converter.cancelled_count) == (2, 1)
    assert names(root) == [folder.name]


async def test_a_failure_is_every_jobs_and_leaves_nothing(root: Path, text: str) -> None:
    converter = Converter()
    converter.failure = DataLossError("the file is cut short", reason="MODEL_FILE_DAMAGED")
    async with opened_store(root, tools=tools(converter)) as store:
        async with asyncio.TaskGroup() as jobs:
            pulls = [
                jobs.create_task(outcome_of(store.pull(store.reference(text)))) for _ in range(2)
            ]
            await converter.begun.wait()
            converter.go_on.set()
        assert [pull.result() for pull in pulls] == [converter.failure] * 2
        assert names(root) == []
        converter.failure = None
        assert await store.pull(store.reference(text))


async def test_a_converter_that_writes_no_description_is_damage(root: Path, text: str) -> None:
    async def forget(gguf: Path, out: Path, *, weights: str) -> None:
        await asyncio.to_thread(out.mkdir)

    async with opened_store(root, tools=tools(forget)) as store:
        with pytest.raises(DataLossError, match="No such file"):
            await store.pull(store.reference(text))
    assert names(root) == []


async def test_a_bug_ends_the_job_and_not_the_store(root: Path, text: str) -> None:
    async def stumble(gguf: Path, out: Path, *, weights: str) -> None:
        raise ZeroDivisionError

    async with opened_store(root, tools=tools(stumble)) as store:
        with pytest.raises(ZeroDivisionError):
            await store.pull(store.reference(text))
        assert await store.list() == ((), ())


async def test_a_store_that_closes_stops_its_pulls(root: Path, text: str) -> None:
    converter = Converter()
    async with asyncio.TaskGroup() as jobs:
        async with opened_store(root, tools=tools(converter)) as store:
            waiting = jobs.create_task(outcome_of(store.pull(store.reference(text))))
            await converter.begun.wait()
        assert isinstance(await waiting, UnavailableError)
    assert names(root) == []


async def test_pulls_at_once_have_a_limit(root: Path, tmp_path: Path) -> None:
    converter = Converter()
    texts = [f"file:{tmp_path / str(number)}.gguf" for number in range(PULLS_MAX + 1)]
    for text in texts:
        await asyncio.to_thread(Path(text.removeprefix("file:")).write_bytes, b"GGUF")
    async with opened_store(root, tools=tools(converter)) as store:
        async with asyncio.TaskGroup() as jobs:
            pulls = [
                jobs.create_task(outcome_of(store.pull(store.reference(text)))) for text in texts
            ]
            await converter.begun.wait()
            refused = await pulls[-1]
            converter.go_on.set()
        assert isinstance(refused, ResourceExhaustedError)
        assert len((await store.list())[0]) == PULLS_MAX
