"""Measuring models under ONNX Runtime on CPU: a fresh process each, interleaved with a base.

Runs on a target box: onnxruntime and numpy, no torch, no onnx.
"""
