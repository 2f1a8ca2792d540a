"""Making a network smaller: structured pruning (needs torch) and static int8 quantization (needs onnx only)."""
