"""Fixtures of the unit tests."""

from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest

from rbee_keeper.live import LASTING_S, LiveDisplay
from tests.lives import Open


@pytest.fixture
def live() -> Iterator[Open]:
    """How to open a live display; it is closed whatever the test finds."""
    with ExitStack() as stack:

        def opened(lasting_s: float = LASTING_S) -> LiveDisplay:
            return stack.enter_context(closing(LiveDisplay(lasting_s=lasting_s)))

        yield opened
