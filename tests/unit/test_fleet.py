from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from rbee_queen.fleet import Fleet, HiveState, WorkerView
from rbee_shared.errors import HiveNotFoundError


def view(worker_id: str) -> WorkerView:
    return WorkerView(worker_id, "model", "alias", "cpu:0", serving=True, queue_length=0)


def hear(fleet: Fleet, name: str, *workers: str, now_s: float = 2.0, **terms: Any) -> None:
    said: dict[str, Any] = {"devices": frozenset({"cpu:0"}), "models": frozenset({"tiny"})}
    said = {**said, "workers": tuple(map(view, workers)), "draining": False, **terms}
    fleet.hear(name, now_s, **said)


def test_a_hive_is_connecting_until_it_is_heard() -> None:
    fleet = Fleet()
    fleet.add("attic", "unix:/x", 1.0)
    before = fleet.get("attic")
    assert (before.state, before.create_time_s, before.heard_s) == (HiveState.CONNECTING, 1.0, 0.0)
    hear(fleet, "attic", "w-1")
    after = fleet.get("attic")
    assert (after.state, after.create_time_s, after.heard_s) == (HiveState.ACTIVE, 1.0, 2.0)
    assert (after.devices, after.models) == ({"cpu:0"}, {"tiny"})
    assert after.workers == (view("w-1"),)
    assert before.state == HiveState.CONNECTING  # what was read stays as it was


def test_a_hive_that_drains_takes_work_again_when_it_says_so() -> None:
    fleet = Fleet()
    fleet.add("attic", "unix:/x", 1.0)
    hear(fleet, "attic", draining=True)
    assert fleet.get("attic").state == HiveState.DRAINING
    hear(fleet, "attic")
    assert fleet.get("attic").state == HiveState.ACTIVE


def test_what_a_lost_hive_said_last_is_kept() -> None:
    fleet = Fleet()
    fleet.add("attic", "unix:/x", 1.0)
    hear(fleet, "attic", "w-1")
    fleet.lose("attic")
    lost = fleet.get("attic")
    assert (lost.state, lost.heard_s, lost.workers) == (HiveState.LOST, 2.0, (view("w-1"),))
    hear(fleet, "attic", now_s=3.0)
    assert fleet.get("attic").state == HiveState.ACTIVE
    assert fleet.get("attic").workers == ()


def test_hives_come_in_name_order() -> None:
    fleet = Fleet()
    for name in ("cellar", "attic", "barn"):
        fleet.add(name, "unix:/x", 1.0)
    assert [hive.name for hive in fleet.all()] == ["attic", "barn", "cellar"]


def test_a_worker_is_found_by_what_the_hives_say() -> None:
    fleet = Fleet()
    for name in ("attic", "barn"):
        fleet.add(name, "unix:/x", 1.0)
    hear(fleet, "barn", "w-1", "w-2")
    assert fleet.hive_of_worker("w-2") == "barn"
    assert fleet.hive_of_worker("w-9") == ""


def test_an_unknown_hive_is_not_found() -> None:
    fleet = Fleet()
    asks: list[Callable[[str], Any]] = [fleet.get, fleet.lose, partial(hear, fleet)]
    for ask in asks:
        with pytest.raises(HiveNotFoundError, match="no hive named `moon`"):
            ask("moon")
    assert fleet.all() == []
