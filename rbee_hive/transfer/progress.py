"""How far a transfer is: what is told never falls, whatever is fetched again. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, field

SMOOTHING_S = 5.0  # of the rate: about how far back it looks


@dataclass(frozen=True, slots=True)
class FileProgress:
    """How far one file is; `eta_s` is None while nothing comes."""

    path: str
    done_bytes: int
    total_bytes: int
    bytes_per_s: float = 0.0
    eta_s: float | None = None


@dataclass(frozen=True, slots=True)
class TransferProgress:
    """How far all of it is. `eta_s` is None while nothing comes; `files` are those at work."""

    done_bytes: int
    total_bytes: int
    files_done: int
    files_total: int
    bytes_per_s: float
    eta_s: float | None
    files: tuple[FileProgress, ...]


@dataclass(slots=True)
class Speed:
    """Bytes a second, smoothed; waits for news count."""

    _bytes_per_s: float = 0.0
    _at_s: float = 0.0
    _since_s: float = 0.0
    _pending: int = 0

    def begin(self, now_s: float) -> None:
        """Count from here."""
        self._at_s = self._since_s = now_s

    def add(self, size_bytes: int) -> None:
        """Count bytes that came."""
        self._pending += size_bytes

    def at(self, now_s: float) -> float:
        """Return the speed."""
        passed_s = now_s - self._at_s
        if passed_s <= 0:
            return self._bytes_per_s
        # at the start there is nothing to look back on: the first seconds are a plain mean
        memory_s = min(SMOOTHING_S, now_s - self._since_s)
        share = min(1.0, passed_s / memory_s)
        self._bytes_per_s += share * (self._pending / passed_s - self._bytes_per_s)
        self._at_s, self._pending = now_s, 0
        return self._bytes_per_s


@dataclass(slots=True)
class Tally:
    """What a transfer has, file by file; the index is the file's place in it."""

    paths: tuple[str, ...]
    sizes: tuple[int, ...]
    _speed: Speed = field(default_factory=Speed)
    _done: list[int] = field(default_factory=list[int])
    _total_done: int = 0
    _open: dict[int, Speed] = field(default_factory=dict[int, Speed])
    _ended: int = 0

    def begin(self, done: Iterable[int], now_s: float) -> None:
        """Start with what is there already."""
        self._done = list(done)
        self._total_done = sum(self._done)
        self._speed.begin(now_s)

    def open(self, index: int, now_s: float) -> None:
        """Have a file at work."""
        self._open[index] = Speed()
        self._open[index].begin(now_s)

    def came(self, index: int, size_bytes: int) -> None:
        """Count bytes of a file at work that came."""
        self._speed.add(size_bytes)
        self._open[index].add(size_bytes)

    def close(self, index: int, *, is_whole: bool) -> None:
        """Have it at work no more."""
        self._open.pop(index, None)
        if is_whole:
            self._ended += 1
            self.reach(index, self.sizes[index])

    def reach(self, index: int, done_bytes: int) -> None:
        """Have so much of a file; less than before is not told."""
        more = done_bytes - self._done[index]
        if more > 0:
            self._done[index] = done_bytes
            self._total_done += more

    def now(self, now_s: float) -> TransferProgress:
        """Return how far it is."""
        total = sum(self.sizes)
        speed = self._speed.at(now_s)
        return TransferProgress(
            self._total_done,
            total,
            self._ended,
            len(self.sizes),
            speed,
            _eta_s(total - self._total_done, speed),
            tuple(self._of_file(index, each.at(now_s)) for index, each in self._open.items()),
        )

    def _of_file(self, index: int, speed: float) -> FileProgress:
        done, size = self._done[index], self.sizes[index]
        return FileProgress(self.paths[index], done, size, speed, _eta_s(size - done, speed))


def _eta_s(left_bytes: int, bytes_per_s: float) -> float | None:
    return left_bytes / bytes_per_s if bytes_per_s > 0 else None
