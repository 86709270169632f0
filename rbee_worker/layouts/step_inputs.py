"""The inputs of one run of a graph of the hub, besides its KV cache, and what it put out."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rbee_worker.layouts.signature import LayoutUnsupportedError

Integers = NDArray[Any]  # int64 or int32, as the graph declares


def step_inputs(
    kinds: Mapping[str, str],
    tokens: Sequence[Sequence[int]],
    pasts: Sequence[int],
    *,
    logit_count: int = 1,
) -> dict[str, Integers]:
    """Return the inputs for tokens that follow others, as far as the graph declares them.

    Args:
        kinds: numpy type by the name of the input.
        tokens: of each row, equally many.
        pasts: how many tokens each row of the cache holds.
        logit_count: of the last tokens, wanted for each row; at least one.
    """
    begins = np.array(pasts, np.int64).reshape(-1, 1)
    ends = begins + len(tokens[0])
    total = int(ends.max())

    def value(name: str, kind: str) -> Integers:
        match name:
            case "input_ids":
                return np.array(tokens, kind)
            case "attention_mask":  # ones at the left: a row's place in the buffer is its position
                return np.array(np.arange(total) < ends, kind)
            case "position_ids":
                return np.array(begins + np.arange(len(tokens[0])), kind)
            case _:  # num_logits_to_keep
                return np.array(logit_count, kind)

    return {name: value(name, kind) for name, kind in kinds.items()}


def last_logits(logits: NDArray[Any], count: int) -> NDArray[np.float32]:
    """Return the last tokens' logits of one row, of [1, tokens, vocabulary] of any float type.

    Raises:
        LayoutUnsupportedError: the graph put out less.
    """
    if count > logits.shape[1]:
        raise LayoutUnsupportedError(
            f"the graph puts out logits for {logits.shape[1]} tokens of a run, not for {count}"
        )
    return logits[0, logits.shape[1] - count :].astype(np.float32, copy=False)
