"""ONNX head, exact top-k search and partitioned output; onnxruntime and numpy, never torch."""
