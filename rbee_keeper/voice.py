"""In whose voice the command line tells what happens: as it is, as a bee, or as a tale."""

from dataclasses import replace

from rbee_shared.narration.event import Mode, Narration
from rbee_shared.paths import resolve
from rbee_shared.settings import load


def chosen(asked: Mode | None) -> Mode:
    """Return the mode of the flag, else that of the settings.

    Raises:
        InvalidArgumentError: the settings cannot be read.
    """
    return asked if asked is not None else load(resolve().settings_file).keeper_mode


def voiced(narration: Narration, mode: Mode) -> Narration:
    """Return the narration with `human` in that mode's voice; as it is where it has none."""
    match mode:
        case Mode.HUMAN:
            text = ""
        case Mode.CUTE:
            text = narration.cute
        case Mode.STORY:
            text = narration.story
    return replace(narration, human=text) if text else narration
