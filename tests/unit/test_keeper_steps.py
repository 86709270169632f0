from rbee_keeper.steps import PART_ACTION, PART_SILENT_S, STEPS_MAX, Step, advance, ended
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


def test_a_measure_never_falls() -> None:
    running, _ = after(told("fetch", "a", done=6), told("fetch", "a", done=4))
    assert running[0].progress == Progress(6, 10, "bytes")
    assert running[0].human == "fetch a"
    running, _ = advance(running, told("fetch", "a", done=7))
    assert running[0].progress == Progress(7, 10, "bytes")


def test_another_measure_of_one_step_begins_where_it_is_told_to() -> None:
    running, _ = after(told("check", "a", done=10), told("check", "a", done=1, total=30))
    assert running[0].progress == Progress(1, 30, "bytes")


def test_a_word_between_two_measures_takes_none_away() -> None:
    running, _ = after(told("fetch", "a", done=6), told("fetch", "a"), told("fetch", "a", done=7))
    assert [step.progress for step in running] == [Progress(7, 10, "bytes")]


def file(number: int, done: int = 1, *, time_s: float = 0.0) -> Narration:
    return told(PART_ACTION, str(number), done=done, time_s=time_s)


def test_of_many_files_that_come_and_go_only_the_measure_of_all_is_left() -> None:
    running, done = after(told("model_download", "m", done=1, total=400))
    for number in range(200):
        for told_of_it in (
            file(number, 1),
            told("model_download", "m", done=2 * number + 1, total=400),
            file(number, 10),
        ):
            running, left = advance(running, told_of_it)
            done += left
        assert names(running) == ["model_download m"]
    assert running[0].progress == Progress(399, 400, "bytes")
    assert done == []
    _, done = advance(running, told("model_download", "m", done=400, total=400))
    assert done == []
    running, done = after(told("model_download", "m", done=400, total=400), told("check", "m"))
    assert (names(running), names(done)) == (["check m"], ["model_download m"])


def test_files_never_push_the_measure_of_all_off_the_screen() -> None:
    running, done = after(
        told("model_download", "m", done=1), *(file(number) for number in range(100))
    )
    assert names(running) == [
        "model_download m",
        *(f"{PART_ACTION} {number}" for number in range(STEPS_MAX - 1)),
    ]
    assert done == []


def test_a_file_that_is_silent_makes_room_and_one_that_is_not_keeps_its_place() -> None:
    running, _ = after(*(file(number) for number in range(STEPS_MAX)))
    told_again = PART_SILENT_S - 0.1
    for number in range(1, STEPS_MAX):
        running, _ = advance(running, file(number, 2, time_s=told_again))
    running, _ = advance(running, file(100, time_s=told_again))
    assert [step.target for step in running] == [str(number) for number in range(STEPS_MAX)]
    running, _ = advance(running, file(100, time_s=PART_SILENT_S))
    assert [step.target for step in running] == [*map(str, range(1, STEPS_MAX)), "100"]


def test_a_step_takes_the_place_of_a_file_and_not_of_another_step() -> None:
    others = [told("fetch", str(number), done=1) for number in range(STEPS_MAX - 2)]
    running, done = after(*others, file(1), file(2), told("convert", "m"))
    assert names(running) == [
        *(f"fetch {number}" for number in range(STEPS_MAX - 2)),
        f"{PART_ACTION} 2",
        "convert m",
    ]
    assert done == []


def test_files_end_with_the_measure_of_all_though_nobody_said_that_they_did() -> None:
    running, done = after(
        told("model_download", "m", done=1),
        file(1),
        told("model_download", "m", done=10),
        told("convert", "m"),
    )
    assert (names(running), names(done)) == (["convert m"], ["model_download m"])


def test_files_end_no_step_and_are_never_said_to_be_done() -> None:
    running, done = after(told("model_download", "m"), file(1), file(2), file(3, 10))
    assert names(running) == ["model_download m", f"{PART_ACTION} 1", f"{PART_ACTION} 2"]
    assert done == []
    assert names(ended(running)) == ["model_download m"]
