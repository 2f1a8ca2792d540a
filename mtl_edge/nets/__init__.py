"""Multi-task networks: trunks, how the tasks share them, one head per task; and networks that a recipe brings along.

To add a trunk, write its file in ``trunks``, a struct with its keys in :mod:`mtl_edge.recipe.net`, and a branch in
:mod:`mtl_edge.nets.build`; to add a sharing scheme, likewise in ``sharing`` and :mod:`mtl_edge.nets.sharing.build`.
"""
