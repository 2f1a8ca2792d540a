"""Energy is what the packages' counters grew by."""

from pathlib import Path

import pytest

from mtl_edge.bench.energy import joules_between, read_energy, source_of_energy


@pytest.fixture
def rapl(tmp_path: Path) -> Path:
    """Two packages, one of them with a part that is counted in it."""
    for zone, microjoules in (("intel-rapl:0", 1_000_000), ("intel-rapl:0:0", 500_000), ("intel-rapl:1", 9_000_000)):
        (tmp_path / zone).mkdir()
        (tmp_path / zone / "energy_uj").write_text(f"{microjoules}\n")
        (tmp_path / zone / "max_energy_range_uj").write_text("10000000\n")
    return tmp_path


def test_joules_are_the_sum_of_all_packages_over_a_counters_end(rapl: Path) -> None:
    """One went from 1 to 3 J, the other from 9 over its end at 10 to 2."""
    before = read_energy(rapl)
    (rapl / "intel-rapl:0" / "energy_uj").write_text("3000000\n")
    (rapl / "intel-rapl:1" / "energy_uj").write_text("2000000\n")
    assert joules_between(before, read_energy(rapl)) == pytest.approx(2 + 3)
    assert source_of_energy(rapl) == f"RAPL, {rapl}"


def test_no_counters_is_no_energy_and_a_word(tmp_path: Path) -> None:
    """The word goes into the JSON."""
    assert joules_between(read_energy(tmp_path), read_energy(tmp_path)) is None
    assert source_of_energy(tmp_path) == "not readable: the box shows no RAPL"


def test_counters_for_root_only_are_said_to_be(tmp_path: Path) -> None:
    """The zone is there, its counter is not readable."""
    (tmp_path / "intel-rapl:0").mkdir()
    assert source_of_energy(tmp_path) == "not readable: needs root"
