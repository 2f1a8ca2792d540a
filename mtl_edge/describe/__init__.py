"""A manifest for a model that mtl-edge did not make: a few lines of TOML say what its outputs mean."""
