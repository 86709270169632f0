"""What docs/engine.md says of limits and reasons is what the code has."""

import re
from importlib import import_module
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "engine.md").read_text(encoding="utf-8")
LIMITS = re.findall(r"^\| .* \| ([\d.]+) \| `([\w.]+)\.(\w+)` \|$", PAGE, re.MULTILINE)
REASON = re.compile(r"`([A-Z]+(?:_[A-Z]+)+)`")


def test_the_page_has_limits() -> None:
    assert len(LIMITS) > 10


@pytest.mark.parametrize(("value", "module", "name"), LIMITS)
def test_a_limit_is_what_the_page_says(value: str, module: str, name: str) -> None:
    assert getattr(import_module(f"rbee_worker.{module}"), name) == float(value)


def test_every_reason_on_the_page_is_one_of_the_errors() -> None:
    known = set(REASON.findall((DOCS / "errors.md").read_text(encoding="utf-8")))
    assert set(REASON.findall(PAGE)) - known == set()
