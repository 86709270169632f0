"""Whether a worker fits, decided before its process starts. Pure.

Memory: weights times 1.2, plus the KV cache of all slots. Cores: the hive owns the machine's
budget, because two workers on the same cores halve each other.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from rbee_hive.devices import CUDA, Device
from rbee_hive.workers.slots import SLOTS_MAX, cache_room_bytes, slots_that_fit
from rbee_shared.errors import InvalidArgumentError, ResourceExhaustedError

WEIGHTS_OVERHEAD = 1.2
CARD_VALUE_BYTES = 2
GIB = 1024**3
CONTEXT_LENGTH_DEFAULT_MAX = 8_192  # a longer context is granted to those who ask for it


def default_context(context_length: int) -> int:
    """Return the tokens that a worker's context holds if nobody asks, by what the model has."""
    return min(context_length, CONTEXT_LENGTH_DEFAULT_MAX)


def check_terms(*, cores: int, context_length: int, slots: int) -> None:
    """Check numbers that somebody asks for; 0 leaves one open.

    Raises:
        InvalidArgumentError: one is negative, or there are too many slots.
    """
    if min(cores, context_length, slots) < 0 or slots > SLOTS_MAX:
        raise InvalidArgumentError(
            f"{cores} cores, {slots} slots and a context of {context_length} tokens:"
            f" none can be negative, and a worker has at most {SLOTS_MAX} slots",
            reason="DEMAND_MALFORMED",
            hint="0 takes what there is",
        )


@dataclass(frozen=True, slots=True)
class Demand:
    """What a worker asks for. `cores` 0 asks for all that are free; memory in bytes.

    `slots` are the requests that it answers at once; 0: as many as there is room for, at least one.
    `kv_value_bytes` is what one number of the cache takes.
    """

    weights_bytes: int
    kv_bytes_per_token: int
    context_length: int
    cores: int = 0
    slots: int = 0
    kv_value_bytes: int = CARD_VALUE_BYTES

    def on(self, device: Device) -> "Demand":
        """Return the demand on that device: attention on cards wants caches of 16 bits or more."""
        if device.kind != CUDA or self.kv_value_bytes >= CARD_VALUE_BYTES:
            return self
        values = self.kv_bytes_per_token // self.kv_value_bytes
        return replace(
            self,
            kv_bytes_per_token=values * CARD_VALUE_BYTES,
            kv_value_bytes=CARD_VALUE_BYTES,
        )

    @property
    def slot_bytes(self) -> int:
        """Memory of one slot."""
        return self.kv_bytes_per_token * self.context_length

    @property
    def other_bytes(self) -> int:
        """Memory besides the slots."""
        return int(self.weights_bytes * WEIGHTS_OVERHEAD)

    @property
    def memory_bytes(self) -> int:
        """Memory in all, with one slot where their number is left open."""
        return self.other_bytes + self.slot_bytes * max(1, self.slots)


@dataclass(frozen=True, slots=True)
class Grant:
    """What a worker holds for as long as it lives; `slot_bytes` of the memory for each slot."""

    device: str
    memory_bytes: int
    cores: int
    slots: int = 1
    slot_bytes: int = 0

    def narrowed(self, slots: int) -> "Grant":
        """Return the grant of one that uses fewer slots, without the memory of the others."""
        given_back = (self.slots - slots) * self.slot_bytes
        return replace(self, slots=slots, memory_bytes=self.memory_bytes - given_back)


@dataclass(frozen=True, slots=True)
class Tenant:
    """A worker that lives, as admission sees it. `resident_bytes` is what it already takes."""

    worker_id: str
    grant: Grant
    resident_bytes: int
    idle_since_s: float | None  # None: busy


@dataclass(frozen=True, slots=True)
class Decision:
    """The grant, and the idle workers that must go first.

    `cache_room_bytes` is what the number of slots was chosen by, where it was left open.
    """

    grant: Grant
    evicted: tuple[str, ...]
    cache_room_bytes: int = field(default=0, compare=False)


