"""What a narration is: one thing told to a person while a job or a daemon does its work."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

Field = str | int | float


class Level(enum.IntEnum):
    """How much a person wants to be told; the numbers are the wire's."""

    DEBUG = 1
    INFO = 2
    WARN = 3
    ERROR = 4


class Mode(enum.StrEnum):
    """In whose voice a person wants to be told."""

    HUMAN = "human"
    CUTE = "cute"
    STORY = "story"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a step is. `total` 0 means that nobody knows; `unit` is `bytes`, `steps` or empty.

    `rate` is units a second of late, `remaining_s` what is left at that rate; 0 and None where
    nobody knows.
    """

    done: int
    total: int = 0
    unit: str = ""
    rate: float = 0.0
    remaining_s: float | None = None


@dataclass(frozen=True, slots=True)
class Narration:
    """One thing told, in the present tense. `time_s` is seconds since the epoch.

    `cute` and `story` say what `human` says, in the voice of those modes; empty for none.
    """

    actor: str
    action: str
    human: str
    time_s: float
    target: str = ""
    level: Level = Level.INFO
    fields: Mapping[str, Field] = field(default_factory=dict[str, Field])
    progress: Progress | None = None
    correlation_id: str = ""
    cute: str = ""
    story: str = ""
