"""The inputs of one run of a graph of the hub, besides its KV cache."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[Any]  # int64 or int32, as the graph declares


def step_inputs(kinds: Mapping[str, str], tokens: Sequence[int], past: int) -> dict[str, Integers]:
    """Return the inputs for tokens that follow `past` others, as far as the graph declares them.

    Args:
        kinds: numpy type by the name of the input.
        tokens: of the run.
        past: how many tokens the cache holds.
    """
    total = past + len(tokens)

    def value(name: str, kind: str) -> Integers:
        match name:
            case "input_ids":
                return np.array([tokens], kind)
            case "attention_mask":
                return np.ones((1, total), kind)
            case "position_ids":
                return np.arange(past, total, dtype=kind).reshape(1, -1)
            case _:  # num_logits_to_keep
                return np.array(1, kind)

    return {name: value(name, kind) for name, kind in kinds.items()}


def last_row(logits: NDArray[Any]) -> NDArray[np.float32]:
    """Return a copy of the last token's logits, from [1, tokens, vocabulary] of any float type."""
    return logits[0, -1].astype(np.float32)
