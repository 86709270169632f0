from rbee.v1 import model_pb2
from rbee_keeper.plans import CHOICES_SHOWN_MAX, choices, plan_document, problems, shown_choices

GIB = 2**30


def choice(path: str, *, chosen: bool = False) -> model_pb2.ModelFileChoice:
    return model_pb2.ModelFileChoice(path=path, chosen=chosen)


def fit(device: str, needed_bytes: int, free_bytes: int) -> model_pb2.DeviceFit:
    return model_pb2.DeviceFit(
        device=device,
        required_memory_bytes=needed_bytes,
        free_memory_bytes=free_bytes,
        fits=needed_bytes <= free_bytes,
    )


def test_what_is_taken_comes_first_and_all_else_keeps_its_order() -> None:
    plan = model_pb2.DownloadPlan(
        choices=[choice("a"), choice("b", chosen=True), choice("c"), choice("d", chosen=True)]
    )
    assert [row["path"] for row in choices(plan)] == ["b", "d", "a", "c"]
    rows, more = shown_choices(plan)
    assert [row["mark"] for row in rows] == ["*", "*", " ", " "]
    assert more == 0


def test_a_long_list_is_bounded_for_people_and_whole_for_programs() -> None:
    plan = model_pb2.DownloadPlan(choices=[choice(str(number)) for number in range(500)])
    rows, more = shown_choices(plan)
    assert (len(rows), more) == (CHOICES_SHOWN_MAX, 500 - CHOICES_SHOWN_MAX)
    assert len(plan_document(plan)["choices"]) == 500


def test_an_empty_plan_has_no_problem() -> None:
    assert problems(model_pb2.DownloadPlan()) == []
    assert plan_document(model_pb2.DownloadPlan())["fits"] == []


def test_a_disk_that_is_too_small_is_a_problem() -> None:
    plan = model_pb2.DownloadPlan(required_disk_bytes=2 * GIB, free_disk_bytes=GIB)
    assert problems(plan) == ["it does not fit on the disk: 2.0 GiB needed, 1.0 GiB free"]


def test_one_device_that_it_fits_is_enough() -> None:
    plan = model_pb2.DownloadPlan(fits=[fit("cpu:0", 2 * GIB, 4 * GIB), fit("cuda:0", 2, 1)])
    assert problems(plan) == []


def test_where_it_fits_no_device_each_is_named() -> None:
    plan = model_pb2.DownloadPlan(fits=[fit("cpu:0", 2 * GIB, GIB), fit("cuda:0", 2 * GIB, 0)])
    assert problems(plan) == [
        "it does not fit into the memory of `cpu:0`: 2.0 GiB needed, 1.0 GiB free",
        "it does not fit into the memory of `cuda:0`: 2.0 GiB needed, 0 B free",
    ]


def test_a_need_that_is_not_known_is_neither_kept_nor_refused() -> None:
    plan = model_pb2.DownloadPlan(fits=[model_pb2.DeviceFit(device="cpu:0")])
    assert problems(plan) == []
    [row] = plan_document(plan)["fits"]
    assert (row["required_memory_bytes"], row["fits"]) == (None, None)
