"""Data sources, and the splits that every later stage reads.

To add a source, write its file, add its form to :mod:`mtl_edge.data.fingerprint`, with what tells that it has changed,
and a branch to :func:`mtl_edge.data.source.open_source`.
"""
