"""What holds after every scenario, whatever happened: one place looks at all of it, and believes
nothing that the store says of itself.

A model is verified or absent; progress never falls; nothing is left but parts that a later pull
goes on with; a token is shown to the hub alone, and written down nowhere.
"""

import hashlib
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import yaml

from rbee.v1 import job_pb2
from tests.hub.hub import Hub

TOKEN = "hf_" + "NobodyMayEverReadThis0123"
PART_NAME = re.compile(r"([0-9a-f]{40}|[0-9a-f]{64})(\.part|\.state)?")
SEARCHED_BYTES_MAX = 4 * 1024 * 1024  # of a file, for a token: the rest are weights


def check_models(models: Path) -> None:
    """Every model that is there is whole: its list names all its files, and every hash holds."""
    for folder in models.iterdir():
        if folder.name.startswith("."):
            continue
        values = yaml.safe_load((folder / "metadata.yaml").read_text())
        listed = {each["path"]: each for each in values["files"]}
        found = {
            each.relative_to(folder).as_posix() for each in folder.rglob("*") if each.is_file()
        }
        assert found == {*listed, "metadata.yaml"}, folder.name
        for path, each in listed.items():
            file = folder / path
            assert not file.is_symlink()
            assert file.stat().st_size == each["size_bytes"], path
            assert sha256_of(file) == each["sha256"], path


def check_nothing_left(models: Path, *, parts: bool) -> None:
    """Beside models there is nothing but parts, and none of them if none may be."""
    hidden = {each.name for each in models.iterdir() if each.name.startswith(".")}
    assert hidden <= {".parts"}
    left = names_in(models / ".parts")
    assert all(PART_NAME.fullmatch(name) for name in left), left
    assert parts or not left, left


def check_closed(folder: Path) -> None:
    """This process has nothing open below a folder."""
    opened: list[str] = []
    for each in Path("/proc/self/fd").iterdir():
        try:
            opened.append(str(each.readlink()))
        except FileNotFoundError:
            continue  # the listing's own
    below = [name for name in opened if name.startswith(f"{folder}/")]
    assert not below, below


def check_story(events: Iterable[job_pb2.JobEvent]) -> None:
    """No step of a job falls behind what was told of it."""
    furthest: dict[tuple[str, str], float] = {}
    for event in events:
        told = event.narration
        if event.HasField("narration") and told.HasField("progress"):
            step = (told.action, told.target)
            done, total = told.progress.done, told.progress.total
            assert furthest.get(step, 0) <= done <= total, (step, furthest, done, total)
            furthest[step] = done


def check_goes_on(before: Sequence[float], after: Sequence[float]) -> None:
    """A transfer begins where the one before it told that it was, or further."""
    assert not before or after[0] >= max(before), (before, after)
    assert list(after) == sorted(after)


def check_secret(hub: Hub, folder: Path, told: bytes) -> None:
    """The token went to the hub alone, and is in no file and in nothing that was told."""
    shown = {(each.where, each.token) for each in hub.requests if each.token}
    assert shown <= {("hub", f"Bearer {TOKEN}")}
    assert TOKEN.encode() not in told
    for file in files_under(folder):
        with file.open("rb") as opened:
            assert TOKEN.encode() not in opened.read(SEARCHED_BYTES_MAX), file


def files_under(folder: Path) -> list[Path]:
    """Return the files below a folder that are files."""
    return [
        Path(parent) / name
        for parent, _, names in os.walk(folder)
        for name in names
        if (Path(parent) / name).is_file()
    ]


def names_in(folder: Path) -> set[str]:
    """Return what lies in a folder, if it is there."""
    return {each.name for each in folder.iterdir()} if folder.exists() else set()


def sha256_of(file: Path) -> str:
    """Return a file's hash."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
