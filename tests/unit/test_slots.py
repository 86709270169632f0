import pytest

from rbee_hive.devices import Device
from rbee_hive.workers.admission import GIB, Demand, Grant, Tenant, admit, check_terms
from rbee_hive.workers.slots import SLOTS_MAX, SLOTS_MAX_DEFAULT, cache_room_bytes, slots_that_fit
from rbee_shared.errors import InvalidArgumentError, ResourceExhaustedError


def cpu(free_gib: float) -> Device:
    return Device("cpu:0", "cpu", "a processor", 64 * GIB, int(free_gib * GIB), 4)


def slots(slot: int, free: int, other: int = 0) -> int:
    return slots_that_fit(slot, cache_room_bytes(free_bytes=free, other_bytes=other))


def test_where_there_is_room_a_worker_has_all_the_slots_of_the_default() -> None:
    assert slots(100, 100 * SLOTS_MAX_DEFAULT * 4) == SLOTS_MAX_DEFAULT
    assert slots(0, 0) == SLOTS_MAX_DEFAULT, "a model without a cache"


@pytest.mark.parametrize(("free", "fit"), [(6_399, 8), (3_200, 8), (3_199, 4), (799, 1), (10, 1)])
def test_else_the_cache_takes_at_most_a_quarter_of_what_is_free(free: int, fit: int) -> None:
    assert slots(100, free) == fit


def test_and_no_more_than_the_weights_leave() -> None:
    assert slots(100, 8_000, other=7_000) == 8
    assert slots(100, 8_000, other=7_850) == 1
    assert cache_room_bytes(free_bytes=100, other_bytes=200) == 0


def test_who_leaves_the_number_open_is_granted_what_fits_with_its_memory() -> None:
    demand = Demand(GIB, 1024, 256 * 1024)  # a slot is a quarter of a GiB
    grant = admit(demand, cpu(8), ()).grant
    assert (grant.slots, grant.slot_bytes) == (8, GIB // 4)
    assert grant.memory_bytes == int(GIB * 1.2) + 2 * GIB


def test_one_slot_beyond_the_share_is_granted_if_it_fits_at_all() -> None:
    demand = Demand(GIB, 1024, 1024 * 1024)
    assert admit(demand, cpu(2.2), ()).grant.slots == 1
    with pytest.raises(ResourceExhaustedError, match=r"needs 2\.2 GiB on `cpu:0`, 2\.1 GiB"):
        admit(demand, cpu(2.1), ())


def test_slots_that_are_asked_for_are_kept_or_refused_with_both_numbers() -> None:
    demand = Demand(0, 1024, 1024 * 1024, slots=6)
    assert admit(demand, cpu(6), ()).grant.slots == 6
    with pytest.raises(ResourceExhaustedError, match=r"needs 6\.0 GiB .* 5\.9 GiB") as caught:
        admit(demand, cpu(5.9), ())
    assert "--slots" in caught.value.hint


def test_nobody_is_evicted_for_more_slots_than_one() -> None:
    idle = Tenant("w-1", Grant("cpu:0", 4 * GIB, 1), 4 * GIB, idle_since_s=0)
    decision = admit(Demand(0, 1024, 1024 * 1024), cpu(4), [idle])
    assert (decision.evicted, decision.grant.slots) == ((), 1)


def test_the_memory_of_slots_that_a_worker_does_not_use_is_given_back() -> None:
    grant = Grant("cpu:0", 2_000, 3, slots=16, slot_bytes=100)
    assert grant.narrowed(1) == Grant("cpu:0", 500, 3, slots=1, slot_bytes=100)


@pytest.mark.parametrize("terms", [(-1, 0, 0), (0, -1, 0), (0, 0, -1), (0, 0, SLOTS_MAX + 1)])
def test_terms_that_make_no_sense_are_refused(terms: tuple[int, int, int]) -> None:
    check_terms(cores=0, context_length=0, slots=SLOTS_MAX)
    cores, context_length, slots = terms
    with pytest.raises(InvalidArgumentError) as caught:
        check_terms(cores=cores, context_length=context_length, slots=slots)
    assert caught.value.reason == "DEMAND_MALFORMED"
