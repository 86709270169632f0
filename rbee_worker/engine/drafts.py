"""Guessing the next tokens from what the answer repeats, and how many guesses pay. Pure.

A run over several tokens costs little more than a run over one, so guesses that come true are
nearly free. What was chosen decides: with the same numbers from every run, an answer is the same
with and without guesses.

Source: Saxena 2023, "Prompt lookup decoding", https://github.com/apoorvumang/prompt-lookup-decoding
"""

from collections.abc import Sequence

ALIKE = 3  # tokens that must have stood together before
GUESSES_MAX = 10
HIT_PRIOR, PRIOR_WEIGHT = 0.5, 3.0  # what is believed before anything is known
MEMORY = 0.93  # how much of what was seen counts on after each guess
COST_FIXED, COST_EACH = 0.3, 0.18  # of a run's time for one token: measured, then learned
COST_SMOOTHING = 0.1


class Drafts:
    """The guesses for one answer. What comes of them is learned from its tokens.

    Args:
        prompt: the tokens before the answer.
    """

    def __init__(self, prompt: Sequence[int]) -> None:
        self._tokens = list(prompt)
        self._prompt_length = len(prompt)
        self._ends: dict[tuple[int, ...], int] = {}
        self._indexed = ALIKE
        self._guessed: list[int] = []
        self._hits, self._tries = HIT_PRIOR * PRIOR_WEIGHT, PRIOR_WEIGHT

    @property
    def hit_rate(self) -> float:
        """The share of guesses that come true, of late."""
        return self._hits / self._tries

    def guess(self, answer: Sequence[int], count_max: int) -> list[int]:
        """Return what followed the last time that the newest tokens stood together.

        Args:
            answer: its tokens until now.
            count_max: the most guesses, at least one.
        """
        tokens = self._tokens
        came = answer[len(tokens) - self._prompt_length :]
        self._learn(came)
        tokens += came
        for end in range(self._indexed, len(tokens)):
            self._ends[tuple(tokens[end - ALIKE : end])] = end
        self._indexed = max(ALIKE, len(tokens))
        begin = self._ends.get(tuple(tokens[-ALIKE:]))
        self._guessed = [] if begin is None else tokens[begin : begin + count_max]
        return self._guessed

    def _learn(self, came: Sequence[int]) -> None:
        for guess, token in zip(self._guessed, came, strict=False):
            self._hits = self._hits * MEMORY + (guess == token)
            self._tries = self._tries * MEMORY + 1
            if guess != token:
                return


class GuessCosts:
    """What a run over more tokens than one costs, as a share of a run over one."""

    def __init__(self) -> None:
        self._one_s = 0.0
        self._each = COST_EACH

    def learn(self, count: int, took_s: float) -> None:
        """Take note of a run over so many tokens of one answer."""
        if count == 1:
            self._one_s = _smoothed(self._one_s or took_s, took_s)
        elif self._one_s:
            each = (took_s / self._one_s - 1 - COST_FIXED) / (count - 1)
            self._each = _smoothed(self._each, min(1.0, max(0.02, each)))

    def best_count(self, hit_rate: float) -> int:
        """Return how many guesses give the most tokens in the same time; 0: none pays."""
        best, best_rate, come, likely = 0, 1.0, 1.0, 1.0
        for count in range(1, GUESSES_MAX + 1):
            likely *= hit_rate
            come += likely
            rate = come / (1 + COST_FIXED + self._each * count)
            if rate > best_rate:
                best, best_rate = count, rate
        return best


def _smoothed(old: float, new: float) -> float:
    return old + COST_SMOOTHING * (new - old)
