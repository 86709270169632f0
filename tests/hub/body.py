"""How a test hub writes the bytes of a file: by sendfile, and with whatever fault it has."""

import os
import select
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.hub.faults import Fault, Kind

STEP_BYTES = 8 * 1024 * 1024
SLOW_STEPS_A_S = 100
LOOK_INTERVAL_S = 0.05  # at whether a client that is stalled has gone


@dataclass(slots=True)
class Pace:
    """What all slow answers of a hub share: when the next bytes may go."""

    _next_s: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def wait(self, size_bytes: int, bytes_per_s: int) -> None:
        """Wait until that many bytes may go."""
        with self._lock:
            self._next_s = max(self._next_s, time.monotonic()) + size_bytes / bytes_per_s
            due_s = self._next_s
        time.sleep(max(0.0, due_s - time.monotonic()))


@dataclass(frozen=True, slots=True)
class Body:
    """Bytes of a file from `begin` until `end`, for one client; `sent` is told how many went."""

    client: socket.socket
    file: Path
    begin: int
    end: int
    sent: Callable[[int], None]

    def write(self, fault: Fault | None, pace: Pace, stopped: threading.Event) -> bool:
        """Write all of it, or what the fault leaves; return whether the connection may go on."""
        kind = fault.kind if fault else None
        if fault is None or kind not in _PARTIAL:
            self._send(self.begin, self.end, fault, pace)
            return True
        middle = min(self.end, self.begin + max(0, fault.after_bytes))
        self._send(self.begin, middle, None, pace)
        if kind is Kind.RESET:
            reset(self.client)
        if kind is Kind.STALL and _released(self.client, fault, stopped):
            self._send(middle, self.end, None, pace)
            return True
        return False

    def _send(self, begin: int, end: int, fault: Fault | None, pace: Pace) -> None:
        bytes_per_s = fault.bytes_per_s if fault and fault.kind is Kind.SLOW else 0
        step = max(1, bytes_per_s // SLOW_STEPS_A_S) if bytes_per_s else STEP_BYTES
        flip = fault.offset if fault and fault.kind is Kind.FLIP else -1
        source = os.open(self.file, os.O_RDONLY)
        try:
            at = begin
            while at < end:
                if bytes_per_s:
                    pace.wait(min(step, end - at), bytes_per_s)
                stop = flip if at < flip else end
                if at == flip:
                    self.client.sendall(bytes([os.pread(source, 1, at)[0] ^ 0xFF]))
                    size = 1
                else:
                    wanted = min(step, stop - at, end - at)
                    size = os.sendfile(self.client.fileno(), source, at, wanted)
                at += size
                self.sent(size)
        finally:
            os.close(source)


_PARTIAL = {Kind.STALL, Kind.TRUNCATE, Kind.RESET}


def reset(client: socket.socket) -> None:
    """Have the connection reset when it is closed, instead of ended."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _released(client: socket.socket, fault: Fault, stopped: threading.Event) -> bool:
    while not stopped.is_set():
        if fault.released.is_set():
            return True
        if select.select([client], [], [], LOOK_INTERVAL_S)[0]:
            return False
    return False
