"""From data with several targets to one small, fast, verified ``.onnx``, measured on the runtime that will run it.

The way of the data is one straight line; each step is a package of its own::

    recipe -> data -> nets -> train -> compress -> export -> bench -> report

Import what you need by its full name, so that the import also names the dependency::

    from mtl_edge.compress.prune import prune_channels  # needs the [train] extra
    from mtl_edge.artifact import read_manifest         # needs the base install only
"""

__version__ = "0.1.0"
