"""Keeping the store: what is damaged is found and mended, what is old goes, what is used stays."""

import hashlib
import shutil
from pathlib import Path

import pytest

from rbee.v1 import operation_pb2 as pb
from rbee_shared.errors import RbeeError
from tests.hub.faults import Kind
from tests.hub.hub import Hub
from tests.rpc.hive_pool import use_standins
from tests.torture import invariants
from tests.torture.damage import flip
from tests.torture.repos import GGUF, READY, WEIGHTS, ready, sent, size_of, tiny_gguf
from tests.torture.torture import Torture, error_of, reached, tortured
from tests.transfers import PIECE_BYTES

FILES = ready(8 * PIECE_BYTES, _1=b"a second file")
REFERENCE = f"hf:{READY}"


def hash_of(files: dict[str, bytes]) -> str:
    return hashlib.sha256(files[WEIGHTS]).hexdigest()


async def verified(torture: Torture, *, repair: bool = False) -> list[tuple[str, bool]]:
    job = torture.start(model_verify=pb.ModelVerifyOperation(repair=repair))
    faults = (await job.ended()).model_verify.faults
    return [(fault.path, fault.repaired) for fault in faults]


async def pruned(torture: Torture) -> set[str]:
    job = torture.start(model_prune=pb.ModelPruneOperation())
    return {Path(each.path).name for each in (await job.ended()).model_prune.paths}


async def test_a_flipped_byte_is_found_and_only_its_file_is_fetched_again(
    tmp_path: Path, hub: Hub
) -> None:
    hub.put(READY, FILES)
    async with tortured(tmp_path / "home", hub) as torture:
        await torture.pull()
        (folder,) = torture.folders()
        flip(folder / WEIGHTS)
        assert await verified(torture) == [(WEIGHTS, False)]
        before = sent(hub, READY)
        assert await verified(torture, repair=True) == [(WEIGHTS, True)]
        assert sent(hub, READY) - before == len(FILES[WEIGHTS])
        assert await verified(torture) == []


async def test_a_flipped_byte_that_the_hub_cannot_mend_stays_told(tmp_path: Path, hub: Hub) -> None:
    hub.put(READY, FILES)
    async with tortured(tmp_path / "home", hub) as torture:
        await torture.pull()
        (folder,) = torture.folders()
        flip(folder / WEIGHTS)
        hub.faults.add(Kind.STATUS, f"api/{READY}", status=503)
        assert await verified(torture, repair=True) == [(WEIGHTS, False)]
        hub.faults.clear()
        assert await verified(torture, repair=True) == [(WEIGHTS, True)]


async def test_a_converted_model_is_mended_by_converting_again(tmp_path: Path, hub: Hub) -> None:
    files = tiny_gguf(tmp_path)
    hub.put(GGUF, files)
    async with tortured(tmp_path / "home", hub) as torture:
        await torture.pull(GGUF)
        (folder,) = torture.folders()
        flip(folder / WEIGHTS)
        before = invariants.names_in(folder)
        assert await verified(torture, repair=True) == [(WEIGHTS, True)]
        assert invariants.names_in(folder) == before
        assert sent(hub, GGUF) == 2 * size_of(files)


async def test_a_model_whose_file_is_gone_is_pulled_whole(tmp_path: Path, hub: Hub) -> None:
    hub.put(READY, FILES)
    async with tortured(tmp_path / "home", hub) as torture:
        await torture.pull()
        (folder,) = torture.folders()
        (folder / WEIGHTS).unlink()
        before = sent(hub, READY)
        assert not (await torture.pull()).was_present
        assert sent(hub, READY) - before == len(FILES[WEIGHTS])


