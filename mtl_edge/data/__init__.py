"""Data sources, and the splits that every later stage reads.

To add a source, write its file and add a branch to :func:`mtl_edge.data.source.load_splits`.
"""
