"""What else the box does is noticed, and what it shows of itself is read."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from mtl_edge.bench import monitor as monitor_module
from mtl_edge.bench.monitor import Monitor


@pytest.fixture
def system(tmp_path: Path) -> Path:
    """A box of two cores as Linux shows it."""
    for core, mhz in enumerate((1800, 3600)):
        for folder, name, content in (
            ("cpufreq", "scaling_governor", "powersave"),
            ("cpufreq", "scaling_cur_freq", str(mhz * 1000)),
            ("thermal_throttle", "core_throttle_count", "5"),
        ):
            path = tmp_path / f"cpu{core}" / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{content}\n")
    return tmp_path


def _watch(monitor: Monitor, monkeypatch: pytest.MonkeyPatch, *, busy_s: float, own_s: float) -> list[float]:
    """One turn of two seconds in which all cores worked so long, and this benchmark so long."""

    def readings(*values: float) -> Iterator[float]:
        yield from values

    busy, own, clock = readings(100.0, 100.0 + busy_s), readings(50.0, 50.0 + own_s), readings(7.0, 9.0)
    monkeypatch.setattr(monitor_module, "_busy_s", lambda: next(busy))
    monkeypatch.setattr(monitor_module, "_own_s", lambda child: next(own))
    monkeypatch.setattr(monitor_module, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    monkeypatch.setattr(monitor_module.psutil, "Process", lambda pid: None)
    with monitor.turn(1) as other_load:
        pass
    return other_load


def test_the_load_of_others_is_what_this_benchmark_did_not_cause(system: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five busy seconds in two, two of them its own: others kept one and a half cores busy, and that is noise."""
    monitor = Monitor(system)
    assert _watch(monitor, monkeypatch, busy_s=5.0, own_s=2.0) == [1.5]
    conditions = monitor.conditions()
    assert conditions.other_load == 1.5
    assert [line.partition(" of ")[0] for line in conditions.noise] == ["other work kept 1.5"]


def test_a_quiet_box_makes_no_noise(system: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counters of unequal precision may give less than nothing."""
    monitor = Monitor(system)
    assert _watch(monitor, monkeypatch, busy_s=1.99, own_s=2.0) == [0.0]
    assert monitor.conditions().noise == ()


def test_governor_frequency_and_throttling_are_read(system: Path) -> None:
    """The frequencies' range over all cores and turns; throttling counts only from the start on."""
    monitor = Monitor(system)
    (system / "cpu1" / "thermal_throttle" / "core_throttle_count").write_text("8\n")
    conditions = monitor.conditions()
    assert (conditions.governor, conditions.frequency_mhz, conditions.throttled) == ("powersave", (1800, 3600), 3)
    assert conditions.noise == ("the processor slowed itself down 3 times because of heat",)


def test_a_box_that_shows_nothing_has_nothing_to_show(tmp_path: Path) -> None:
    """Virtual machines, and other systems."""
    conditions = Monitor(tmp_path).conditions()
    assert (conditions.governor, conditions.frequency_mhz, conditions.throttled) == (None, None, None)


def test_work_of_this_process_is_its_own() -> None:
    """The real counters: what is computed within a turn counts as own."""
    before = monitor_module._own_s(monitor_module.psutil.Process())
    total = sum(number * number for number in range(2_000_000))
    assert total > 0
    assert monitor_module._own_s(monitor_module.psutil.Process()) > before
    assert monitor_module._busy_s() > 0
