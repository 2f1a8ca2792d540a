"""Data sources: formats of files, functions of the user's, generated samples; and the splits that later stages read.

To add a format, write its file, add its form to :mod:`mtl_edge.data.fingerprint`, with what tells that it has changed,
and a branch to :func:`mtl_edge.data.source.open_source`; to add generated samples, see :mod:`mtl_edge.data.generated`.
"""