async def test_prune_takes_old_revisions_and_leftovers_but_nothing_that_is_fetched(
    tmp_path: Path, hub: Hub
) -> None:
    gone, other = (ready(8 * PIECE_BYTES, seed=seed) for seed in (b"gone", b"other"))
    hub.put(READY, FILES)
    hub.put("org/gone", gone)
    hub.put("org/other", other)
    async with tortured(tmp_path / "home", hub) as torture:
        await torture.pull()
        (old,) = torture.folders()
        hub.put(READY, {"tokenizer.json": b'{"newer": 1}'})
        await torture.pull()
        stalled = hub.faults.add(Kind.STALL, f"*/{WEIGHTS}", where="cdn", skip=1)
        left = torture.start_pull("org/gone")
        await reached(stalled.reached)
        await torture.cancel(left)
        await torture.settled()
        stalled.reached.clear()
        running = torture.start_pull("org/other")
        await reached(stalled.reached)
        taken = await pruned(torture)
        assert taken >= {old.name, hash_of(gone)}
        assert hash_of(other) not in taken
        names = {name.partition(".")[0] for name in torture.parts()}
        assert (hash_of(gone) in names, hash_of(other) in names) == (False, True)
        assert len(torture.folders()) == 1
        hub.faults.clear()
        await running.ended()
        await torture.pull("org/gone")


async def test_prune_leaves_an_old_revision_to_the_worker_that_uses_it(
    tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_standins(monkeypatch)
    hub.put(READY, FILES)
    async with tortured(tmp_path / "home", hub) as torture:
        await torture.pull()
        (old,) = torture.folders()
        spawned = torture.start(worker_spawn=pb.WorkerSpawnOperation(model=REFERENCE, cores=1))
        worker = (await spawned.ended()).worker_spawn.worker
        hub.put(READY, {"tokenizer.json": b'{"newer": 1}'})
        await torture.pull()
        assert await pruned(torture) == set()
        stopped = torture.start(
            worker_delete=pb.WorkerDeleteOperation(worker_id=worker.id, force=True)
        )
        await stopped.ended()
        assert await pruned(torture) == {old.name}


async def test_rm_leaves_no_file_and_a_part_of_it_neither(tmp_path: Path, hub: Hub) -> None:
    hub.put(READY, FILES)
    async with tortured(tmp_path / "home", hub) as torture:
        await torture.pull()
        removed = torture.start(model_delete=pb.ModelDeleteOperation(model=REFERENCE))
        assert (await removed.ended()).model_delete.freed_bytes == size_of(FILES)
        assert invariants.files_under(torture.models) == []


async def test_a_store_folder_of_another_home_is_taken_in_under_its_own_name(
    tmp_path: Path, hub: Hub
) -> None:
    hub.put(READY, FILES)
    async with tortured(tmp_path / "home", hub) as torture:
        await torture.pull()
        (folder,) = torture.folders()
        copies = [tmp_path / name for name in ("copy", "damaged")]
        for copy in copies:
            shutil.copytree(folder, copy)
    before = sent(hub, READY)
    async with tortured(tmp_path / "other", hub) as torture:
        flip(copies[1] / WEIGHTS)
        damaged = torture.start(model_import=pb.ModelImportOperation(path=str(copies[1])))
        assert (await error_of(damaged)).reason == "HASH_MISMATCH"
        assert torture.folders() == []
        whole = torture.start(model_import=pb.ModelImportOperation(path=str(copies[0])))
        assert (await whole.ended()).model_import.model.reference == REFERENCE
        assert (await torture.pull()).was_present
        assert sent(hub, READY) == before


async def test_a_hostile_list_of_files_takes_in_nothing(tmp_path: Path, hub: Hub) -> None:
    hub.put(READY, FILES)
    async with tortured(tmp_path / "home", hub) as torture:
        await torture.pull()
        (folder,) = torture.folders()
        copy = tmp_path / "copy"
        shutil.copytree(folder, copy)
        text = (copy / "metadata.yaml").read_text()
        (copy / "metadata.yaml").write_text(text.replace(f"{WEIGHTS}_1", "../../secret"))
        taken = torture.start(model_import=pb.ModelImportOperation(path=str(copy)))
        with pytest.raises(RbeeError):
            await taken.ended()
