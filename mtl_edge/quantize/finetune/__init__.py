"""Quantization-aware training on the int8 graph itself: what trains is what ships.

It needs torch, but not the network's code in torch.
"""
