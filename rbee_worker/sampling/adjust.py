"""What a request changes in the logits before one is drawn: bias, mask, shortest length, penalties.

Source: order and meaning are those of vLLM (`vllm/v1/sample/sampler.py`) and of Hugging Face
transformers (`generation/logits_process.py`).
"""

import numpy as np
from numpy.typing import NDArray

from rbee_worker.sampling.candidates import Floats
from rbee_worker.sampling.row import Row
from rbee_worker.sampling.used import UsedTokens

BYTE_BITS = 8

# What is added to eight logits for each byte of a mask: 0 where a bit is set, else -inf.
_PENALTY_OF_BYTE = np.where(
    np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little"), 0, -np.inf
).astype(np.float32)


def adjust(row: Row, logits: Floats, mask: NDArray[np.int32] | None) -> bool:
    """Change the logits to what the row's request makes of them, in place.

    Args:
        row: whose they are.
        logits: float32 [vocabulary].
        mask: bits, int32 [vocabulary / 32], the lowest of the first is token 0's; set is allowed.

    Returns:
        Whether anything may have changed.
    """
    forbidden = row.forbidden_ids
    if len(row.biased_ids):
        logits[row.biased_ids] += row.biases
    if mask is not None:
        _forbid_unset(logits, mask)
    if forbidden is not None:
        _forbid(logits, forbidden)
    if row.used is not None:
        _penalise(logits, row, row.used)
    return bool(
        len(row.biased_ids) or mask is not None or forbidden is not None or row.used is not None
    )


def _forbid_unset(logits: Floats, mask: NDArray[np.int32]) -> None:
    """Forbid what has no set bit; a mask that is too short allows none of the rest.

    Adding from a table takes the same time for every mask, a tenth of what a `where` takes on a
    ragged one.
    """
    bits = mask.astype("<i4", copy=False).view(np.uint8)[: -(-len(logits) // BYTE_BITS)]
    penalties = _PENALTY_OF_BYTE.take(bits, axis=0).reshape(-1)[: len(logits)]
    logits[: len(penalties)] += penalties
    logits[len(penalties) :] = -np.inf


def _forbid(logits: Floats, ends: NDArray[np.intp]) -> None:
    """Forbid the tokens that end the answer, unless nothing else is left.

    A grammar that is complete allows nothing but the end; it is stronger than a shortest length.
    """
    before = logits[ends]
    logits[ends] = -np.inf
    if logits.max() == -np.inf:
        logits[ends] = before


def _penalise(logits: Floats, row: Row, used: UsedTokens) -> None:
    """Make tokens that were used less likely.

    `repetition_penalty` counts prompt and answer, the other two the answer alone.

    Source: Keskar et al. 2019, arXiv:1909.05858, section 4.1, with the sign rule of transformers'
    `RepetitionPenaltyLogitsProcessor`; frequency and presence as in OpenAI's API reference.
    """
    params = row.params
    values = logits[used.ids]
    if params.repetition_penalty != 1:
        factor = params.repetition_penalty
        values = np.where(values > 0, values / factor, values * factor)
    if params.frequency_penalty:
        values -= params.frequency_penalty * used.counts
    if params.presence_penalty:
        values -= params.presence_penalty * (used.counts > 0)
    logits[used.ids] = values
