import pytest

from rbee_shared.errors import (
    DeadlineExceededError,
    JobCancelledError,
    JobNotFoundError,
    NotFoundError,
    RbeeError,
    UnavailableError,
    kind_of,
    known,
    rebuild,
)


def test_every_kind_has_a_code_of_its_own() -> None:
    kinds = [kind for kind in RbeeError.__subclasses__() if kind.__module__ == RbeeError.__module__]
    codes = [kind.code for kind in kinds]
    assert len(set(codes)) == len(codes)
    assert all(kind_of(kind.code) is kind for kind in kinds)
    assert RbeeError.code not in codes


def test_an_unknown_code_is_our_fault() -> None:
    assert kind_of(99) is RbeeError


def test_an_error_is_rebuilt_as_its_kind() -> None:
    error = rebuild(5, "MODEL_NOT_FOUND", "no model `tiny`", "pull it")
    assert type(error) is NotFoundError
    assert (str(error), error.reason, error.hint) == (
        "no model `tiny`",
        "MODEL_NOT_FOUND",
        "pull it",
    )


def test_what_is_not_said_is_the_kind_s() -> None:
    error = rebuild(4, "", "too late", "")
    assert (error.reason, error.hint) == ("DEADLINE_EXCEEDED", DeadlineExceededError.hint)


def test_an_error_s_own_reason_does_not_change_its_class() -> None:
    assert UnavailableError("x", reason="HIVE_LOST").reason == "HIVE_LOST"
    assert UnavailableError("x").reason == "UNAVAILABLE"


@pytest.mark.parametrize(
    ("error", "found"),
    [
        (JobNotFoundError("j-1"), JobNotFoundError),
        (ExceptionGroup("g", [ValueError(), JobCancelledError("x")]), JobCancelledError),
        (ExceptionGroup("g", [ExceptionGroup("h", [NotFoundError("x")])]), NotFoundError),
        (ExceptionGroup("g", [ValueError(), ExceptionGroup("h", [KeyError()])]), None),
        (ValueError(), None),
    ],
)
def test_a_known_error_is_found_in_any_group(
    error: Exception, found: type[RbeeError] | None
) -> None:
    assert type(known(error)) is (found or type(None))
