"""The layouts of ONNX models: what a graph declares, and how its KV cache is bound."""
