"""Graphs of the hub with grouped-query attention: one buffer, and the mask says how full it is."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rbee_worker.layouts.buffers import Caches
from rbee_worker.layouts.signature import LOGITS
from rbee_worker.layouts.step_inputs import last_row, step_inputs


class SharedCache:
    """The cache of one sequence and the runs over it."""

    def __init__(
        self,
        new_binding: Callable[[], Any],
        run: Callable[[Any], None],
        caches: Caches,
        kinds: Mapping[str, str],
    ) -> None:
        self._run, self._kinds = run, kinds
        self._binding: Any = new_binding()
        self._binding.bind_output(LOGITS, "cpu")  # bound first it comes first
        caches.bind(self._binding)
        self._caches = caches  # its buffers must live as long as the binding

    def forward(self, tokens: Sequence[int], past: int) -> NDArray[np.float32]:
        """Run the model and return the last logits.

        Raises:
            ComputeError: it could not be computed.
        """
        binding = self._binding
        for name, array in step_inputs(self._kinds, tokens, past).items():
            binding.bind_cpu_input(name, array)
        binding.bind_output(LOGITS, "cpu")  # their shape follows the run's length
        self._run(binding)
        return last_row(binding.get_outputs_as_ortvaluevector()[0].numpy())
