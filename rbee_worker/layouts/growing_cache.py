"""Any other decoder: what a run puts out as present goes into the next as past.

Keys and values are written anew in every step, so an answer gets slower as it gets longer.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rbee_worker.layouts.signature import LOGITS, Signature
from rbee_worker.layouts.step_inputs import last_logits, step_inputs


class GrowingCache:
    """The cache of one sequence and the runs over it: there is one row."""

    def __init__(
        self,
        new_binding: Callable[[], Any],
        run: Callable[[Any], None],
        signature: Signature,
        *,
        kv_heads: int,
        head_dim: int,
    ) -> None:
        self._new_binding, self._run = new_binding, run
        self._signature = signature
        empty = np.zeros((1, kv_heads, 0, head_dim), signature.cache_kind)
        self._nothing: list[Any] = [empty for _ in signature.caches]
        self._values: list[Any] = self._nothing  # arrays, or values of ONNX Runtime
        self._held = 0

    def prefill(
        self, row: int, tokens: Sequence[int], past: int, logit_count: int
    ) -> NDArray[np.float32]:
        """Compute tokens that follow `past` others; tokens held beyond `past` are forgotten.

        Raises:
            RbeeError: it could not be computed; what was held stays.
        """
        assert row == 0, "a cache that grows is of one sequence"
        self._cut(past)
        binding: Any = self._new_binding()
        kinds, wanted = self._signature.kinds, max(1, logit_count)
        for name, array in step_inputs(kinds, [tokens], [past], logit_count=wanted).items():
            binding.bind_cpu_input(name, array)
        binding.bind_output(LOGITS, "cpu")  # bound first it comes first
        for (name, present), value in zip(self._signature.caches, self._values, strict=True):
            if isinstance(value, np.ndarray):
                binding.bind_cpu_input(name, value)
            else:
                binding.bind_ortvalue_input(name, value)
            binding.bind_output(present, "cpu")
        self._run(binding)
        logits, *self._values = binding.get_outputs()
        self._held = past + len(tokens)
        return last_logits(logits.numpy(), logit_count)

    def decode(
        self, first: int, tokens: Sequence[int], lengths: Sequence[int]
    ) -> NDArray[np.float32]:
        """Compute one token.

        Raises:
            RbeeError: it could not be computed; what was held stays.
        """
        return self.prefill(first, tokens, lengths[0], 1)

    def _cut(self, past: int) -> None:
        assert past <= self._held, "a sequence is computed from its begin"
        if past == 0:
            self._values = self._nothing
        elif past < self._held:
            self._values = [
                np.ascontiguousarray(np.asarray(each)[:, :, :past]) for each in self._values
            ]
        self._held = past
