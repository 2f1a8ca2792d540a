"""The places that a model goes to; imports nothing, so that a help text may name them."""

DESTINATIONS = ("cpp", "python")
"""A folder of ``exporters/`` each."""
