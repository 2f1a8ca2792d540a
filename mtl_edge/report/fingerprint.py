"""The machine that a benchmark ran on, line by line."""

import msgspec

from mtl_edge.bench.results import Benchmark

_WORDS = {"cpu": "processor", "isa": "instruction sets", "memory_bytes": "memory", "versions": "versions"}


def fingerprint(benchmark: Benchmark) -> dict[str, str]:
    """What is known of it: title -> text; what is not known is left out."""
    found = {}
    for name, value in msgspec.structs.asdict(benchmark.machine).items():
        if text := _text(name, value):
            found[_WORDS.get(name, name.removesuffix("_bytes").replace("_", " "))] = text
    return found


def _text(name: str, value: object) -> str:
    match value:
        case dict():
            return ", ".join(f"{key} {item}" for key, item in value.items())
        case tuple() | list():
            return ", ".join(map(str, value))
        case int() if name.endswith("_bytes"):
            return f"{value / 2**30:.1f} GiB"
        case None:
            return ""
        case _:
            return str(value)
