"""Multi-task networks: a trunk, how the tasks share it, one head per task.

To add a trunk, write its file, a struct with its keys in :mod:`mtl_edge.recipe.net`, and a branch in
:func:`mtl_edge.nets.build.build_net`.
"""
