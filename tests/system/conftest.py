"""The real model, as the tests of models have it."""

from tests.model.conftest import gguf, kept, onnx_model

__all__ = ["gguf", "kept", "onnx_model"]
