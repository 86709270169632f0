"""How a model is converted, put to a reference or held against what it says already. Pure."""

from dataclasses import replace

from rbee_shared.errors import InvalidArgumentError
from rbee_shared.references.forms import weights_unknown
from rbee_shared.references.kinds import WEIGHTS, WEIGHTS_DEFAULT, Reference


class ChoiceContradictedError(InvalidArgumentError):
    """What is asked for beside a reference is not what it says."""

    reason = "CHOICE_CONTRADICTED"
    hint = "leave one of the two out"

    def __init__(self, reference: str, asked: str) -> None:
        super().__init__(f"`{reference}` says otherwise than `{asked}`")


def weighed(reference: Reference, weights: str) -> Reference:
    """Return the reference with its weights converted in that way; empty: as it says itself.

    Raises:
        ReferenceMalformedError: there is no such way.
        ChoiceContradictedError: the reference says another.
    """
    word = weights.lower()
    if not word:
        return reference
    if word not in WEIGHTS:
        raise weights_unknown(weights)
    if reference.weights not in {"", word}:
        raise ChoiceContradictedError(reference.alias or reference.text, word)
    if word in {reference.weights, WEIGHTS_DEFAULT}:
        return reference
    alias = f"{reference.alias}#{word}" if reference.alias else ""
    return replace(reference, weights=word, alias=alias)
