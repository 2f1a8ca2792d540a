"""The places that a model goes to; imports nothing, so that a help text may name them."""

DESTINATIONS = ("android", "cpp", "ios", "node", "python", "web")
"""A folder of ``exporters/`` each."""

SHARED = {"node": "javascript", "web": "javascript"}
"""Destination -> the folder of ``exporters/`` whose files it has too."""

EXACT = ("web", "android", "ios")
"""Where no kernel cuts off sums of int8, as x86 without VNNI does, on which the kit may be written."""

READS_ONE = ("web", "node", "android", "ios")
"""Whose clients read one input, or the two that rows become, and no features of another part of the model."""

ENCODES_NO_ROWS = ("android", "ios")
"""Whose clients cannot feed rows to a graph that encodes them."""
