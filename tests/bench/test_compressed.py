"""Tests of :mod:`mtl_edge.bench.compressed`."""

import zlib
from pathlib import Path

import msgspec
import numpy as np

from mtl_edge.artifact import Manifest, write_artifact
from mtl_edge.bench.compressed import compressed_bytes
from mtl_edge.bench.contender import contenders
from mtl_edge.bench.settings import Settings
from mtl_edge.bench.suite import benchmark


def test_a_file_is_compressed_as_a_whole(tmp_path: Path) -> None:
    """Piece by piece, to what zlib makes of all of it at once."""
    weights = np.random.default_rng(0).standard_normal(2**18 + 123, dtype=np.float32)
    content = (weights * (weights > 1)).tobytes()
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    assert compressed_bytes(path) == len(zlib.compress(content))


def test_beside_a_sparse_model_all_are_compressed(tiny_model: bytes, tiny_manifest: Manifest, tmp_path: Path) -> None:
    """The base too, so that there is something to compare to."""
    manifests = {"dense": tiny_manifest, "sparse": msgspec.structs.replace(tiny_manifest, sparse="2:4")}
    paths = [write_artifact(tmp_path / name, tiny_model, manifest).path for name, manifest in manifests.items()]
    settings = Settings(threads=(1,), rounds=2, round_seconds=0.01, cold_starts=1, memory_repeats=0)
    found = benchmark(contenders(paths), settings=settings).results
    assert [result.size_only for result in found] == [None, "2:4"]
    assert [result.compressed_bytes for result in found] == [compressed_bytes(path) for path in paths]
