"""A model in parts: a trunk, and a head for each task, that give the whole model's outputs one after the other."""

import msgspec

CHAIN_FILE = "chain.json"


class Chain(msgspec.Struct, frozen=True, kw_only=True):
    """What ``chain.json`` says.

    Attributes:
        source_sha256: of the whole model's file.
        trunk: its file. Its outputs are what the heads read, by name; an output that no head reads is a task's.
        heads: task -> its file; a task without one is an output of the trunk.
        files: every other file of the folder -> SHA-256.
        largest_difference: of any output from the whole model's, over that output's largest magnitude, when the parts
            were run one after the other; 0 is equal to the bit.
    """

    format: int = 1
    source_sha256: str
    trunk: str
    heads: dict[str, str]
    files: dict[str, str]
    largest_difference: float
