"""How many bytes a second may come: a bucket of tokens whose rate can change while it runs."""

import time
from collections.abc import Callable

BURST_S = 0.25  # of unused rate is kept


class Rate:
    """A limit that many connections share; 0 bytes a second is none.

    Bytes are taken after they came, so the bucket can be in debt: whoever takes waits until it
    is not. A wait is asked for again and again, since the rate may be another meanwhile.
    """

    def __init__(self, bytes_per_s: int = 0, *, clock: Callable[[], float] = time.monotonic):
        self._bytes_per_s = bytes_per_s
        self._clock = clock
        self._tokens = 0.0
        self._at_s = clock()

    @property
    def bytes_per_s(self) -> int:
        """The limit; 0 is none."""
        return self._bytes_per_s

    def set(self, bytes_per_s: int) -> None:
        """Have another limit from here on."""
        self._fill()
        self._bytes_per_s = bytes_per_s
        if not bytes_per_s:
            self._tokens = 0.0

    def take(self, size_bytes: int) -> None:
        """Count bytes that came."""
        self._fill()
        if self._bytes_per_s:
            self._tokens -= size_bytes

    def wait_s(self) -> float:
        """Return how long to wait before more may come; 0 to go on."""
        self._fill()
        if not self._bytes_per_s:
            return 0.0
        return max(0.0, -self._tokens / self._bytes_per_s)

    def _fill(self) -> None:
        now_s = self._clock()
        gained = (now_s - self._at_s) * self._bytes_per_s
        self._tokens = min(self._tokens + gained, self._bytes_per_s * BURST_S)
        self._at_s = now_s
