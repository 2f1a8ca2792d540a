"""Is this model, or this folder, what its maker sent? Hashes, manifests, golden vectors, a signature. Needs no onnx."""
