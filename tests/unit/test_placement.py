from typing import Any

import pytest

from rbee_queen.fleet import HiveState, HiveView, WorkerView
from rbee_queen.placement import MODEL_PRESENT, QUEUED, WARM, Candidate, Request, place
from rbee_shared.errors import (
    DeviceNotFoundError,
    HiveNotFoundError,
    UnavailableError,
    WorkerNotFoundError,
)

TINY = "pypi:tiny==1"


def worker(worker_id: str, **terms: Any) -> WorkerView:
    view: dict[str, Any] = {"model": TINY, "alias": "tiny", "device": "cpu:0"}
    view |= {"serving": True, "queue_length": 0}
    return WorkerView(worker_id, **{**view, **terms})


def hive(name: str, *workers: WorkerView, **terms: Any) -> HiveView:
    view: dict[str, Any] = {"state": HiveState.ACTIVE, "devices": frozenset({"cpu:0"})}
    return HiveView(name, "address", 1.0, workers=workers, **{**view, **terms})


def has_tiny(name: str) -> HiveView:
    return hive(name, models=frozenset({TINY, "tiny"}))


def names(candidates: list[Candidate]) -> list[str]:
    return [each.hive for each in candidates]


def reasons(request: Request, *hives: HiveView) -> dict[str, str]:
    return {each.hive: each.reason for each in place(request, hives) if each.refused}


def test_a_warm_worker_beats_the_model_on_disk_and_that_beats_nothing() -> None:
    hives = [hive("a-none"), has_tiny("b-disk"), hive("c-warm", worker("w-1"))]
    warm, disk, none = place(Request("tiny"), hives)
    assert (warm.hive, warm.worker_id, warm.device) == ("c-warm", "w-1", "cpu:0")
    assert (warm.reason, warm.scores) == ("`w-1` serves the model", (("warm", WARM),))
    assert (disk.hive, disk.worker_id, disk.points) == ("b-disk", "", MODEL_PRESENT)
    assert disk.reason == "has the model; spawns a worker"
    assert (none.hive, none.scores, none.points) == ("a-none", (), 0)
    assert none.reason == "pulls the model and spawns a worker"


@pytest.mark.parametrize("model", ["tiny", TINY])
def test_a_model_answers_to_its_alias_and_its_reference(model: str) -> None:
    warm, disk = place(Request(model), [has_tiny("a"), hive("b", worker("w-1"))])
    assert (warm.worker_id, disk.points) == ("w-1", MODEL_PRESENT)


def test_a_shorter_queue_wins_between_hives_and_within_one() -> None:
    busy = hive("a", worker("w-1", queue_length=2), worker("w-2", queue_length=1))
    idle = hive("b", worker("w-3"))
    first, second = place(Request("tiny"), [busy, idle])
    assert (first.worker_id, second.worker_id) == ("w-3", "w-2")
    assert second.scores == (("warm", WARM), ("queue", QUEUED))


def test_a_long_queue_loses_to_a_hive_that_has_only_the_model() -> None:
    crowded = hive("a", worker("w-1", queue_length=6))
    assert names(place(Request("tiny"), [crowded, has_tiny("b")])) == ["b", "a"]


def test_workers_that_do_not_serve_or_serve_another_model_are_not_warm() -> None:
    other = worker("w-2", model="pypi:other==1", alias="other")
    (only,) = place(Request("tiny"), [hive("a", worker("w-1", serving=False), other)])
    assert (only.worker_id, only.points) == ("", 0)


def test_equals_are_ordered_by_name_however_they_come() -> None:
    hives = [hive("b", worker("w-4"), worker("w-3")), hive("c"), hive("a", worker("w-2"))]
    for order in (hives, hives[::-1]):
        candidates = place(Request("tiny"), order)
        assert [(each.hive, each.worker_id) for each in candidates] == [
            ("a", "w-2"),
            ("b", "w-3"),
            ("c", ""),
        ]


def test_the_hive_asked_for_is_chosen_whatever_others_have() -> None:
    hives = [hive("attic"), hive("cellar", worker("w-1"))]
    assert names(place(Request("tiny", hive="attic"), hives)) == ["attic", "cellar"]
    assert reasons(Request("tiny", hive="attic"), *hives) == {
        "cellar": "another hive was asked for"
    }


