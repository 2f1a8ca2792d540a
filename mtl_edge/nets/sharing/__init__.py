"""Sharing schemes, one file each: which parts of the trunk the tasks have in common.

A scheme is a module whose ``forward`` takes a batch of inputs and gives one
:class:`~mtl_edge.nets.trunks.base.Features` per task, in their order.
"""
