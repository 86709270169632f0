import os
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pynvml as untyped_pynvml
import pytest

from rbee_hive import devices
from rbee_hive.devices import CPU, CUDA, Device, detect, device_id, device_named
from rbee_shared.errors import DeviceNotFoundError
from rbee_shared.machine import usable_memory

pynvml: Any = untyped_pynvml


@dataclass
class Driver:
    """Stands where NVIDIA's library stands: cards by name; one without a name is broken."""

    cards: list[str]
    starts: bool = True
    is_open: bool = False
    NVMLError: type[Exception] = field(default=pynvml.NVMLError)

    def nvmlInit(self) -> None:
        if not self.starts:
            raise pynvml.NVMLError_LibraryNotFound
        self.is_open = True

    def nvmlShutdown(self) -> None:
        self.is_open = False

    def nvmlDeviceGetCount(self) -> int:
        return len(self.cards)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        if not self.cards[index]:
            raise pynvml.NVMLError_GpuIsLost
        return index

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> Any:
        return SimpleNamespace(total=1_000 * (handle + 1), free=900)

    def nvmlDeviceGetCudaComputeCapability(self, _: int) -> tuple[int, int]:
        return 9, 0

    def nvmlDeviceGetName(self, handle: int) -> str:
        return self.cards[handle]


def with_driver(patch: pytest.MonkeyPatch, *cards: str, starts: bool = True) -> Driver:
    driver = Driver(list(cards), starts)
    patch.setattr(devices, "pynvml", driver)
    return driver


def test_a_machine_without_cards_lists_its_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    with_driver(monkeypatch, starts=False)
    [found] = detect()
    assert (found.id, found.kind, found.compute_capability) == ("cpu:0", CPU, "")
    assert found.name
    assert found.memory_bytes == usable_memory().total_bytes
    assert 0 < found.free_memory_bytes <= found.memory_bytes
    assert 1 <= found.cores <= (os.cpu_count() or 1)


def test_this_machine_is_detected_whatever_it_has() -> None:
    found = detect()
    assert found[0].id == "cpu:0"
    assert [each.id for each in found[1:]] == [f"cuda:{n}" for n in range(len(found) - 1)]


def test_cards_come_with_what_the_driver_says(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = with_driver(monkeypatch, "H200", "T4")
    _, first, second = detect()
    assert first == Device("cuda:0", CUDA, "H200", 1_000, 900, 0, "9.0")
    assert (second.id, second.name, second.memory_bytes) == ("cuda:1", "T4", 2_000)
    assert not driver.is_open


def test_a_lost_card_is_not_listed_and_hides_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = with_driver(monkeypatch, "H200", "", "T4")
    assert [each.id for each in detect()] == ["cpu:0", "cuda:0", "cuda:2"]
    assert not driver.is_open


def test_cores_are_bounded_by_the_setting_and_by_the_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with_driver(monkeypatch, starts=False)
    all_of_them = detect()[0].cores
    assert detect(1)[0].cores == 1
    assert detect(10_000)[0].cores == all_of_them


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="a call of Linux")
def test_cores_are_those_this_process_may_run_on(monkeypatch: pytest.MonkeyPatch) -> None:
    with_driver(monkeypatch, starts=False)
    mine = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(mine)})
    try:
        assert detect()[0].cores == 1
    finally:
        os.sched_setaffinity(0, mine)


@pytest.mark.parametrize(
    ("asked", "meant"),
    [("", "cpu:0"), ("cpu", "cpu:0"), ("cuda", "cuda:0"), ("cuda:3", "cuda:3"), ("tpu", "tpu:0")],
)
def test_a_device_is_named_in_short_or_in_full(asked: str, meant: str) -> None:
    assert device_id(asked) == meant
    there = tuple(Device(each, "", "", 1, 1) for each in ("cpu:0", "cuda:0", "cuda:3", "tpu:0"))
    assert device_named(there, asked, "attic").id == meant


@pytest.mark.parametrize("asked", ["cuda", "cuda:1", "cpu:1", "cpu:", ":", "CPU"])
def test_a_device_that_is_not_there_is_refused_never_replaced(asked: str) -> None:
    there = (Device("cpu:0", CPU, "", 1, 1),)
    with pytest.raises(DeviceNotFoundError, match=f"hive `attic` has no device `{asked}`"):
        device_named(there, asked, "attic")
