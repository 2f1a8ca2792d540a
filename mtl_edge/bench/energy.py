"""What the processor's packages take, from the counters that Linux shows of Intel's and AMD's RAPL."""

from collections.abc import Mapping
from pathlib import Path

RAPL = Path("/sys/class/powercap")


def read_energy(root: Path = RAPL) -> dict[str, int]:
    """Microjoules so far by package; empty where the counters are absent, or readable by root only."""
    counters: dict[str, int] = {}
    for zone in sorted(root.glob("intel-rapl:[0-9]*")):
        if zone.name.count(":") > 1:  # a part of a package, and counted there
            continue
        try:
            counters[str(zone)] = int((zone / "energy_uj").read_text())
        except (OSError, ValueError):
            continue
    return counters


def joules_between(before: Mapping[str, int], after: Mapping[str, int]) -> float | None:
    """What was taken between two readings; a counter that went below its last value started anew at its maximum."""
    if not before or before.keys() != after.keys():
        return None
    taken = 0
    for zone, value in after.items():
        wrapped = value < before[zone]
        taken += value - before[zone] + (int((Path(zone) / "max_energy_range_uj").read_text()) if wrapped else 0)
    return taken / 1e6


def source_of_energy(root: Path = RAPL) -> str:
    """Where energy is read from, or why it is not, in a few words."""
    if read_energy(root):
        return f"RAPL, {root}"
    return "not readable: needs root" if any(root.glob("intel-rapl:*")) else "not readable: the box shows no RAPL"
