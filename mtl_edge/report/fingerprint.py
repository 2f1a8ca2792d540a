"""The machine that a benchmark ran on, line by line."""

import msgspec

from mtl_edge.bench.results import Benchmark

_WORDS = {
    "cpu": "processor",
    "isa": "instruction sets",
    "memory_bytes": "memory",
    "frequency_mhz": "frequency",
    "temperature_c": "temperature",
    "throttled": "times throttled",
}
_SHOWN_APART = ("noise",)


def fingerprint(benchmark: Benchmark) -> dict[str, str]:
    """What is known of it: title -> text; what is not known is left out."""
    facts = msgspec.structs.asdict(benchmark.machine)
    if benchmark.conditions is not None:
        facts |= msgspec.structs.asdict(benchmark.conditions)
    found = {}
    for name, value in facts.items():
        if name not in _SHOWN_APART and (text := _text(name, value)):
            found[_WORDS.get(name, name.removesuffix("_bytes").replace("_", " "))] = text
    return found


def _text(name: str, value: object) -> str:
    match value:
        case dict():
            return ", ".join(f"{key} {item}" for key, item in value.items())
        case (float() as low, float() as high) if name == "frequency_mhz":
            return f"{low:.0f} to {high:.0f} MHz"
        case tuple() | list():
            return ", ".join(map(str, value))
        case int() if name.endswith("_bytes"):
            return f"{value / 2**30:.1f} GiB"
        case float() if name == "temperature_c":
            return f"{value:.0f} °C"
        case float() if name == "other_load":
            return f"{value:.2f} cores, on average"
        case None:
            return ""
        case _:
            return str(value)
