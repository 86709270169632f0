"""Whether a worker fits, decided before its process starts. Pure.

Memory: weights times 1.2, plus the KV cache. Cores: the hive owns the machine's budget, because two
workers on the same cores halve each other.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from rbee_hive.devices import Device
from rbee_shared.errors import ResourceExhaustedError

WEIGHTS_OVERHEAD = 1.2
GIB = 1024**3


@dataclass(frozen=True, slots=True)
class Demand:
    """What a worker asks for. `cores` 0 asks for all that are free; memory in bytes."""

    weights_bytes: int
    kv_bytes_per_token: int
    context_length: int
    cores: int = 0

    @property
    def memory_bytes(self) -> int:
        """Memory in all."""
        return int(
            self.weights_bytes * WEIGHTS_OVERHEAD + self.kv_bytes_per_token * self.context_length
        )


@dataclass(frozen=True, slots=True)
class Grant:
    """What a worker holds for as long as it lives."""

    device: str
    memory_bytes: int
    cores: int


@dataclass(frozen=True, slots=True)
class Tenant:
    """A worker that lives, as admission sees it. `resident_bytes` is what it already takes."""

    worker_id: str
    grant: Grant
    resident_bytes: int
    idle_since_s: float | None  # None: busy


@dataclass(frozen=True, slots=True)
class Decision:
    """The grant, and the idle workers that must go first."""

    grant: Grant
    evicted: tuple[str, ...]


def admit(demand: Demand, device: Device, tenants: Sequence[Tenant]) -> Decision:
    """Return what the worker gets, giving up idle workers, longest idle first, only if needed.

    Raises:
        ResourceExhaustedError: it does not fit, even so; the message has both numbers.
    """
    here = [tenant for tenant in tenants if tenant.grant.device == device.id]
    idle = sorted(
        (tenant for tenant in here if tenant.idle_since_s is not None),
        key=lambda tenant: tenant.idle_since_s or 0.0,
    )
    for count in range(len(idle) + 1):
        leaving = {tenant.worker_id for tenant in idle[:count]}
        staying = [tenant for tenant in here if tenant.worker_id not in leaving]
        gone = [tenant for tenant in here if tenant.worker_id in leaving]
        free_bytes = _free_bytes(device, staying, gone)
        cores = _cores(demand, device, staying)
        if demand.memory_bytes <= free_bytes and (device.cores == 0 or cores > 0):
            grant = Grant(device.id, demand.memory_bytes, cores)
            return Decision(grant, tuple(tenant.worker_id for tenant in gone))
    raise _no_room(demand, device, here)


def _free_bytes(device: Device, staying: Sequence[Tenant], gone: Sequence[Tenant]) -> int:
    # what the machine has free now counts what workers already take, not what they will
    still_to_come = sum(max(0, t.grant.memory_bytes - t.resident_bytes) for t in staying)
    return device.free_memory_bytes - still_to_come + sum(t.resident_bytes for t in gone)


def _cores(demand: Demand, device: Device, staying: Sequence[Tenant]) -> int:
    if device.cores == 0:
        return 1  # on a card, one thread feeds it
    free = device.cores - sum(tenant.grant.cores for tenant in staying)
    if demand.cores == 0:
        return free
    return demand.cores if demand.cores <= free else 0


def _no_room(demand: Demand, device: Device, here: Sequence[Tenant]) -> ResourceExhaustedError:
    free_bytes = _free_bytes(device, here, ())
    if demand.memory_bytes > free_bytes:
        return ResourceExhaustedError(
            f"the worker needs {demand.memory_bytes / GIB:.1f} GiB on `{device.id}`,"
            f" {max(0, free_bytes) / GIB:.1f} GiB are free",
            reason="INSUFFICIENT_MEMORY",
            hint="a shorter context (`--context`) needs less; `rbee ps` shows who has the rest",
        )
    used = sum(tenant.grant.cores for tenant in here)
    return ResourceExhaustedError(
        f"the worker wants {max(1, demand.cores)} cores of `{device.id}`,"
        f" {device.cores - used} of {device.cores} are free",
        reason="INSUFFICIENT_CORES",
        hint="wait for a busy worker, or `rbee worker rm` one",
    )
