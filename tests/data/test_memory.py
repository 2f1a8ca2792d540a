"""Memory does not grow with the data."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "data-memory" / "measure.py"
DATA_MIB = 96

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")


@pytest.mark.slow
def test_preparing_and_reading_take_a_fraction_of_the_data(tmp_path: Path) -> None:
    """Anonymous memory beyond that of the bare process stays far below the size of the arrays.

    That of a table of 64 columns is mostly what parquet keeps for each of them, however many rows there are.
    """
    subprocess.run([sys.executable, SCRIPT, str(DATA_MIB / 1024), tmp_path / "found.json"], check=True)
    arrays, table = json.loads((tmp_path / "found.json").read_text())["runs"]
    for run, allowed_mib in ((arrays, 24), (table, 250)):
        assert run["mib"] > DATA_MIB * 0.99
        at_rest = run["peaks"]["ready"]["anonymous_mib"]
        for phase in ("prepare", "read"):
            assert run["peaks"][phase]["anonymous_mib"] - at_rest < allowed_mib, (run["source"], phase)
