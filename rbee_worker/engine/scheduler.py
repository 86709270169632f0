"""Which sequences get a row, and what the next step computes. Pure: no clock, no model, no threads.

A step is at most one piece of a prompt and one token of every answer that is being written. Small
pieces keep those who read from waiting, large ones bring the first token of the new sooner; how
large a piece may be follows from how fast the model reads.

Interactive goes before batch, short before long; whoever was overtaken often goes first.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from operator import itemgetter

from rbee_shared.errors import ResourceExhaustedError
from rbee_worker.engine.rows import Move, Placement, Rows, Tokens, common
from rbee_worker.engine.sequence import Sequence

WAITING_MAX = 256
OVERTAKEN_MAX = 8
CHUNK_TOKENS_MIN, CHUNK_TOKENS_MAX = 16, 512
CHUNK_S_ALONE = 0.5  # a cancel waits so long at most
CHUNK_S_BESIDE = 0.1  # so long do those wait who are reading
WAIT_FOR_TOKENS_MIN = 32  # of a prompt that another sequence computes just now


class QueueFullError(ResourceExhaustedError):
    """The worker has too many requests already."""

    reason = "QUEUE_FULL"
    hint = "try again in a moment, or spawn another worker"

    def __init__(self, waiting: int) -> None:
        super().__init__(f"{waiting} requests wait already")


@dataclass(frozen=True, slots=True)
class Chunk:
    """Compute the tokens [begin, end) of a sequence; a token is chosen when they are its last."""

    sequence: Sequence
    begin: int
    end: int

    @property
    def samples(self) -> bool:
        """Whether a token is chosen after it."""
        return self.end == self.sequence.length


@dataclass(frozen=True, slots=True)
class Step:
    """What is computed next: a piece of a prompt, and the newest token of each of `decode`."""

    chunk: Chunk | None
    decode: tuple[Sequence, ...]


class Scheduler:
    """Sequences that wait, those that have a row, and the rows.

    Args:
        slots: rows of the cache.
        waiting_max: sequences that may wait.
    """

    def __init__(self, slots: int, *, waiting_max: int = WAITING_MAX) -> None:
        self.rows = Rows(slots)
        self._waiting_max = waiting_max
        self._waiting: list[Sequence] = []
        self._running: list[Sequence] = []

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiting)

    @property
    def running(self) -> tuple[Sequence, ...]:
        """Those that have a row."""
        return tuple(self._running)

    def add(self, sequences: Iterable[Sequence]) -> None:
        """Take in sequences, all or none.

        Raises:
            QueueFullError: too many wait.
        """
        added = list(sequences)
        if len(self._waiting) + len(added) > self._waiting_max:
            raise QueueFullError(len(self._waiting))
        self._waiting += added

    def remove(self, sequence: Sequence, *, keeps: bool = True) -> tuple[Move, ...]:
        """Forget a sequence, if it is here, and return what must be moved.

        Args:
            sequence: one that ended, or that nobody wants any more.
            keeps: what its row holds is kept for others.
        """
        if sequence in self._waiting:
            self._waiting.remove(sequence)
        row = sequence.row
        if row is None:
            return ()
        sequence.row = None
        self._running.remove(sequence)
        return self.rows.leave(row, sequence.all()[: sequence.computed if keeps else 0])

    def lose(self, moves: tuple[Move, ...]) -> None:
        """Have all computed again that moves were to change, since they failed."""
        lost = self.rows.lose(moves)
        for each in self._running:
            if each.row in lost:
                each.computed = each.cached = 0

    def admit(self) -> tuple[Sequence, Placement] | None:
        """Give the next sequence a row; None if none waits that can have one now."""
        if not self.rows.has_room:
            return None
        for sequence in _in_turn(self._waiting):
            if self._will_share(sequence):
                continue
            for other in self._waiting[: self._waiting.index(sequence)]:
                other.overtaken += 1
            self._waiting.remove(sequence)
            sequence.overtaken = 0
            placement = self.rows.take(sequence.begin)
            sequence.row = placement.row
            sequence.computed = sequence.cached = placement.kept
            self._running.append(sequence)
            return sequence, placement
        return None

    def schedule(self, prefill_tokens_per_s: float) -> Step | None:
        """Return the next step; None when there is nothing to compute.

        Args:
            prefill_tokens_per_s: how fast prompts are computed of late.
        """
        decode = tuple(each for each in self._running if each.decodes)
        reading = [each for each in self._running if each.reads]
        if not decode and not reading:
            return None
        if not reading:
            return Step(None, decode)
        sequence = min(reading, key=_reading_order)
        for other in reading:
            other.overtaken = other.overtaken + 1 if other is not sequence else 0
        size = chunk_tokens(prefill_tokens_per_s, beside=bool(decode))
        if sequence.uncomputed <= size + 1:  # a single token at the end would be a run of its own
            size = sequence.uncomputed
        return Step(Chunk(sequence, sequence.computed, sequence.computed + size), decode)

    def _will_share(self, sequence: Sequence) -> bool:
        """Return whether a prompt that is being computed will soon hold much more of this one."""
        if sequence.ahead is not None:  # the common case: many wait for one, in many turns
            other, coming = sequence.ahead
            if other.reads and coming > other.computed + 1:
                return True
        sequence.ahead = self._ahead_of(sequence.begin)
        return sequence.ahead is not None

    def _ahead_of(self, tokens: Tokens) -> tuple[Sequence, int] | None:
        coming = [(each, common(each.begin, tokens)) for each in self._running if each.reads]
        most = max(coming, key=itemgetter(1), default=None)
        if most is None or most[1] < WAIT_FOR_TOKENS_MIN:
            return None
        return most if most[1] > self.rows.shared(tokens) + 1 else None


def chunk_tokens(tokens_per_s: float, *, beside: bool) -> int:
    """Return how many tokens of a prompt a step computes: a power of two, by time.

    Args:
        tokens_per_s: how fast prompts are computed.
        beside: others are having their answers written meanwhile.
    """
    wanted = tokens_per_s * (CHUNK_S_BESIDE if beside else CHUNK_S_ALONE)
    size = CHUNK_TOKENS_MIN
    while size * 2 <= min(wanted, CHUNK_TOKENS_MAX):
        size *= 2
    return size


def _in_turn(waiting: list[Sequence]) -> list[Sequence]:
    return sorted(waiting, key=lambda each: 0 if _was_overtaken(each) else each.priority)


def _reading_order(sequence: Sequence) -> tuple[int, int]:
    if _was_overtaken(sequence):
        return 0, -sequence.overtaken
    return sequence.priority, sequence.uncomputed


def _was_overtaken(sequence: Sequence) -> bool:
    return sequence.overtaken >= OVERTAKEN_MAX
