"""What a test hub does wrong on purpose: which requests it falls on, how often, and what it is."""

import threading
from dataclasses import dataclass, field, fields
from enum import StrEnum
from fnmatch import fnmatch
from typing import Any


class Kind(StrEnum):
    """What is wrong with an answer."""

    STALL = "stall"  # after `after_bytes` nothing comes until `released` is set
    TRUNCATE = "truncate"  # after `after_bytes` the connection is closed
    RESET = "reset"  # after `after_bytes` the connection is reset; -1: before any answer
    SLOW = "slow"  # `bytes_per_s`, for all requests together
    FLIP = "flip"  # the byte at `offset` of the file is another
    NO_RANGE = "no_range"  # a range that is asked for is ignored: 200 and all of it
    OTHER_RANGE = "other_range"  # 206 with a range that begins `by_bytes` later
    OTHER_TOTAL = "other_total"  # the file is told to be `by_bytes` longer than it is
    STATUS = "status"  # `status` instead of an answer, with `code` and `retry_after`
    REDIRECT_LOOP = "redirect_loop"  # 302 to the same place
    REDIRECT = "redirect"  # 302 to `location`
    EXPIRED = "expired"  # 403 of the CDN, and the address is worth nothing from then on


@dataclass(slots=True)
class Fault:
    """A fault of requests for files that match `pattern`, as `org/name/path/in/repo`.

    The first `skip` matching requests are spared, the next `count` are not; -1 is all of them.
    `where` is `hub`, `cdn` or, for both, empty. A call of the API matches as `api/org/name`.
    """

    kind: Kind
    pattern: str = "*"
    where: str = ""
    method: str = "GET"
    skip: int = 0
    count: int = -1
    after_bytes: int = 0
    by_bytes: int = 1
    offset: int = 0
    bytes_per_s: int = 0
    status: int = 503
    code: str = ""
    text: str = ""
    retry_after: str = ""
    location: str = ""
    reached: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)

    @classmethod
    def from_values(cls, values: dict[str, Any]) -> "Fault":
        """Make one of what JSON has."""
        names = {each.name for each in fields(cls)} - {"reached", "released"}
        assert set(values) <= names, set(values) - names
        fault = cls(**values)
        fault.kind = Kind(fault.kind)
        return fault


@dataclass(slots=True)
class Faults:
    """The faults of a hub; the first that falls on a request is the one that it has."""

    _faults: list[Fault] = field(default_factory=list[Fault])
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, kind: Kind, pattern: str = "*", **terms: Any) -> Fault:
        """Have a fault from here on."""
        fault = Fault(kind, pattern, **terms)
        self.put(fault)
        return fault

    def put(self, fault: Fault) -> None:
        """Have this fault from here on."""
        with self._lock:
            self._faults.append(fault)

    def clear(self) -> None:
        """Have none any more; what stalls goes on."""
        with self._lock:
            gone, self._faults = self._faults, []
        for fault in gone:
            fault.released.set()

    def of(self, where: str, method: str, name: str, *, has_bytes: bool) -> Fault | None:
        """Return the fault of a request, and count it.

        Faults of a file's bytes fall only on requests that `has_bytes`: on no redirect.
        """
        with self._lock:
            for fault in self._faults:
                if not has_bytes and _is_of_bytes(fault):
                    continue
                if _matches(fault, where, method, name) and _takes(fault):
                    fault.reached.set()
                    return fault
        return None


def _is_of_bytes(fault: Fault) -> bool:
    if fault.kind is Kind.RESET:
        return fault.after_bytes >= 0
    return fault.kind not in (Kind.STATUS, Kind.REDIRECT, Kind.REDIRECT_LOOP)


def _matches(fault: Fault, where: str, method: str, name: str) -> bool:
    return (
        fault.where in ("", where) and fault.method in ("", method) and fnmatch(name, fault.pattern)
    )


def _takes(fault: Fault) -> bool:
    if fault.skip > 0:
        fault.skip -= 1
        return False
    if fault.count > 0:
        fault.count -= 1
        return True
    return fault.count < 0
