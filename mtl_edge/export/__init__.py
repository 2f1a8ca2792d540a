"""From torch to ONNX, and the proof that nothing changed on the way."""
