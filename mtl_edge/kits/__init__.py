"""Kits: a folder with all that a model needs in an app, for one kind of place that it goes to.

``exporters/<destination>/`` holds the client, the example and the build files, which are copied as they are; a module
here of the destination's name writes what depends on the model. Needs onnxruntime and numpy, no torch, no onnx.
"""
