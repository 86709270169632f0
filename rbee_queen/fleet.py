"""The hives as the queen knows them. Pure: no clock, no wire, no tasks."""

import enum
from collections.abc import Sequence
from dataclasses import dataclass, replace

from rbee_shared.errors import HiveNotFoundError


class HiveState(enum.IntEnum):
    """Where a hive is, as the queen sees it; the numbers are the wire's."""

    CONNECTING = 1
    ACTIVE = 2
    DRAINING = 3
    LOST = 4


@dataclass(frozen=True, slots=True)
class WorkerView:
    """A worker as placement sees it."""

    id: str
    model: str
    alias: str
    device: str
    serving: bool
    queue_length: int


@dataclass(frozen=True, slots=True)
class HiveView:
    """A hive as placement sees it. `heard_s` is seconds since the epoch; 0 for never.

    `models` holds references and aliases alike.
    """

    name: str
    address: str
    create_time_s: float
    state: HiveState = HiveState.CONNECTING
    heard_s: float = 0.0
    devices: frozenset[str] = frozenset()
    models: frozenset[str] = frozenset()
    workers: tuple[WorkerView, ...] = ()


class Fleet:
    """The hives by name. All reads return frozen values, so callers can keep them."""

    def __init__(self) -> None:
        self._hives: dict[str, HiveView] = {}

    def add(self, name: str, address: str, now_s: float) -> None:
        """Make a hive known; it is CONNECTING until it is heard."""
        self._hives[name] = HiveView(name, address, now_s)

    def hear(
        self,
        name: str,
        now_s: float,
        *,
        devices: frozenset[str],
        models: frozenset[str],
        workers: tuple[WorkerView, ...],
        draining: bool,
    ) -> None:
        """Take in what a hive says of itself."""
        self._hives[name] = replace(
            self.get(name),
            state=HiveState.DRAINING if draining else HiveState.ACTIVE,
            heard_s=now_s,
            devices=devices,
            models=models,
            workers=workers,
        )

    def lose(self, name: str) -> None:
        """Note that a hive cannot be heard; what it last said is kept."""
        self._hives[name] = replace(self.get(name), state=HiveState.LOST)

    def get(self, name: str) -> HiveView:
        """Return the hive of that name.

        Raises:
            HiveNotFoundError: no such hive.
        """
        try:
            return self._hives[name]
        except KeyError:
            raise HiveNotFoundError(name) from None

    def all(self) -> Sequence[HiveView]:
        """Return every hive, in name order."""
        return [self._hives[name] for name in sorted(self._hives)]

    def hive_of_worker(self, worker_id: str) -> str:
        """Return the name of the hive that runs a worker; empty if none says so."""
        for hive in self.all():
            if any(worker.id == worker_id for worker in hive.workers):
                return hive.name
        return ""
