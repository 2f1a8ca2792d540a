"""Tests of :mod:`mtl_edge.quantize.source`."""

from pathlib import Path

import numpy as np
import pytest
from onnx import helper, parser

from mtl_edge.quantize.source import calibrated_source


@pytest.mark.parametrize(("samples", "expected"), [("n", 4), ("8", 8)], ids=["open", "fixed"])
def test_batches_are_smaller_where_activations_are_many(tmp_path: Path, samples: str, expected: int) -> None:
    """Unless the graph demands how many samples it gets."""
    graph = parser.parse_graph(
        f"""
        graph (float[{samples}, 1, 512, 512] image) => (float[{samples}, 1, 512, 512] y) {{
            x = Neg(image)
            y = Exp(x)
        }}
        """
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    images = np.random.default_rng(0).random((8, 1, 512, 512), np.float32)
    np.savez(tmp_path / "calib.npz", image=images)
    found = calibrated_source(
        tmp_path / "model.onnx", tmp_path / "calib.npz", samples=8, batch_size=32, seed=0, folder=None
    )
    with found as source:
        assert source.data.batch_size == expected
        assert source.observed["y"].high == pytest.approx(np.exp(-images.min()))
