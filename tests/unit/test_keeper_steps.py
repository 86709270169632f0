from rbee_keeper.steps import STEPS_MAX, Step, advance
from rbee_shared.narration.event import Narration, Progress


def told(
    action: str,
    target: str = "",
    *,
    done: int | None = None,
    total: int = 10,
    unit: str = "bytes",
    time_s: float = 0.0,
) -> Narration:
    progress = None if done is None else Progress(done, total, unit)
    return Narration("hive", action, f"{action} {target}", time_s, target, progress=progress)


def after(*narrations: Narration) -> tuple[list[Step], list[Step]]:
    running: list[Step] = []
    ended: list[Step] = []
    for narration in narrations:
        running, done = advance(running, narration)
        ended += done
    return running, ended


def names(steps: list[Step]) -> list[str]:
    return [step.label for step in steps]


def test_a_step_ends_where_the_next_begins() -> None:
    running, ended = after(told("load", time_s=3.0), told("ready", time_s=5.0))
    assert names(ended) == ["load "]
    assert names(running) == ["ready "]
    assert (ended[0].begin_s, running[0].begin_s) == (3.0, 5.0)


def test_a_step_told_again_is_the_same_step() -> None:
    running, ended = after(told("fetch", "a", done=1), told("fetch", "a", done=4))
    assert ended == []
    assert [step.progress for step in running] == [Progress(4, 10, "bytes")]


def test_a_measure_that_begins_under_another_name_goes_on_with_the_step() -> None:
    running, ended = after(
        told("convert", "smollm2"), told("convert", "SmolLM2 135M", done=1, unit="steps")
    )
    assert ended == []
    assert names(running) == ["convert smollm2"]
    assert running[0].human == "convert SmolLM2 135M"


def test_downloads_side_by_side_all_run() -> None:
    running, ended = after(
        told("fetch", "a", done=1), told("fetch", "b", done=1), told("fetch", "a", done=2)
    )
    assert names(running) == ["fetch a", "fetch b"]
    assert ended == []


def test_a_measure_that_is_full_ends_with_the_next_step_and_an_open_one_stays() -> None:
    running, ended = after(
        told("fetch", "a", done=10), told("fetch", "b", done=1), told("convert", "a")
    )
    assert names(ended) == ["fetch a"]
    assert names(running) == ["fetch b", "convert a"]


def test_one_action_on_one_thing_after_the_other_is_two_steps() -> None:
    running, ended = after(told("evict", "w-1"), told("evict", "w-2"))
    assert names(ended) == ["evict w-1"]
    assert names(running) == ["evict w-2"]


def test_a_flood_of_open_measures_is_bounded() -> None:
    flood = [told("fetch", str(number), done=1) for number in range(100)]
    running, ended = after(*flood)
    assert names(running) == [f"fetch {number}" for number in range(100 - STEPS_MAX, 100)]
    assert len(ended) == 100 - STEPS_MAX
    assert len({step.number for step in running}) == STEPS_MAX


def test_what_is_left_to_say_has_the_size() -> None:
    assert after(told("fetch", "a", done=1, total=2048))[0][0].summary() == "fetch a (2.0 KiB)"
    assert after(told("fetch", "a", done=1, total=0))[0][0].summary() == "fetch a"
    assert after(told("convert", "a", done=1, unit="steps"))[0][0].summary() == "convert a"
