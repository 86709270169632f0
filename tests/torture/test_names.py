"""Models of many files, of empty ones, of names from everywhere; and a hub that lies of names."""

from pathlib import Path

import pytest

from tests.hub.hub import Hub
from tests.model.exporters import Form
from tests.tiny_hub import TinyHub
from tests.tiny_llama import TinyLlama
from tests.torture import invariants
from tests.torture.invariants import files_under
from tests.torture.repos import READY, WEIGHTS, ready, sent, settings, size_of
from tests.torture.torture import tortured

GENAI = "org/tiny-onnx"
LICENCE = {"LICENSE": b"Do what you like."}
ODD = (" with spaces", " größer", ".データ", " 🐝", "#%41&=+", ";'~!")


async def test_two_hundred_files_with_empty_ones_and_odd_names_come_whole(
    tmp_path: Path, hub: Hub
) -> None:
    more = {f"_{number}": bytes([number]) * number for number in range(200)}
    more |= {name: name.encode() for name in ODD} | {".empty": b""}
    files = ready(100_000, **more)
    hub.put(READY, files)
    async with tortured(tmp_path / "home", hub) as torture:
        done = await torture.pull()
        folder = Path(done.model.folder)
        assert {path: (folder / path).read_bytes() for path in files} == files
        assert sent(hub, READY) == size_of(files)


async def test_a_folder_for_genai_with_all_that_lies_in_it_comes_whole(
    tmp_path: Path, hub: Hub
) -> None:
    (tmp_path / "made").mkdir()
    exported = TinyHub(tmp_path / "made", TinyLlama()).folder(Form.GENAI)
    files = {each.name: each.read_bytes() for each in exported.iterdir()}
    files |= {"added tokens é.json": b"{}", "empty.txt": b""}
    hub.put(GENAI, {f"cpu int4/{name}": data for name, data in files.items()} | LICENCE)
    async with tortured(tmp_path / "home", hub) as torture:
        done = await torture.pull(GENAI)
        folder = Path(done.model.folder)
        assert {name: (folder / name).read_bytes() for name in files | LICENCE} == files | LICENCE
        assert done.model.layout == "genai"
        clone = await torture.pull(f"file:{hub.repos.root / GENAI}")
        assert invariants.names_in(Path(clone.model.folder)) == invariants.names_in(folder)


@pytest.mark.parametrize(
    "name",
    [
        f"../{WEIGHTS}_x",
        f"/srv/{WEIGHTS}_x",
        f"../../../../{WEIGHTS}_x",
        f"{WEIGHTS}\n_x",
        f"{WEIGHTS}\\..\\x",
        f"{WEIGHTS}\u202e_x",
        f"{WEIGHTS}:stream",
        f"{WEIGHTS}.",
        f"{WEIGHTS}" + "x" * 255,
    ],
)
async def test_a_hostile_name_is_never_asked_for_and_never_written(
    tmp_path: Path, hub: Hub, name: str
) -> None:
    hub.put(READY, ready(1_000, _x=b"hostile"))
    settings(hub, READY, renamed={f"{WEIGHTS}_x": name})
    async with tortured(tmp_path / "home", hub) as torture:
        if "/" in name:  # another folder is no part of the model
            await torture.pull()
        else:
            error = await torture.refused()
            assert (error.reason, bool(error.hint)) == ("SOURCE_HOSTILE", True)
            assert torture.folders() == []
    assert not any(
        each.read_bytes() == b"hostile" for each in files_under(tmp_path) if "hub" not in each.parts
    )
    assert not [each for each in hub.requests if "_x" in each.path or "stream" in each.path]


@pytest.mark.parametrize("name", ["../model.onnx", "/rbee.json", "a/../../tokenizer.json"])
async def test_a_part_of_the_model_outside_of_its_folder_leaves_no_model(
    tmp_path: Path, hub: Hub, name: str
) -> None:
    hub.put(READY, ready(1_000))
    settings(hub, READY, renamed={name.rpartition("/")[2]: name})
    async with tortured(tmp_path / "home", hub) as torture:
        error = await torture.refused()
        assert error.reason in ("SOURCE_HOSTILE", "MODEL_FORMAT_UNKNOWN")
        assert (torture.folders(), torture.parts()) == ([], set())


async def test_two_names_that_some_systems_take_for_one_are_refused(
    tmp_path: Path, hub: Hub
) -> None:
    hub.put(READY, ready(1_000, _a=b"1", _A=b"2"))
    async with tortured(tmp_path / "home", hub) as torture:
        assert (await torture.refused()).reason == "SOURCE_HOSTILE"
