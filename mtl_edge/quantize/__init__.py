"""Static int8 on finished ``.onnx`` files: calibration, where 8 bits go, and what the runtime makes of it; no torch."""
