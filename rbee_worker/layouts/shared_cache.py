"""Graphs of the hub with grouped-query attention: one buffer, and the mask says how full it is."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rbee_worker.layouts.bindings import Bindings
from rbee_worker.layouts.buffers import Caches
from rbee_worker.layouts.signature import LOGITS
from rbee_worker.layouts.step_inputs import Integers, last_logits, step_inputs


class SharedCache:
    """The caches of all sequences and the runs over them."""

    def __init__(
        self,
        new_binding: Callable[[], Any],
        run: Callable[[Any], None],
        caches: Caches,
        kinds: Mapping[str, str],
    ) -> None:
        self._run, self._kinds = run, kinds
        self._caches = caches  # its buffers must live as long as the bindings
        self._bindings = Bindings(new_binding, caches)

    def prefill(
        self, row: int, tokens: Sequence[int], past: int, logit_count: int
    ) -> NDArray[np.float32]:
        """Compute tokens of one row that follow `past` others.

        Raises:
            RbeeError: it could not be computed.
        """
        inputs = step_inputs(self._kinds, [tokens], [past], logit_count=max(1, logit_count))
        return last_logits(self._forward(row, 1, inputs), logit_count)

    def decode(
        self, first: int, tokens: Sequence[int], lengths: Sequence[int]
    ) -> NDArray[np.float32]:
        """Compute one token for each of some rows.

        Raises:
            RbeeError: it could not be computed.
        """
        inputs = step_inputs(self._kinds, [[token] for token in tokens], lengths)
        return self._forward(first, len(tokens), inputs)[:, -1].astype(np.float32, copy=False)

    def _forward(self, first: int, count: int, inputs: Mapping[str, Integers]) -> NDArray[Any]:
        binding = self._bindings.of(first, count).binding
        for name, array in inputs.items():
            binding.bind_cpu_input(name, array)
        binding.bind_output(LOGITS, "cpu")  # their shape follows the run's length
        self._run(binding)
        outputs = binding.get_outputs_as_ortvaluevector()
        return outputs[len(outputs) - 1].numpy()  # caches were bound first
