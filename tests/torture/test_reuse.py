"""What is on the machine already is fetched no second time, and believed only by its hash."""

import asyncio
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest

from rbee.v1 import operation_pb2 as pb
from tests.hub.faults import Kind
from tests.hub.hub import Hub
from tests.journals import until
from tests.torture.damage import flip
from tests.torture.invariants import files_under, sha256_of
from tests.torture.repos import (
    GGUF,
    GGUF_FILE,
    READY,
    WEIGHTS,
    noise,
    ready,
    sent,
    size_of,
    tiny_gguf,
)
from tests.torture.torture import reached, tortured
from tests.transfers import PIECE_BYTES

library: Any = huggingface_hub  # half of its types are unknown

PIECES = 16
FILES = ready(PIECES * PIECE_BYTES)
OTHER = "org/other"


async def test_a_revision_that_moves_between_is_taken_and_what_stayed_is_fetched_once(
    tmp_path: Path, hub: Hub
) -> None:
    second = {f"{WEIGHTS}_1": noise(PIECE_BYTES)}
    old = hub.put(READY, FILES | second)
    commit = hub.repos.commit(READY, old)
    assert commit is not None
    name = commit.files[f"{WEIGHTS}_1"].etag
    stalled = hub.faults.add(Kind.STALL, f"{READY}/{WEIGHTS}", where="cdn", skip=4)
    async with tortured(tmp_path / "home", hub) as torture:
        job = torture.start_pull()
        await reached(stalled.reached)
        await until(lambda: name in torture.parts())
        await torture.cancel(job)
        await torture.settled()
        hub.faults.clear()
        new = hub.put(READY, ready(PIECES * PIECE_BYTES, seed=b"moved"))
        hub.sent.clear()
        model = (await torture.pull()).model
        assert model.revision == new != old
        assert hub.sent[f"{READY}/{WEIGHTS}"] == PIECES * PIECE_BYTES
        assert sent(hub, READY) < size_of(FILES) + PIECE_BYTES
        assert f"{READY}/{WEIGHTS}_1" not in hub.sent


async def test_a_file_in_two_repositories_and_two_revisions_is_fetched_once(
    tmp_path: Path, hub: Hub
) -> None:
    hub.put(READY, FILES)
    hub.put(OTHER, FILES | {"tokenizer.json": b'{"other": 1}'})
    async with tortured(tmp_path / "home", hub) as torture:
        await torture.pull()
        await torture.pull(OTHER)
        assert f"{OTHER}/{WEIGHTS}" not in hub.sent
        hub.put(READY, {"tokenizer.json": b'{"newer": 1}'})
        await torture.pull()
        assert hub.sent[f"{READY}/{WEIGHTS}"] == PIECES * PIECE_BYTES
        inodes = {(folder / WEIGHTS).stat().st_ino for folder in torture.folders()}
        assert (len(torture.folders()), len(inodes)) == (3, 1)


async def test_a_damaged_file_of_another_model_is_not_believed(tmp_path: Path, hub: Hub) -> None:
    hub.put(READY, FILES)
    hub.put(OTHER, FILES)
    async with tortured(tmp_path / "home", hub) as torture:
        await torture.pull()
        (folder,) = torture.folders()
        flip(folder / WEIGHTS)
        await torture.pull(OTHER)
        assert hub.sent[f"{OTHER}/{WEIGHTS}"] == PIECES * PIECE_BYTES
        found = await torture.start(model_verify=pb.ModelVerifyOperation(repair=True)).ended()
        assert [fault.repaired for fault in found.model_verify.faults] == [True]
        assert len(torture.folders()) == 2


@pytest.mark.parametrize("state", ["whole", "damaged"])
async def test_the_cache_of_hugging_face_is_used_where_its_hash_holds(
    tmp_path: Path, hub: Hub, state: str
) -> None:
    hub.put(READY, FILES)
    for path in (WEIGHTS, "tokenizer.json"):
        await asyncio.to_thread(library.hf_hub_download, READY, path, endpoint=hub.endpoint)
    (cached,) = [each for each in files_under(tmp_path / "hf") if each.name == sha256_of(each)]
    if state == "damaged":
        flip(cached)
    hub.sent.clear()
    async with tortured(tmp_path / "home", hub) as torture:
        await torture.pull()
        assert hub.sent[f"{READY}/{WEIGHTS}"] == (PIECES * PIECE_BYTES if state == "damaged" else 0)
        assert hub.sent[f"{READY}/tokenizer.json"] == 0


async def test_a_model_in_two_repositories_is_converted_once(tmp_path: Path, hub: Hub) -> None:
    files = tiny_gguf(tmp_path)
    hub.put(GGUF, files)
    hub.put(OTHER, {f"renamed-{GGUF_FILE}": files[GGUF_FILE]})
    async with tortured(tmp_path / "home", hub) as torture:
        await torture.pull(GGUF)
        await torture.pull(OTHER)
        assert (sent(hub, GGUF), sent(hub, OTHER)) == (len(files[GGUF_FILE]), 0)
        assert any("converted already" in human for human in torture.jobs[1].humans)