def admit(demand: Demand, device: Device, tenants: Sequence[Tenant]) -> Decision:
    """Return what the worker gets, giving up idle workers, longest idle first, only if it helps.

    None is given up whose place is not needed, and none if it would not be enough.

    Raises:
        ResourceExhaustedError: it does not fit, even so; the message has both numbers.
    """
    here = [tenant for tenant in tenants if tenant.grant.device == device.id]
    idle = sorted(
        (tenant for tenant in here if tenant.idle_since_s is not None),
        key=lambda tenant: tenant.idle_since_s or 0.0,
    )
    for count in range(len(idle) + 1):
        leaving = idle[:count]
        if _grant(demand, device, here, leaving) is not None:
            break
    else:
        raise _no_room(demand, device, here, idle)
    for tenant in tuple(leaving):
        others = [each for each in leaving if each is not tenant]
        if _grant(demand, device, here, others) is not None:
            leaving = others  # the ones after it make room enough
    grant = _grant(demand, device, here, leaving)
    assert grant is not None
    room_bytes = cache_room_bytes(
        free_bytes=_free_bytes(device, here, leaving), other_bytes=demand.other_bytes
    )
    return Decision(grant, tuple(tenant.worker_id for tenant in leaving), room_bytes)


def _grant(
    demand: Demand, device: Device, here: Sequence[Tenant], leaving: Sequence[Tenant]
) -> Grant | None:
    cores = _cores(demand, device, here, leaving)
    free_bytes = _free_bytes(device, here, leaving)
    if cores < 1 or demand.memory_bytes > free_bytes:
        return None
    room_bytes = cache_room_bytes(free_bytes=free_bytes, other_bytes=demand.other_bytes)
    slots = demand.slots or slots_that_fit(demand.slot_bytes, room_bytes)
    granted = replace(demand, slots=slots)
    return Grant(device.id, granted.memory_bytes, cores, slots, demand.slot_bytes)


def _free_bytes(device: Device, here: Sequence[Tenant], leaving: Sequence[Tenant]) -> int:
    # what the machine has free now counts what workers already take, not what they will
    still_to_come = sum(
        max(0, tenant.grant.memory_bytes - tenant.resident_bytes)
        for tenant in here
        if tenant not in leaving
    )
    given_back = sum(min(tenant.grant.memory_bytes, tenant.resident_bytes) for tenant in leaving)
    return device.free_memory_bytes - still_to_come + given_back


def _cores(
    demand: Demand, device: Device, here: Sequence[Tenant], leaving: Sequence[Tenant]
) -> int:
    if device.cores == 0:
        return 1  # on a card, one thread feeds it
    free = _free_cores(device, here, leaving)
    if demand.cores == 0:
        return free
    return demand.cores if demand.cores <= free else 0


def _free_cores(device: Device, here: Sequence[Tenant], leaving: Sequence[Tenant]) -> int:
    return device.cores - sum(tenant.grant.cores for tenant in here if tenant not in leaving)


def _no_room(
    demand: Demand, device: Device, here: Sequence[Tenant], idle: Sequence[Tenant]
) -> ResourceExhaustedError:
    # the numbers are those of the best case, so the one that is named is the one that is missing
    without = " without the idle workers" if idle else ""
    free_bytes = max(0, _free_bytes(device, here, idle))
    if demand.memory_bytes > free_bytes:
        return ResourceExhaustedError(
            f"the worker needs {demand.memory_bytes / GIB:.1f} GiB on `{device.id}`,"
            f" {free_bytes / GIB:.1f} GiB are free{without}",
            reason="INSUFFICIENT_MEMORY",
            hint="a shorter context (`--context`) or fewer `--slots` need less;"
            " `rbee ps` shows who has the rest",
        )
    return ResourceExhaustedError(
        f"the worker wants {max(1, demand.cores)} cores of `{device.id}`,"
        f" {_free_cores(device, here, idle)} of {device.cores} are free{without}",
        reason="INSUFFICIENT_CORES",
        hint="wait for a busy worker, or `rbee worker rm` one",
    )
