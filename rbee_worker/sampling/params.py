"""What a request may ask of sampling, and in which ranges."""

from dataclasses import dataclass

from rbee_shared.errors import InvalidArgumentError

STOP_STRINGS_MAX = 16
STOP_CHARS_MAX = 256
TEMPERATURE_MAX = 2.0


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How tokens are chosen and when to end. `seed` None: a random one, told in the end."""

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    seed: int | None = None
    max_tokens: int | None = None
    min_tokens: int = 0
    stop: tuple[str, ...] = ()
    stop_token_ids: tuple[int, ...] = ()
    ignore_eos: bool = False
    repetition_penalty: float = 1.0
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    logit_bias: tuple[tuple[int, float], ...] = ()
    logprobs: int | None = None
    n: int = 1

    def check(self) -> None:
        """Refuse what is out of range, all faults at once.

        Raises:
            InvalidArgumentError: there are faults.
        """
        rules = (
            (
                0 <= self.temperature <= TEMPERATURE_MAX,
                f"temperature is not in 0..{TEMPERATURE_MAX:g}",
            ),
            (self.top_k >= 0, "top_k is negative"),
            (0 < self.top_p <= 1, "top_p is not above 0 and at most 1"),
            (self.max_tokens is None or self.max_tokens >= 1, "max_tokens is below 1"),
            (len(self.stop) <= STOP_STRINGS_MAX, f"there are over {STOP_STRINGS_MAX} stop strings"),
            (
                all(1 <= len(each) <= STOP_CHARS_MAX for each in self.stop),
                f"a stop string has not 1 to {STOP_CHARS_MAX} characters",
            ),
        )
        if faults := [fault for holds, fault in rules if not holds]:
            raise InvalidArgumentError("; ".join(faults), reason="SAMPLING_INVALID")
