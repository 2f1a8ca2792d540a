"""Quantization-aware training on the int8 graph itself: what trains is what ships. Needs torch, but no network in it."""
