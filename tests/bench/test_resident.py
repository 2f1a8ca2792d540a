"""What is resident is told apart: memory, the model's files, other files."""

import mmap
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mtl_edge.bench.resident import forget_peak, peak_bytes, proportional_bytes, resident, resident_bytes

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

MIB = 2**20


def test_memory_that_is_written_to_is_anonymous() -> None:
    """Forty MiB more; in a process of its own, where nothing of other tests is given back meanwhile."""
    code = (
        "import numpy as np; from mtl_edge.bench.resident import resident; before = resident(); "
        "array = np.ones(10 << 20, np.float32); print(resident().anonymous - before.anonymous)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 39 * MIB < int(done.stdout) < 42 * MIB


def test_pages_of_a_file_in_the_models_folder_are_the_models(tmp_path: Path) -> None:
    """Weights that are mapped from a file beside the model; of any other folder they are not."""
    path = tmp_path / "weights.bin"
    path.write_bytes(bytes(8 * MIB))
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        assert sum(mapped[::4096]) == 0
        assert resident([tmp_path]).model >= 8 * MIB
        assert resident([tmp_path / "other"]).model == 0


def test_a_forgotten_peak_begins_with_what_is_resident() -> None:
    """What was freed before counts no more."""
    del_me = np.ones(16 * MIB, np.float32)
    high = peak_bytes()
    del del_me
    forget_peak()
    assert peak_bytes() < high - 40 * MIB
    assert abs(peak_bytes() - resident_bytes()) < 4 * MIB


def test_shared_pages_count_in_part() -> None:
    """So this is never more than what is resident."""
    shared = proportional_bytes()
    assert shared is not None
    assert 0 < shared <= resident_bytes() + MIB
