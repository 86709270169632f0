import pytest

from rbee_hive.devices import Device
from rbee_hive.workers.admission import GIB, Decision, Demand, Grant, Tenant, admit
from rbee_shared.errors import ResourceExhaustedError


def cpu(free_gib: float, cores: int = 4) -> Device:
    return Device("cpu:0", "cpu", "a processor", 64 * GIB, int(free_gib * GIB), cores)


def card(free_gib: float) -> Device:
    return Device("cuda:0", "cuda", "a card", 64 * GIB, int(free_gib * GIB))


def wants(gib: float, cores: int = 0) -> Demand:
    return Demand(0, int(gib * GIB), 1, cores, slots=1)


def granted(gib: float, cores: int, device: str = "cpu:0") -> Grant:
    return Grant(device, int(gib * GIB), cores, slots=1, slot_bytes=int(gib * GIB))


def tenant(
    name: str,
    gib: float,
    *,
    cores: int = 1,
    idle_since_s: float | None = None,
    resident_gib: float | None = None,
    device: str = "cpu:0",
) -> Tenant:
    resident = gib if resident_gib is None else resident_gib
    grant = Grant(device, int(gib * GIB), cores)
    return Tenant(name, grant, int(resident * GIB), idle_since_s)


def refused(demand: Demand, device: Device, *tenants: Tenant) -> ResourceExhaustedError:
    with pytest.raises(ResourceExhaustedError) as caught:
        admit(demand, device, tenants)
    assert caught.value.hint
    return caught.value


def test_memory_is_weights_and_overhead_and_cache() -> None:
    demand = Demand(weights_bytes=1_000, kv_bytes_per_token=10, context_length=50, slots=3)
    assert demand.memory_bytes == 1_200 + 3 * 500
    assert admit(demand, cpu(1), ()) == Decision(Grant("cpu:0", 2_700, 4, 3, 500), ())


def test_a_cache_of_8_bits_takes_16_on_a_card() -> None:
    demand = Demand(weights_bytes=GIB, kv_bytes_per_token=100, context_length=10, kv_value_bytes=1)
    assert demand.on(cpu(1.0)) is demand
    assert demand.on(card(1.0)).slot_bytes == 2 * demand.slot_bytes
    wide = Demand(weights_bytes=GIB, kv_bytes_per_token=400, context_length=10, kv_value_bytes=4)
    assert wide.on(card(1.0)) is wide


def test_what_just_fits_fits_and_one_byte_more_is_refused_with_both_numbers() -> None:
    assert admit(wants(2), cpu(2), ()).grant.memory_bytes == 2 * GIB
    error = refused(Demand(0, 2 * GIB + 1, 1, slots=1), cpu(2))
    assert error.reason == "INSUFFICIENT_MEMORY"
    error = refused(wants(12), cpu(2.5))
    assert str(error) == "the worker needs 12.0 GiB on `cpu:0`, 2.5 GiB are free"


def test_what_a_worker_was_granted_and_has_not_taken_yet_is_not_free() -> None:
    loading = tenant("w-1", 3, resident_gib=1)
    assert admit(wants(2), cpu(4), [loading]).evicted == ()
    error = refused(wants(3), cpu(4), loading)
    assert "2.0 GiB are free" in str(error)
    assert "0.0 GiB are free" in str(refused(wants(3), cpu(1), loading))


def test_a_worker_that_took_more_than_it_was_granted_is_counted_once() -> None:
    large = tenant("w-1", 1, resident_gib=3)
    assert admit(wants(4), cpu(4), [large]).grant.memory_bytes == 4 * GIB
    # the machine says what is free; what comes back is no more than what was granted
    idle = tenant("w-1", 1, resident_gib=3, idle_since_s=0)
    assert "5.0 GiB are free" in str(refused(wants(6), cpu(4), idle))


def test_without_a_number_all_free_cores_are_granted() -> None:
    assert admit(wants(1), cpu(8), ()).grant.cores == 4
    assert admit(wants(1), cpu(8), [tenant("w-1", 1, cores=3)]).grant.cores == 1


