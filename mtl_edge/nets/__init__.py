"""Multi-task networks: a shared trunk, one head per task.

To add a trunk, write its file and add a branch to :func:`mtl_edge.nets.build.build_net`.
"""
