"""The places that a model goes to; imports nothing, so that a help text may name them."""

DESTINATIONS = ("android", "cpp", "ios", "node", "python", "web")
"""A folder of ``exporters/`` each."""

SHARED = {"node": "javascript", "web": "javascript"}
"""Destination -> the folder of ``exporters/`` whose files it has too."""

EXACT = ("web", "android", "ios")
"""Where no kernel cuts off sums of int8, as x86 without VNNI does, on which the kit may be written."""