def test_the_cores_asked_for_are_granted_or_refused() -> None:
    busy = tenant("w-1", 1, cores=2)
    assert admit(wants(1, cores=2), cpu(8), [busy]).grant.cores == 2
    error = refused(wants(1, cores=3), cpu(8), busy)
    assert error.reason == "INSUFFICIENT_CORES"
    assert str(error) == "the worker wants 3 cores of `cpu:0`, 2 of 4 are free"
    assert "wants 5 cores of `cpu:0`, 4 of 4 are free" in str(refused(wants(1, cores=5), cpu(8)))


def test_no_worker_runs_without_a_core() -> None:
    error = refused(wants(1), cpu(8), tenant("w-1", 1, cores=4))
    assert str(error) == "the worker wants 1 cores of `cpu:0`, 0 of 4 are free"


def test_nobody_is_evicted_where_there_is_room() -> None:
    idle = tenant("w-1", 1, idle_since_s=0)
    assert admit(wants(1), cpu(8), [idle]) == Decision(granted(1, 3), ())


def test_the_longest_idle_goes_first_and_no_more_than_needed() -> None:
    tenants = [
        tenant("w-young", 2, idle_since_s=30),
        tenant("w-old", 2, idle_since_s=10),
        tenant("w-middle", 2, idle_since_s=20),
    ]
    assert admit(wants(2), cpu(1), tenants).evicted == ("w-old",)
    assert admit(wants(4), cpu(1), tenants).evicted == ("w-old", "w-middle")
    assert admit(wants(7), cpu(1), tenants).evicted == ("w-old", "w-middle", "w-young")
    # who began to be idle when the clock began is idle, and the longest
    assert admit(wants(3), cpu(1), [*tenants, tenant("w-0", 2, idle_since_s=0)]).evicted == ("w-0",)


def test_an_evicted_workers_cores_are_granted_anew() -> None:
    decision = admit(wants(1), cpu(8), [tenant("w-1", 1, cores=4, idle_since_s=0)])
    assert decision == Decision(granted(1, 4), ("w-1",))


def test_an_idle_worker_whose_place_does_not_help_stays() -> None:
    small, large = tenant("w-small", 1, idle_since_s=0), tenant("w-large", 4, idle_since_s=50)
    assert admit(wants(5), cpu(1), [small, large]).evicted == ("w-large",)
    without_cores = tenant("w-none", 1, cores=0, idle_since_s=0)
    all_cores = tenant("w-all", 1, cores=4, idle_since_s=50)
    assert admit(wants(1), cpu(8), [without_cores, all_cores]).evicted == ("w-all",)


def test_nobody_is_evicted_in_vain_and_the_error_has_the_best_case() -> None:
    idle, busy = tenant("w-1", 2, idle_since_s=0), tenant("w-2", 2, cores=3)
    error = refused(wants(4), cpu(1), idle, busy)
    assert error.reason == "INSUFFICIENT_MEMORY"
    assert str(error).endswith(
        "needs 4.0 GiB on `cpu:0`, 3.0 GiB are free without the idle workers"
    )
    error = refused(wants(3, cores=2), cpu(1), idle, busy)  # memory would do: it is not to blame
    assert error.reason == "INSUFFICIENT_CORES"
    assert str(error).endswith("1 of 4 are free without the idle workers")


def test_a_busy_worker_is_never_evicted() -> None:
    busy = tenant("w-1", 8, cores=4)
    assert refused(wants(1), cpu(0.5), busy).reason == "INSUFFICIENT_MEMORY"
    assert refused(wants(1), cpu(2), busy).reason == "INSUFFICIENT_CORES"


def test_a_card_is_given_by_memory_alone_and_one_core_feeds_each_worker() -> None:
    there = [tenant(f"w-{n}", 1, device="cuda:0") for n in range(8)]
    assert admit(wants(2, cores=3), card(4), there) == Decision(granted(2, 1, "cuda:0"), ())
    assert refused(wants(5), card(4), *there).reason == "INSUFFICIENT_MEMORY"


def test_the_workers_of_other_devices_do_not_count() -> None:
    elsewhere = tenant("w-1", 60, cores=4, device="cuda:0", resident_gib=0, idle_since_s=0)
    assert admit(wants(1), cpu(1), [elsewhere]) == Decision(granted(1, 4), ())
    assert "0.0 GiB are free" in str(refused(wants(1), cpu(0), elsewhere))
