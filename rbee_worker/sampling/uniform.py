"""Randomness as a function of (seed, answer, position): the same wherever it is drawn.

Source: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3": Philox is a function of a
key and a counter, without a state that grows.
"""

import numpy as np
from numpy.typing import NDArray

WORD_BITS = 64
WORD_MASK = 2**WORD_BITS - 1
COUNTER_WORDS = 4  # Philox gives so many words for one value of its counter
BLOCK_LENGTH = 64  # making a generator costs as much as some hundred numbers
MANTISSA_BITS = 53


class UniformStream:
    """The numbers in [0, 1) of one answer, each under its position.

    Args:
        seed: of the request; its lower 64 bits count.
        index: of the answer; the answers of one request draw different numbers.
    """

    def __init__(self, seed: int, index: int = 0) -> None:
        self._key = (seed & WORD_MASK) | (index << WORD_BITS)
        self._block = -1
        self._words: NDArray[np.uint64] = np.empty(0, np.uint64)

    def at(self, position: int) -> float:
        """Return the number of that position, whichever were asked for before."""
        block, offset = divmod(position, BLOCK_LENGTH)
        if block != self._block:
            self._block = block
            counter = block * BLOCK_LENGTH // COUNTER_WORDS
            words = np.random.Philox(key=self._key, counter=counter).random_raw(BLOCK_LENGTH)
            self._words = np.asarray(words, np.uint64)
        return (int(self._words[offset]) >> (WORD_BITS - MANTISSA_BITS)) * 2.0**-MANTISSA_BITS
