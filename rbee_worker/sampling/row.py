"""All that the next choice of one sequence depends on, besides its logits."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from rbee_worker.sampling.params import SamplingParams
from rbee_worker.sampling.uniform import UniformStream
from rbee_worker.sampling.used import UsedTokens


class Row:
    """One answer being written.

    A row that got the same prompt and the same tokens is the same, whoever chose them: an answer is
    continued elsewhere by pushing what there is of it. Tokens beyond the vocabulary of the logits
    (a prompt may have some) can be neither chosen nor penalised.

    Args:
        params: checked ones.
        seed: of the request.
        vocab_size: width of the logits.
        prompt: its tokens.
        eos_token_ids: those with which the model ends.
        index: which answer of the request, from 0.
    """

    def __init__(
        self,
        params: SamplingParams,
        *,
        seed: int,
        vocab_size: int,
        prompt: Sequence[int],
        eos_token_ids: frozenset[int],
        index: int = 0,
    ) -> None:
        self.params = params
        self.vocab_size = vocab_size
        self.position = len(prompt)
        self.answer_token_count = 0
        self.used = _used(params, (token for token in prompt if token < vocab_size))
        biases = [each for each in params.logit_bias if each[0] < vocab_size]
        self.biased_ids = np.array([token for token, _ in biases], np.intp)
        self.biases = np.array([bias for _, bias in biases], np.float32)
        ends = sorted(eos_token_ids.union(params.stop_token_ids))
        self._end_ids = np.array([token for token in ends if token < vocab_size], np.intp)
        self._uniforms = UniformStream(seed, index)

    @property
    def forbidden_ids(self) -> NDArray[np.intp] | None:
        """The tokens that would end the answer, while it has fewer than `min_tokens`; else None."""
        return self._end_ids if self.answer_token_count < self.params.min_tokens else None

    def uniform(self) -> float:
        """Return the random number in [0, 1) of the next token; the same until one is pushed."""
        return self._uniforms.at(self.position)

    def push(self, token: int) -> None:
        """Go on by one token of the answer."""
        self.position += 1
        self.answer_token_count += 1
        if self.used is not None and token < self.vocab_size:
            self.used.add(token)


def _used(params: SamplingParams, prompt: Iterable[int]) -> UsedTokens | None:
    """Return what the penalties need: the prompt counts for `repetition_penalty` alone."""
    if params.repetition_penalty != 1:
        return UsedTokens(prompt)
    if params.frequency_penalty or params.presence_penalty:
        return UsedTokens(())
    return None
