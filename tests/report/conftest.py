"""Results that a benchmark might have given."""

import pytest

from mtl_edge.artifact import Manifest
from mtl_edge.bench.latency import Latency
from mtl_edge.bench.results import ColdStart, Result


@pytest.fixture
def result(tiny_manifest: Manifest):  # type: ignore[no-untyped-def]
    """Make a result of the tiny model's two tasks: accuracy of ``kind``, MAE of ``size``."""

    def make(name: str, accuracy: float, mae: float, latency_ms: float = 1.0, file_bytes: int = 100) -> Result:
        return Result(
            name=name,
            paths=(name,),
            file_bytes=file_bytes,
            manifests=(tiny_manifest,),
            inputs="",
            cold_starts=(ColdStart(load_ms=1, first_run_ms=1, runtime_rss_bytes=100, peak_rss_bytes=300),),
            latencies=(Latency(threads=1, rounds_ms=((latency_ms,),) * 5, base_ms=(1.0,) * 5),),
            metrics={"kind": {"accuracy": accuracy}, "size": {"mae": mae}},
        )

    return make
