"""A converter of the test's own where a hive's child processes stand, and what a store holds."""

from pathlib import Path

from rbee_hive.models.catalog import PARTS_FOLDER
from rbee_hive.models.convert import Convert
from rbee_hive.models.make import Tools


def tools(convert: Convert) -> Tools:
    """Return tools that convert as told, and describe nothing."""
    return Tools(convert, _refuse)


def names(root: Path) -> list[str]:
    """Return what lies in a store's folder, but for the folder of parts if it is empty."""
    parts = root / PARTS_FOLDER
    return sorted(each.name for each in root.iterdir() if each != parts or any(parts.iterdir()))


async def _refuse(folder: Path, *, graph: str, name: str, licence: str) -> None:
    raise AssertionError((folder, graph, name, licence))
