"""The KV cache of many sequences in the memory of a card, which numpy does not reach.

Rows are copied by a graph that hands its inputs on. It works the same in the machine's own memory,
which is how it is tested; on a card it is unproven.
"""

from functools import cached_property
from math import prod
from typing import Any

import numpy as np
import onnx as untyped_onnx
import onnxruntime as untyped_onnxruntime

from rbee_worker.compute_error import compute_error
from rbee_worker.device import Device
from rbee_worker.layouts.buffers import CacheForm

onnx: Any = untyped_onnx
ort: Any = untyped_onnxruntime

OPSET, IR_VERSION = 21, 10


class DeviceCaches:
    """Caches in the memory of a device."""

    def __init__(self, form: CacheForm, device: Device, provider: str) -> None:
        """Take the buffers.

        Raises:
            OutOfMemoryError: the device has no such memory.
            ComputeError: the device failed.
        """
        self._form, self._device, self._provider = form, device, provider
        self._kind: Any = np.dtype(form.kind).type
        self._buffers = self._taken(form.rows)

    def bind(self, binding: Any, first: int, count: int) -> None:
        """Bind `count` rows from `first` on."""
        shape = (count, *self._form.shape[1:])
        for (past, present), buffer in zip(self._form.names, self._buffers, strict=True):
            place = self._place(buffer, first, shape)
            binding.bind_input(past, *place)
            binding.bind_output(present, *place)

    def copy(self, source: int, target: int, length: int) -> None:
        """Copy a row to another, all of it: `length` of its tokens do not lie side by side.

        Raises:
            ComputeError: the device failed.
        """
        assert length <= self._form.max_len
        self._hand_on(self._buffers, source, self._buffers, target)

    def swap(self, one: int, other: int, length: int) -> None:
        """Let two rows change places.

        Raises:
            OutOfMemoryError: the device has no memory for a row between them.
            ComputeError: the device failed.
        """
        assert length <= self._form.max_len
        self._hand_on(self._buffers, one, self._spare, 0)
        self._hand_on(self._buffers, other, self._buffers, one)
        self._hand_on(self._spare, 0, self._buffers, other)

    def _taken(self, rows: int) -> list[Any]:
        shape, place = (rows, *self._form.shape[1:]), (self._device.kind, self._device.index)
        try:
            return [
                ort.OrtValue.ortvalue_from_numpy(np.zeros(shape, self._kind), *place)
                for _ in self._form.names
            ]
        except Exception as error:  # onnxruntime's errors have no base of their own
            raise compute_error(error) from error

    @cached_property
    def _spare(self) -> list[Any]:
        return self._taken(1)

    @cached_property
    def _copier(self) -> Any:
        kind, size = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(self._kind)), self._row_size
        pairs = [(f"from.{place}", f"to.{place}") for place in range(len(self._buffers))]
        value = onnx.helper.make_tensor_value_info
        graph = onnx.helper.make_graph(
            [onnx.helper.make_node("Identity", [source], [target]) for source, target in pairs],
            "copy",
            [value(source, kind, [size]) for source, _ in pairs],
            [value(target, kind, [size]) for _, target in pairs],
        )
        versions = [onnx.helper.make_opsetid("", OPSET)]
        model = onnx.helper.make_model(graph, opset_imports=versions, ir_version=IR_VERSION)
        settings = {} if self._device.kind == "cpu" else {"device_id": str(self._device.index)}
        providers = [(self._provider, settings)]
        return ort.InferenceSession(model.SerializeToString(), providers=providers)

    @property
    def _row_size(self) -> int:
        return prod(self._form.shape[1:])

    def _hand_on(self, sources: list[Any], one: int, targets: list[Any], other: int) -> None:
        shape = (self._row_size,)
        try:
            binding = self._copier.io_binding()
            for place, (source, target) in enumerate(zip(sources, targets, strict=True)):
                binding.bind_input(f"from.{place}", *self._place(source, one, shape))
                binding.bind_output(f"to.{place}", *self._place(target, other, shape))
            self._copier.run_with_iobinding(binding)
        except Exception as error:  # onnxruntime's errors have no base of their own
            raise compute_error(error) from error

    def _place(self, buffer: Any, row: int, shape: tuple[int, ...]) -> tuple[Any, ...]:
        address = buffer.data_ptr() + row * self._row_size * np.dtype(self._kind).itemsize
        return (self._device.kind, self._device.index, self._kind, shape, address)
