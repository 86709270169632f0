"""From material to a model, step by step: layouts of a folder, twins, and what is told of it."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path

import pytest

from rbee_hive.files.progress import FETCHING, TransferTold, progress_of
from rbee_hive.models import from_file
from rbee_hive.models.convert import CONVERTER_VERSION, converter_of
from rbee_hive.models.make import sha256_of_all
from rbee_hive.models.material import Folder, Gguf, graph_of
from rbee_hive.models.metadata import ModelFile, StoredModel
from rbee_hive.models.plan import planned
from rbee_hive.models.pull import Pull
from rbee_hive.models.sizes import made_bytes, weights_bytes
from rbee_hive.models.store import ModelStore, opened_store
from rbee_hive.models.verify import verify
from rbee_hive.sources.choice import Choice, ChosenFile, Layout
from rbee_hive.sources.listing import ListedFile
from rbee_hive.sources.local import NotAModelError, SourceNotFoundError
from rbee_hive.transfer.progress import FileProgress, TransferProgress
from rbee_shared.errors import RbeeError, UnimplementedError
from rbee_shared.narration.event import Progress
from rbee_shared.references.reference import FileReference
from rbee_shared.references.safe_path import HostileNameError
from tests.stores import ONNX, Makers, described, telling, write_files

GGUF = b"GGUF" + bytes(range(256)) * 16
GENAI = {"genai_config.json": b"{}", "model.onnx.data": b"weights", **ONNX}
WEB = {
    "config.json": b"{}",
    "tokenizer.json": b"{}",
    "onnx/model_q4.onnx": b"a graph of 4",
    "onnx/model_q4.onnx_data": b"weights",
    "onnx/model_fp16.onnx": b"a graph of 16",
}
OURS = {**ONNX, "rbee.json": described()}


@pytest.fixture
def makers() -> Makers:
    return Makers()


@pytest.fixture
async def store(tmp_path: Path, makers: Makers) -> AsyncGenerator[ModelStore]:
    async with opened_store(tmp_path / "models", tools=makers.tools) as opened:
        yield opened


async def pulled(store: ModelStore, path: Path, weights: str = "") -> StoredModel:
    return await store.pull(store.reference(f"file:{path}{weights}"))


@pytest.mark.parametrize(
    ("files", "taken", "graph"),
    [
        (GENAI, set(GENAI), ""),
        (WEB, set(WEB) - {"onnx/model_fp16.onnx"}, "onnx/model_q4.onnx"),
        (OURS, set(OURS), ""),
        ({**OURS, "README.md": b"#", ".git/x": b"", "metadata.yaml": b""}, set(OURS), ""),
    ],
)
async def test_of_a_folder_the_files_of_its_layout_are_taken(
    tmp_path: Path, files: dict[str, bytes], taken: set[str], graph: str
) -> None:
    mine = write_files(tmp_path / "mine", files)
    material = await from_file.collect(FileReference(mine), tmp_path / "staging")
    content = material.content
    assert isinstance(content, Folder)
    assert {each.path for each in content.files} == taken
    assert content.graph == graph
    assert material.revision == sha256_of_all(content.files)[:12]
    for each in content.files:
        assert (content.path / each.path).samefile(mine / each.path)
        assert each.sha256 == hashlib.sha256(files[each.path]).hexdigest()


async def test_a_folder_of_the_hugging_face_cache_is_a_model(tmp_path: Path) -> None:
    blobs = write_files(tmp_path / "models--org--tiny/blobs", {"b1": b"GGUF of a blob"})
    snapshot = tmp_path / "models--org--tiny/snapshots/abc"
    snapshot.mkdir(parents=True)
    (snapshot / "tiny.gguf").symlink_to(blobs / "b1")
    material = await from_file.collect(FileReference(snapshot), tmp_path / "staging")
    assert isinstance(material.content, Gguf)
    assert await material.content.have() == snapshot / "tiny.gguf"


async def test_a_folder_whose_files_lead_elsewhere_is_refused(tmp_path: Path) -> None:
    mine = write_files(tmp_path / "mine", OURS)
    write_files(tmp_path, {"secret": b"a graph"})
    (mine / "model.onnx").unlink()
    (mine / "model.onnx").symlink_to(tmp_path / "secret")
    with pytest.raises(HostileNameError, match="leads out of its folder"):
        await from_file.collect(FileReference(mine), tmp_path / "staging")


async def test_a_file_may_be_called_anything(tmp_path: Path) -> None:
    file = write_files(tmp_path, {"blob-without-a-suffix": GGUF}) / "blob-without-a-suffix"
    choice = from_file.choice_of(FileReference(file))
    assert (choice.layout, choice.main, choice.size_bytes) == (Layout.GGUF, file.name, len(GGUF))
    with pytest.raises(SourceNotFoundError):
        from_file.choice_of(FileReference(tmp_path / "none"))
    write_files(tmp_path, {"notes.gguf": b"notes"})
    with pytest.raises(NotAModelError):
        from_file.choice_of(FileReference(tmp_path / "notes.gguf"))


async def test_a_plan_of_what_is_on_the_machine_fetches_nothing(
    store: ModelStore, tmp_path: Path
) -> None:
    write_files(tmp_path / "web", WEB)
    write_files(tmp_path, {"tiny.Q4_1.gguf": GGUF})
    folder = await planned(store.reference(f"file:{tmp_path}/web"), store)
    assert {each.path for each in folder.choices if each.chosen} == set(WEB) - {
        "onnx/model_fp16.onnx"
    }
    assert (folder.fetch_bytes, folder.required_disk_bytes) == (0, 0)
    file = await planned(store.reference(f"file:{tmp_path}/tiny.Q4_1.gguf"), store)
    assert [(each.path, each.chosen) for each in file.choices] == [("tiny.Q4_1.gguf", True)]
    assert file.required_disk_bytes == file.weights_bytes == int(len(GGUF) / 5.0 * 9)
    with pytest.raises(UnimplementedError):
        await planned(store.reference("smollm2"), store)
    with pytest.raises(SourceNotFoundError):
        await planned(store.reference("file:/nowhere/x"), store)


@pytest.mark.parametrize(
    ("kind", "weights", "bytes_of_1000"),
    [("Q8_0", "", 1058), ("F16", "", 562), ("F32", "f32", 1000), ("IQ2_XS", "", 2250)],
)
def test_what_a_file_becomes_is_guessed_by_its_bits(
    kind: str, weights: str, bytes_of_1000: int
) -> None:
    chosen = ChosenFile(ListedFile("x.gguf", 1000), "")
    choice = Choice(Layout.GGUF, "x.gguf", kind, (chosen,), ())
    reference = FileReference(Path("/x"), weights=weights)
    assert weights_bytes(choice, reference) == made_bytes(choice, reference) == bytes_of_1000


def test_a_ready_graph_stays_as_large_as_it_is() -> None:
    files = tuple(
        ChosenFile(ListedFile(path, 10), "") for path in ("config.json", "a.onnx", "a.onnx_data_1")
    )
    choice = Choice(Layout.TRANSFORMERS, "a.onnx", "q4", files, ())
    assert weights_bytes(choice, FileReference(Path("/x"))) == 20
    assert made_bytes(choice, FileReference(Path("/x"))) == 0
    assert graph_of(choice) == "a.onnx"
    assert graph_of(replace(choice, layout=Layout.GENAI)) == ""


async def test_a_folder_is_described_once_and_one_of_ours_never(
    store: ModelStore, makers: Makers, tmp_path: Path
) -> None:
    model = await pulled(store, write_files(tmp_path / "web", WEB))
    assert makers.descriptions == [("onnx/model_q4.onnx", f"file:{tmp_path}/web", "")]
    assert "rbee.json" in {each.path for each in model.files}
    assert model.revision == model.source_sha256[:12]
    assert not (tmp_path / "web/rbee.json").exists(), "the folder stays the user's"
    ours = await pulled(store, write_files(tmp_path / "ours", OURS))
    assert len(makers.descriptions) == 1
    assert model.converter == ours.converter == ""


async def test_a_twin_is_one_of_the_same_file_and_the_same_weights(
    store: ModelStore, makers: Makers, tmp_path: Path
) -> None:
    write_files(tmp_path, {"a.gguf": GGUF, "b.gguf": GGUF})
    models = [
        await pulled(store, tmp_path / name, weights)
        for name in ("a.gguf", "b.gguf")
        for weights in ("", "#int8", "#exact", "#f32")
    ]
    assert makers.conversions == ["", "exact", "f32"]
    assert models[0] == models[1], "int8 is what it is without a word"
    assert [each.converter for each in models[1:4]] == [
        converter_of(weights) for weights in ("", "exact", "f32")
    ]
    assert [each.files for each in models[4:]] == [each.files for each in models[:4]]


def test_a_converter_is_named_by_what_it_makes() -> None:
    assert converter_of("") == converter_of("int8") == f"int8/{CONVERTER_VERSION}"
    assert converter_of("exact") == f"exact/{CONVERTER_VERSION}"


def test_the_hash_of_all_files_is_of_their_names_too() -> None:
    a, b = ModelFile("a", 1, "1" * 64), ModelFile("b", 1, "2" * 64)
    assert sha256_of_all([a, b]) == sha256_of_all([a, b])
    assert sha256_of_all([a, b]) != sha256_of_all([replace(a, path="c"), b])
    assert sha256_of_all([a, b]) != sha256_of_all([replace(a, sha256=b.sha256), b])


async def test_a_verify_hashes_every_file_and_tells_how_far_it_is(
    store: ModelStore, tmp_path: Path
) -> None:
    first = await pulled(store, write_files(tmp_path / "web", WEB))
    second = await pulled(store, write_files(tmp_path / "ours", OURS))
    with telling() as told:
        assert await verify(first) == ()
    assert told[-1].progress == Progress(first.size_bytes, first.size_bytes, "bytes")
    write_files(second.folder, {"tokenizer.json": b"[]"})
    (first.folder / "config.json").unlink()
    (first.folder / "config.json").mkdir()
    faults = [*await verify(first), *await verify(second)]
    assert [fault.path for fault in faults] == ["config.json", "tokenizer.json"]
    assert faults[1].message.startswith("the SHA-256 of `tokenizer.json` is `")


def test_progress_is_told_at_most_so_often_and_at_its_end() -> None:
    with telling() as told:
        tell = progress_of(FETCHING, "tiny", 10)
        for done in (0, 1, 2, 10):
            tell(done)
    assert [each.progress.done for each in told if each.progress] == [0, 10]
    assert {each.target for each in told} == {"tiny"}


def test_a_transfer_tells_all_of_it_and_its_files() -> None:
    def progress(done: int, *files: FileProgress) -> TransferProgress:
        return TransferProgress(done, 10, 0, 2, 5.0, 1.0, files)

    with telling() as told:
        tell = TransferTold("tiny")
        tell(progress(2, FileProgress("a", 2, 4)))
        tell(progress(3, FileProgress("a", 3, 4)))  # a moment later: not told
        tell(progress(10, FileProgress("b", 6, 6)))
    measures = [(e.action, e.target, e.progress.done) for e in told if e.progress]
    assert measures == [
        ("model_download", "tiny", 2),
        ("file_download", "a", 2),
        ("model_download", "tiny", 10),
        ("file_download", "a", 4),
        ("file_download", "b", 6),
    ]
    assert told[0].progress == Progress(2, 10, "bytes", rate=5.0, remaining_s=1.0)


async def test_the_greatest_rate_of_those_who_wait_holds(store: ModelStore) -> None:
    go_on = asyncio.Event()

    async def work() -> StoredModel:
        await go_on.wait()
        raise RbeeError("over")

    pull = Pull(FileReference(Path("/x")))
    rates: list[int] = []

    async def waiting(rate: int) -> None:
        with pytest.raises(RbeeError):
            await pull.wait(rate)

    async with asyncio.TaskGroup() as tasks:
        pull.start(work, store.tasks, lambda _: None)
        waiters: list[asyncio.Task[None]] = []
        for rate in (10, 30, 20, 0):
            waiters.append(tasks.create_task(waiting(rate)))
            await asyncio.sleep(0)
            rates.append(pull.rate.bytes_per_s)
        for waiter in (waiters[3], waiters[1]):
            waiter.cancel()
            await asyncio.wait([waiter])
            rates.append(pull.rate.bytes_per_s)
        go_on.set()
    assert rates == [10, 30, 30, 0, 30, 20]
