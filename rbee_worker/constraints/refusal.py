"""Why a constraint is refused, read from what the library says about it."""

from rbee_shared.errors import InvalidArgumentError, RbeeError
from rbee_worker.constraints.limits import MESSAGE_CHARS_MAX


class ConstraintMalformedError(InvalidArgumentError):
    """A JSON schema, pattern, choice or grammar cannot be read."""

    reason = "CONSTRAINT_MALFORMED"
    hint = "mend it where the message says"


class ConstraintUnsupportedError(InvalidArgumentError):
    """It asks for something that no mask of tokens can hold an answer to."""

    reason = "CONSTRAINT_UNSUPPORTED"
    hint = "leave that part out and say it in the prompt; rbee never ignores a part in silence"


class ConstraintUnsatisfiableError(InvalidArgumentError):
    """No text has the form that was asked for."""

    reason = "CONSTRAINT_UNSATISFIABLE"
    hint = "its parts contradict each other; the message names what leaves nothing to answer"


class ConstraintTooComplexError(InvalidArgumentError):
    """Holding an answer to it would cost more than one request may."""

    reason = "CONSTRAINT_TOO_COMPLEX"
    hint = "make it smaller: fewer and shorter repetitions, alternatives and references"


class ConstraintBrokenError(RbeeError):
    """A token was chosen that the mask forbids."""

    reason = "CONSTRAINT_BROKEN"
    hint = "run it again; if it stays so, it is a fault of rbee"


SIGNS: tuple[tuple[type[InvalidArgumentError], tuple[str, ...]], ...] = (
    (ConstraintUnsatisfiableError, ("unsatisfiable", "noextension", "empty grammar")),
    (
        ConstraintTooComplexError,
        (
            "too many",
            "too big",
            "too large",
            "too deeply nested",
            "toocomplex",
            "limit",
            "fuel",
            "; max is",
            "nested",
            "precomputation failed",
            "unable to determine",
            "out of range",
            "too long",
        ),
    ),
    (
        ConstraintUnsupportedError,
        (
            "unimplemented",
            "not supported",
            "unknown format",
            "not disjoint",
            "not present in a registry",
            "failed to generate regex",
        ),
    ),
)


def refusal_of(message: str) -> InvalidArgumentError:
    """Return the error that the library's message stands for."""
    lowered = message.lower()
    kind = next(
        (kind for kind, signs in SIGNS if any(sign in lowered for sign in signs)),
        ConstraintMalformedError,
    )
    return kind(f"the constraint cannot be kept: {_shortened(message)}")


def _shortened(message: str) -> str:
    for mark in ("<state>", "<non-verbose/>", "<backtrace>"):  # what follows is the library's own
        message = message.partition(mark)[0]
    text = " ".join(message.split())
    return text if len(text) <= MESSAGE_CHARS_MAX else text[:MESSAGE_CHARS_MAX] + "..."