@pytest.mark.parametrize("state", [HiveState.CONNECTING, HiveState.DRAINING, HiveState.LOST])
def test_a_hive_that_takes_no_work_is_refused_with_its_state(state: HiveState) -> None:
    away = hive("a", worker("w-1"), state=state)
    assert names(place(Request("tiny"), [away, hive("b")])) == ["b", "a"]
    assert reasons(Request("tiny"), away, hive("b")) == {"a": f"it is {state.name.lower()}"}


def test_a_device_without_a_number_is_the_first_of_its_kind() -> None:
    for device in ("cpu", "cpu:0"):
        (chosen,) = place(Request("tiny", device=device), [hive("a", worker("w-1"))])
        assert (chosen.worker_id, chosen.device) == ("w-1", "cpu:0")


def test_a_device_is_kept_or_refused_never_another() -> None:
    both = frozenset({"cpu:0", "cuda:1"})
    hives = [hive("a", worker("w-1")), hive("b", worker("w-2"), devices=both)]
    request = Request("tiny", device="cuda:1")
    chosen = place(request, hives)[0]
    assert (chosen.hive, chosen.worker_id, chosen.device) == ("b", "", "cuda:1")
    assert reasons(request, *hives) == {"a": "it has no device `cuda:1`"}


def test_a_worker_asked_for_is_chosen_though_others_are_idle() -> None:
    hives = [hive("a", worker("w-1"), worker("w-2", queue_length=9)), hive("b", worker("w-3"))]
    request = Request("tiny", worker_id="w-2")
    chosen = place(request, hives)[0]
    assert (chosen.hive, chosen.worker_id, chosen.device) == ("a", "w-2", "cpu:0")
    assert reasons(request, *hives) == {"b": "it has no worker `w-2`"}


def test_a_worker_asked_for_that_is_not_ready_is_its_hives_to_refuse() -> None:
    (chosen,) = place(Request("tiny", worker_id="w-1"), [hive("a", worker("w-1", serving=False))])
    assert (chosen.worker_id, chosen.reason) == ("w-1", "`w-1` was asked for")


def test_an_unknown_hive_is_not_found() -> None:
    with pytest.raises(HiveNotFoundError) as error:
        place(Request("tiny", hive="moon"), [hive("a")])
    assert error.value.reason == "HIVE_NOT_FOUND"


def test_a_device_that_no_hive_has_is_not_found() -> None:
    with pytest.raises(DeviceNotFoundError) as error:
        place(Request("tiny", device="cuda"), [hive("a")])
    assert error.value.reason == "DEVICE_NOT_FOUND"
    with pytest.raises(DeviceNotFoundError, match="hive `b`"):
        place(Request("tiny", device="cuda", hive="b"), [hive("a"), hive("b")])


def test_a_worker_that_no_hive_has_is_not_found() -> None:
    with pytest.raises(WorkerNotFoundError) as error:
        place(Request("tiny", worker_id="w-9"), [hive("a", worker("w-1"))])
    assert error.value.reason == "WORKER_NOT_FOUND"
    with pytest.raises(WorkerNotFoundError):
        place(Request("tiny", worker_id="w-1", hive="b"), [hive("a", worker("w-1")), hive("b")])


@pytest.mark.parametrize(
    ("request_", "hives", "why"),
    [
        (Request("tiny"), [], "there is none"),
        (Request("tiny"), [hive("a", state=HiveState.LOST)], "`a`: it is lost"),
        (
            Request("tiny", hive="a"),
            [hive("a", state=HiveState.DRAINING), hive("b")],
            "`a`: it is draining; `b`: another hive was asked for",
        ),
        (
            Request("tiny", device="cuda"),
            [hive("a", state=HiveState.LOST, devices=frozenset({"cuda:0"}))],
            "`a`: it is lost",
        ),
        (
            Request("tiny", worker_id="w-1"),
            [hive("a", worker("w-1"), state=HiveState.LOST), hive("b")],
            "`a`: it is lost; `b`: it has no worker `w-1`",
        ),
        (
            Request("tiny", worker_id="w-1", device="cuda"),
            [hive("a", worker("w-1"), devices=frozenset({"cpu:0", "cuda:0"}))],
            "`a`: its worker `w-1` runs on `cpu:0`",
        ),
    ],
    ids=["no hives", "lost", "draining", "lost with the device", "lost worker", "other device"],
)
def test_where_nobody_can_do_it_now_every_hive_says_why(
    request_: Request, hives: list[HiveView], why: str
) -> None:
    with pytest.raises(UnavailableError) as error:
        place(request_, hives)
    assert error.value.reason == "NO_HIVE"
    assert str(error.value) == f"no hive can do it now ({why})"
    assert "rbee hive list" in error.value.hint
