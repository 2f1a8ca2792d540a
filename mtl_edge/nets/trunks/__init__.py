"""Trunks, one file each: what turns a batch of inputs into features.

Each is a function that gives a :class:`~mtl_edge.nets.trunks.base.Trunk`.
"""
