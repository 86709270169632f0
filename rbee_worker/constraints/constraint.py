"""What an answer must look like, as it is asked for."""

import enum
from dataclasses import dataclass


class ConstraintKind(enum.Enum):
    """How the constraint is written down."""

    JSON_SCHEMA = "json_schema"
    REGEX = "regex"
    CHOICE = "choice"
    GRAMMAR = "grammar"


@dataclass(frozen=True, slots=True)
class Constraint:
    """A JSON schema, a regular expression, a JSON array of texts, or a grammar in Lark's syntax."""

    kind: ConstraintKind
    text: str
