"""Trunks, one file each: what turns a batch of inputs into features."""
