"""What the doctor makes of facts, without a machine that has them."""

from dataclasses import replace

import pytest

from rbee_shared.doctor import HINT_INSTALL, MachineCheck
from rbee_worker.doctor.checks import GIB, NOT_NEEDED, examine, judge
from rbee_worker.doctor.facts import Cuda, Facts, Library, Machine, Runtime

MACHINE = Machine(
    python=(3, 11),
    processor="a processor",
    architecture="x86_64",
    cores=4,
    features=frozenset({"avx2", "sse", "avx512_vnni"}),
    memory_bytes=16 * GIB,
    free_memory_bytes=8 * GIB,
    models_folder="/models",
    free_disk_bytes=50 * GIB,
)
RUNTIME = Runtime("1.31.1", (13, 0), has_cuda=True, packages=("onnxruntime-gpu",))
LIBRARIES = (
    Library("libcublas.so.13", "nvidia/cu13/lib", needed=True),
    Library("libcudart.so.13", "/usr/lib", needed=True),
    Library("libcudnn.so.9", "nvidia/cudnn/lib", needed=False),
)
CUDA = Cuda(("H200",), driver="580.65", driver_cuda=(13, 0), libraries=LIBRARIES)
PLAIN = Facts(MACHINE, RUNTIME, Cuda())
WITH_CARD = Facts(MACHINE, RUNTIME, CUDA)
CUDA_CHECKS = ("NVIDIA driver", "CUDA libraries", "cuDNN")


def states(facts: Facts) -> dict[str, str]:
    return {check.name: check.state for check in examine(facts)}


def check_of(facts: Facts, name: str) -> MachineCheck:
    [found] = [check for check in examine(facts) if check.name == name]
    return found


def without(name: str) -> Facts:
    libraries = tuple(
        replace(each, place="" if each.name == name else each.place) for each in LIBRARIES
    )
    return replace(WITH_CARD, cuda=replace(CUDA, libraries=libraries))


@pytest.mark.parametrize("facts", [PLAIN, WITH_CARD])
def test_a_good_machine_has_nothing_to_do(facts: Facts) -> None:
    assert set(states(facts).values()) == {"ok"}
    assert all(check.detail and not check.hint for check in examine(facts))


def test_where_there_is_no_card_cuda_is_not_needed() -> None:
    assert [check_of(PLAIN, name).detail for name in CUDA_CHECKS] == [NOT_NEEDED] * 3
    assert check_of(PLAIN, "NVIDIA card").detail == "none"


def test_a_card_without_a_driver_is_worth_a_word_but_no_failure() -> None:
    check = check_of(replace(PLAIN, cuda=Cuda(has_card=True)), "NVIDIA card")
    assert check.state == "warn"
    assert "driver" in check.hint


def test_an_onnxruntime_that_cannot_be_imported_fails_and_says_what_brings_it() -> None:
    facts = replace(PLAIN, runtime=Runtime(error="No module named 'onnxruntime'"))
    check = check_of(facts, "onnxruntime")
    assert (check.state, check.detail) == ("fail", "No module named 'onnxruntime'")
    assert check.hint == HINT_INSTALL


def test_two_packages_that_overwrite_each_other_fail() -> None:
    both = replace(RUNTIME, packages=("onnxruntime", "onnxruntime-gpu"))
    check = check_of(replace(PLAIN, runtime=both), "onnxruntime")
    assert check.state == "fail"
    assert check.hint.startswith("`pip uninstall onnxruntime onnxruntime-gpu`")


def test_a_build_without_cuda_fails_where_there_is_a_card_and_nowhere_else() -> None:
    plain = Runtime("1.31.1", packages=("onnxruntime",))
    assert states(replace(PLAIN, runtime=plain))["onnxruntime"] == "ok"
    check = check_of(replace(WITH_CARD, runtime=plain), "onnxruntime")
    assert (check.state, check.detail) == ("fail", "1.31.1 built for the processor alone")
    assert "onnxruntime-gpu[cuda,cudnn]" in check.hint


def test_a_driver_that_is_too_old_fails_with_both_numbers_and_the_one_to_install() -> None:
    old = replace(CUDA, driver="535.1", driver_cuda=(12, 2))
    check = check_of(replace(WITH_CARD, cuda=old), "NVIDIA driver")
    assert check.state == "fail"
    assert check.detail == "535.1, runs CUDA up to 12.2; onnxruntime wants CUDA 13"
    assert check.hint == "install NVIDIA driver 580 or newer"


def test_libraries_say_where_they_are_and_which_are_missing() -> None:
    found = check_of(WITH_CARD, "CUDA libraries")
    assert found.detail == "2 of 2 found in /usr/lib, nvidia/cu13/lib"
    missing = check_of(without("libcublas.so.13"), "CUDA libraries")
    assert missing.state == "fail"
    assert missing.detail == "1 of 2 found in /usr/lib; missing: libcublas.so.13"
    assert 'pip install "onnxruntime-gpu[cuda,cudnn]"' in missing.hint


def test_a_library_that_only_some_graphs_want_is_no_failure() -> None:
    check = check_of(without("libcudnn.so.9"), "cuDNN")
    assert (check.state, check.detail) == ("warn", "0 of 1 found; missing: libcudnn.so.9")


def test_where_libraries_cannot_be_looked_for_nothing_is_claimed() -> None:
    blind = replace(WITH_CARD, cuda=replace(CUDA, libraries=()))
    check = check_of(blind, "CUDA libraries")
    assert (check.state, check.detail) == ("ok", "cannot be looked for here")


def test_a_sum_says_whether_a_device_computes() -> None:
    assert judge("cpu:0", "").state == "ok"
    failed = judge("cuda:0", "ONNX Runtime would use CPUExecutionProvider")
    assert (failed.name, failed.state) == ("computing on cuda:0", "fail")
    assert failed.detail == "ONNX Runtime would use CPUExecutionProvider"


@pytest.mark.parametrize(
    ("architecture", "features", "state"),
    [
        ("x86_64", {"sse4_2"}, "warn"),
        ("AMD64", {"avx2"}, "ok"),
        ("aarch64", {"asimd"}, "warn"),
        ("arm64", set[str](), "ok"),  # not told there
        ("riscv64", {"v"}, "ok"),
    ],
)
def test_a_processor_that_is_slow_at_int8_is_told(
    architecture: str, features: set[str], state: str
) -> None:
    machine = replace(MACHINE, architecture=architecture, features=frozenset(features))
    assert states(replace(PLAIN, machine=machine))["processor"] == state


def test_little_memory_and_disk_are_told() -> None:
    machine = replace(MACHINE, free_memory_bytes=GIB, free_disk_bytes=GIB)
    found = states(replace(PLAIN, machine=machine))
    assert (found["memory"], found["disk"]) == ("warn", "warn")


def test_an_old_python_fails() -> None:
    assert states(replace(PLAIN, machine=replace(MACHINE, python=(3, 10))))["python"] == "fail"
