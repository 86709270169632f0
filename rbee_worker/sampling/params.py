"""What a request may ask of sampling, and in which ranges."""

from collections.abc import Iterable
from dataclasses import dataclass

from rbee_shared.errors import InvalidArgumentError

TEMPERATURE_MAX = 2.0
STOP_STRINGS_MAX = 16
STOP_CHARS_MAX = 256
STOP_TOKENS_MAX = 64
REPETITION_MIN = 0.01
REPETITION_MAX = 2.0
PENALTY_MAX = 2.0
LOGIT_BIASES_MAX = 300
LOGIT_BIAS_MAX = 100.0
LOGPROBS_MAX = 20
ANSWERS_MAX = 16

Rule = tuple[bool, str]


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How tokens are chosen and when to end. `seed` None: a random one, told in the end.

    `logit_bias` are (token, bias). `logprobs` None: none are told; 0: those of the chosen tokens.
    """

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

    def check(self, vocab_size: int | None = None) -> None:
        """Refuse what is out of range, all faults at once; what was asked for is not repeated.

        Args:
            vocab_size: of the model; None leaves out what only a model can tell.

        Raises:
            InvalidArgumentError: there are faults.
        """
        rules = (*self._choice_rules(), *self._penalty_rules(), *self._end_rules())
        if vocab_size is not None:
            rules += self._vocabulary_rules(vocab_size)
        if faults := [fault for holds, fault in rules if not holds]:
            raise InvalidArgumentError(
                "; ".join(faults),
                reason="SAMPLING_INVALID",
                hint="`rbee run --help` and `SamplingParams` of the contract say what is taken",
            )

    def _choice_rules(self) -> tuple[Rule, ...]:
        return (
            (
                0 <= self.temperature <= TEMPERATURE_MAX,
                f"temperature is not in 0..{TEMPERATURE_MAX:g}",
            ),
            (self.top_k >= 0, "top_k is negative"),
            (0 < self.top_p <= 1, "top_p is not above 0 and at most 1"),
            (0 <= self.min_p <= 1, "min_p is not in 0..1"),
            (
                self.logprobs is None or 0 <= self.logprobs <= LOGPROBS_MAX,
                f"logprobs is not in 0..{LOGPROBS_MAX}",
            ),
            (1 <= self.n <= ANSWERS_MAX, f"n is not in 1..{ANSWERS_MAX}"),
        )

    def _penalty_rules(self) -> tuple[Rule, ...]:
        biased = [token for token, _ in self.logit_bias]
        return (
            (
                REPETITION_MIN <= self.repetition_penalty <= REPETITION_MAX,
                f"repetition_penalty is not in {REPETITION_MIN:g}..{REPETITION_MAX:g}",
            ),
            (
                abs(self.frequency_penalty) <= PENALTY_MAX,
                f"frequency_penalty is not in -{PENALTY_MAX:g}..{PENALTY_MAX:g}",
            ),
            (
                abs(self.presence_penalty) <= PENALTY_MAX,
                f"presence_penalty is not in -{PENALTY_MAX:g}..{PENALTY_MAX:g}",
            ),
            (len(biased) <= LOGIT_BIASES_MAX, f"logit_bias has over {LOGIT_BIASES_MAX} tokens"),
            (len(biased) == len(set(biased)), "logit_bias names a token twice"),
            (
                all(abs(bias) <= LOGIT_BIAS_MAX for _, bias in self.logit_bias),
                f"a logit_bias is not in -{LOGIT_BIAS_MAX:g}..{LOGIT_BIAS_MAX:g}",
            ),
            (all(token >= 0 for token in biased), "logit_bias names a negative token"),
        )

    def _end_rules(self) -> tuple[Rule, ...]:
        longest = self.max_tokens
        return (
            (longest is None or longest >= 1, "max_tokens is below 1"),
            (self.min_tokens >= 0, "min_tokens is negative"),
            (longest is None or self.min_tokens <= longest, "min_tokens is above max_tokens"),
            (len(self.stop) <= STOP_STRINGS_MAX, f"there are over {STOP_STRINGS_MAX} stop strings"),
            (
                all(1 <= len(each) <= STOP_CHARS_MAX for each in self.stop),
                f"a stop string has not 1 to {STOP_CHARS_MAX} characters",
            ),
            (
                len(self.stop_token_ids) <= STOP_TOKENS_MAX,
                f"there are over {STOP_TOKENS_MAX} stop_token_ids",
            ),
            (all(each >= 0 for each in self.stop_token_ids), "a stop_token_id is negative"),
        )

    def _vocabulary_rules(self, vocab_size: int) -> tuple[Rule, ...]:
        def known(tokens: Iterable[int]) -> bool:
            return all(token < vocab_size for token in tokens)

        has = f"which has {vocab_size:,} tokens"
        return (
            (self.top_k <= vocab_size, f"top_k is above the model's vocabulary, {has}"),
            (
                known(token for token, _ in self.logit_bias),
                f"logit_bias names a token that is not the model's, {has}",
            ),
            (
                known(self.stop_token_ids),
                f"a stop_token_id is not a token of the model, {has}",
            ),
        )
