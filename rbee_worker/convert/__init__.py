"""GGUF to ONNX, in a process of its own."""
