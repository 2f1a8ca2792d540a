"""Where models come in from outside: what a file says is checked before a runtime believes it. Needs no onnx."""
