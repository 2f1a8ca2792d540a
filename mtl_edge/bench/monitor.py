"""How the box is while it measures: what else runs on it, its frequency, its heat."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from mtl_edge.bench.energy import source_of_energy
from mtl_edge.bench.machine import Conditions

SYSTEM = Path("/sys/devices/system/cpu")

_NOISY_LOAD = 0.2
"""Cores that other work may keep busy on average, before figures are called noisy."""

_PROCESSOR_SENSORS = ("coretemp", "k10temp", "zenpower", "cpu_thermal", "cpu-thermal", "soc_thermal")


class Monitor:
    """Collects, turn by turn, how the box is."""

    def __init__(self, system: Path = SYSTEM) -> None:
        self._system = system
        self._busy = self._wall = 0.0
        self._frequencies: list[float] = []
        self._temperatures: list[float] = []
        self._throttled_before = _throttled(system)
        self._look()

    @contextmanager
    def turn(self, pid: int) -> Iterator[list[float]]:
        """Watch one turn of a process; afterwards the list has the number of cores that other work kept busy."""
        found: list[float] = []
        child = psutil.Process(pid)
        busy, own, start = _busy_s(), _own_s(child), time.perf_counter()
        yield found
        wall = time.perf_counter() - start
        others = max(_busy_s() - busy - (_own_s(child) - own), 0.0)
        self._busy += others
        self._wall += wall
        found.append(round(others / wall, 3))
        self._look()

    def conditions(self) -> Conditions:
        """What was seen so far."""
        now = _throttled(self._system)
        throttled = None if now is None or self._throttled_before is None else now - self._throttled_before
        load = self._busy / self._wall if self._wall else 0.0
        noise = []
        if load > _NOISY_LOAD:
            noise.append(f"other work kept {load:.1f} of {psutil.cpu_count() or 1} cores busy")
        if throttled:
            noise.append(f"the processor slowed itself down {throttled} times because of heat")
        return Conditions(
            governor=_governor(self._system),
            frequency_mhz=(min(self._frequencies), max(self._frequencies)) if self._frequencies else None,
            temperature_c=max(self._temperatures, default=None),
            throttled=throttled,
            other_load=round(load, 3),
            energy=source_of_energy(),
            noise=tuple(noise),
        )

    def _look(self) -> None:
        speeds = [_number(path) for path in self._system.glob("cpu[0-9]*/cpufreq/scaling_cur_freq")]
        self._frequencies += [speed / 1000 for speed in speeds if speed is not None]
        self._frequencies = self._frequencies and [min(self._frequencies), max(self._frequencies)]
        with suppress(AttributeError, OSError):  # only some systems have the function
            sensors = psutil.sensors_temperatures()
            readings = [entry.current for name in _PROCESSOR_SENSORS for entry in sensors.get(name, ())]
            self._temperatures = [max(self._temperatures + readings)] if self._temperatures + readings else []


def _busy_s() -> float:
    """Seconds that all cores have worked so far, other virtual machines' included; guests are in ``user`` already."""
    times = psutil.cpu_times()._asdict()
    idle = ("idle", "iowait", "guest", "guest_nice")
    return float(sum(seconds for kind, seconds in times.items() if kind not in idle))


def _own_s(child: psutil.Process) -> float:
    """Seconds that the measuring process and this one have worked so far."""
    theirs = psutil.Process().cpu_times(), child.cpu_times()
    return float(sum(times.user + times.system for times in theirs))


def _governor(system: Path) -> str | None:
    """The governors of all cores, most often one."""
    found = set()
    for path in system.glob("cpu[0-9]*/cpufreq/scaling_governor"):
        with suppress(OSError):
            found.add(path.read_text().strip())
    return ", ".join(sorted(found)) or None


def _throttled(system: Path) -> int | None:
    counts = [_number(path) for path in system.glob("cpu[0-9]*/thermal_throttle/core_throttle_count")]
    known = [int(count) for count in counts if count is not None]
    return sum(known) if known else None


def _number(path: Path) -> float | None:
    try:
        return float(path.read_text())
    except (OSError, ValueError):
        return None
