"""From a torch module to files that a device runs: ONNX, TFLite, and their quantized variants."""
