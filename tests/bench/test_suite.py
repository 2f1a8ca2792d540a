"""Any .onnx can be measured, in turn with another."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest

from mtl_edge.artifact import Manifest, write_artifact
from mtl_edge.bench.contender import Contender, contenders
from mtl_edge.bench.settings import Settings
from mtl_edge.bench.suite import benchmark
from mtl_edge.data.splits import Samples
from mtl_edge.errors import BenchError

QUICK = Settings(threads=(1,), rounds=6, round_seconds=0.02, round_runs=1, cold_starts=2, memory_repeats=0)


def test_a_slower_model_is_called_slower_and_a_faster_one_faster(matmul_model: Path, slow_model: Path) -> None:
    """The verdict follows from the ratio to the base, whichever of the two is the base; thirtyfold is beyond noise."""
    settings = dataclasses.replace(QUICK, batches=(64,))
    by_small = benchmark(contenders([matmul_model, slow_model]), settings=settings)
    ratio = by_small.ratio(by_small.results[1], 1)
    assert (by_small.base, ratio.verdict) == ("small", "SLOWER")
    by_big = benchmark(contenders([matmul_model]), base=contenders([slow_model])[0], settings=settings)
    assert by_big.base == "big"
    assert by_big.ratio(by_big.results[1], 1).verdict == "faster"


def test_every_sample_of_every_round_is_kept(matmul_model: Path) -> None:
    """Rounds, cold starts and the file's size are all there; without a manifest there are no metrics."""
    result = benchmark(contenders([matmul_model]), settings=QUICK).results[0]
    assert [len(latency.rounds_ms) for latency in result.latencies] == [6]
    assert len(result.cold_starts) == 2
    assert result.file_bytes == matmul_model.stat().st_size
    assert result.manifests == ()
    assert result.metrics is None


def test_many_models_are_compared_with_the_base_of_their_own_rounds(
    matmul_model: Path, slow_model: Path, tmp_path: Path
) -> None:
    """Some are measured at a time; the base takes part each time."""
    copies = [Path(shutil.copy(slow_model, tmp_path / f"{number}.onnx")) for number in range(9)]
    settings = dataclasses.replace(QUICK, rounds=3, round_seconds=0.01, cold_starts=1, memory_repeats=0)
    found = benchmark(contenders(copies), base=contenders([matmul_model])[0], settings=settings)
    base, *others = found.results
    assert len(base.latencies[0].rounds_ms) == 3
    assert [found.ratio(result, 1).rounds for result in others] == [3] * 9
    assert all(found.ratio(result, 1).median > 1 for result in others)
    assert found.ratio(base, 1).median == 1
    assert 0.2 < found.ratio(others[0], 1, base=others[-1]).median < 5


def test_symbolic_dimensions_are_settable(tokens_model: Path) -> None:
    """Batch and named axes take the sizes that were asked for; dtypes are the graph's own."""
    settings = Settings(
        threads=(1,), batches=(3,), dims={"seq": (7,)}, rounds=2, round_seconds=0.01, cold_starts=1, memory_repeats=0
    )
    assert (
        benchmark(contenders([tokens_model]), settings=settings).results[0].inputs == "tokens int64[3,7], flag bool[3]"
    )


def test_a_dimension_that_no_input_has_is_refused(tokens_model: Path) -> None:
    """A typing error in --dim must not be measured as if it were right."""
    with pytest.raises(BenchError, match=r"--dim sequence: no input has a dimension of this name.*tokens int64"):
        benchmark(contenders([tokens_model]), settings=Settings(dims={"sequence": (7,)}))


def test_a_truncated_model_is_one_line(matmul_model: Path) -> None:
    """It is refused before a process is started."""
    matmul_model.write_bytes(matmul_model.read_bytes()[:-200])
    with pytest.raises(BenchError, match=r"small\.onnx: is not an ONNX model") as caught:
        benchmark(contenders([matmul_model]), settings=QUICK)
    assert "\n" not in str(caught.value)


def test_a_dead_child_is_reported_with_its_status(matmul_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A crash of the runtime costs the measuring process, not the caller's."""
    monkeypatch.setattr("mtl_edge.bench.process.WORKER", ("-c", "import os; os.kill(os.getpid(), 11)"))
    with pytest.raises(BenchError, match="the measuring process crashed \\(SIGSEGV\\)"):
        benchmark(contenders([matmul_model]), settings=QUICK)


def test_models_of_one_name_are_told_apart_by_their_folders(matmul_model: Path, tmp_path: Path) -> None:
    """artifacts/a/model.onnx and artifacts/b/model.onnx are called a and b."""
    paths = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        paths.append(tmp_path / name / "model.onnx")
        paths[-1].write_bytes(matmul_model.read_bytes())
    settings = Settings(threads=(1,), rounds=2, round_seconds=0.01, cold_starts=1, memory_repeats=0)
    assert [result.name for result in benchmark(contenders(paths), settings=settings).results] == ["a", "b"]


def test_models_that_work_together_are_measured_as_one(matmul_model: Path, slow_model: Path) -> None:
    """Latency and file size are those of all; they run in one process. Three are clearly slower, on a busy box too."""
    all_models = Contender("all", (matmul_model, *3 * (slow_model,)))
    measured = benchmark([*contenders([slow_model]), all_models], settings=QUICK)
    together, slow = measured.results[1], measured.results[0]
    assert together.file_bytes == matmul_model.stat().st_size + 3 * slow_model.stat().st_size
    assert together.latency(1).p50_ms > slow.latency(1).p50_ms
    assert len(together.paths) == 4
    assert together.compressed_bytes is None  # no model is sparse


def test_test_samples_may_be_an_archive_or_a_folder(tiny_model: bytes, tiny_manifest: Manifest, tmp_path: Path) -> None:
    """The metrics are the same."""
    model = write_artifact(tmp_path, tiny_model, tiny_manifest).path
    samples = {
        "image": np.arange(12, dtype=np.uint8).reshape(6, 2),
        "label": np.array([0, 1, 2, 0, 1, 2]),
        "area": np.arange(6, dtype=np.float32),
    }
    np.savez(tmp_path / "test.npz", **samples)
    Samples(samples).save(tmp_path / "test")
    quick = dataclasses.replace(QUICK, rounds=2, round_seconds=0.01, cold_starts=1, memory_repeats=0)
    found = [
        benchmark(contenders([model]), settings=dataclasses.replace(quick, data=tmp_path / name)).results[0].metrics
        for name in ("test.npz", "test")
    ]
    assert found[0] is not None
    assert found[0] == found[1]
