"""What do merged layers bring, in fp32 and after static int8, and are outputs the same to the last bit?

Usage: python benchmarks/graph-optimization/graph_optimization.py MODEL.onnx SPLITS [MODEL.onnx SPLITS …]
                                                                                (writes graph-optimization.json)

Each MODEL is an fp32 model that mtl-edge made, SPLITS the folder that holds its ``calib`` and ``test``.
"""

import json
import statistics
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from mtl_edge.artifact import Manifest
from mtl_edge.bench.machine import this_machine
from mtl_edge.data.splits import load_samples
from mtl_edge.optimize.difference import difference
from mtl_edge.optimize.merge import merge_all
from mtl_edge.optimize.optimize import optimize_graph
from mtl_edge.quantize.data import calibration_data
from mtl_edge.quantize.noise import output_noise
from mtl_edge.quantize.race import latency_ratio
from mtl_edge.quantize.static import quantize_static
from mtl_edge.runtime import manifest_of, open_session

BATCHES = (1, 2, 3, 4, 7, 8, 16, 32, 64, 250)
RACES = 15
LAYERS = 60

Feeds = Mapping[str, np.ndarray]


def nodes_run(model: bytes) -> int:
    """How many nodes are left when ONNX Runtime has loaded the model."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "optimized.onnx"
        open_session(model, threads=1, save_optimized=path)
        return len(onnx.load(path).graph.node)


def race(before: bytes, after: bytes, batch: Feeds) -> dict[str, Any]:
    """Nodes of both, and the latency of one over that of the other: of several races, all and the median."""
    ratios = [latency_ratio(before, after, batch) for _ in range(RACES)]
    noise = [latency_ratio(before, before, batch) for _ in range(RACES)]
    return {
        "nodes": [nodes_run(before), nodes_run(after)],
        "latency_ratio": statistics.median(ratios),
        "latency_ratios": ratios,
        "latency_ratios_to_itself": noise,
    }


def measure(path: Path, splits: Path) -> dict[str, Any]:
    """One model, merged or not, in fp32 and in int8."""
    session = open_session(path)
    manifest = manifest_of(path, session)
    if manifest is None:
        raise SystemExit(f"{path}: must be a model that mtl-edge made")
    test = inputs(manifest, splits / "test", BATCHES[-1])
    model = path.read_bytes()
    wide = merge_all(model)
    merged = wide.model
    kept = optimize_graph(model, test)
    fp32 = race(model, merged, test)
    parts = {size: {name: array[:size] for name, array in test.items()} for size in BATCHES}
    fp32["largest_difference"] = {size: difference(model, merged, part) for size, part in parts.items()}
    data = calibration_data(
        session.get_inputs(), load_samples(splits / "calib").arrays, manifest, samples=512, batch_size=32
    )
    before, after = (quantize_static(form, data) for form in (model, merged))
    int8 = race(before, after, test)
    int8["noise_db"] = [output_noise(session, open_session(form), test) for form in (before, after)]
    int8["file_bytes"] = [len(before), len(after)]
    name = f"{manifest.name} {manifest.variant}"
    for precision, row in (("fp32", fp32), ("int8", int8)):
        print(f"{name:<32}{precision}  nodes {row['nodes']}  latency {row['latency_ratio']:.3f}", flush=True)
    return {"model": name, "groups": wide.names, "applied": kept.applied, "fp32": fp32, "int8": int8}


def inputs(manifest: Manifest, samples: Path, count: int) -> dict[str, np.ndarray]:
    """What the model reads, of the first samples."""
    source = manifest.inputs[0]
    return {source.name: source.preprocessing.apply(load_samples(samples)[source.name][:count])}


def layers_of_any_size(kind: str) -> list[dict[str, Any]]:
    """Two to five layers of random sizes on one input: the largest difference that merging them makes, by batch."""
    chance = np.random.default_rng(0)
    rows = []
    for _ in range(LAYERS):
        reads, side = int(chance.integers(1, 300 if kind != "Conv" else 70)), int(chance.integers(3, 12))
        widths = chance.integers(1, 130 if kind != "Conv" else 70, chance.integers(2, 6)).tolist()
        shape: list[str | int | None] = ["n", reads, side, side] if kind == "Conv" else ["n", reads]
        constants, nodes = [], []
        for index, width in enumerate(widths):
            weight = {"Conv": (width, reads, 3, 3), "Gemm": (width, reads)}.get(kind, (reads, width))
            constants.append(numpy_helper.from_array(chance.standard_normal(weight, np.float32), f"w{index}"))
            constants.append(numpy_helper.from_array(chance.standard_normal(width, np.float32), f"b{index}"))
            names = ["x", f"w{index}", f"b{index}"][: 2 if kind == "MatMul" else 3]
            more: Any = {"Gemm": {"transB": 1}, "Conv": {"pads": [1, 1, 1, 1]}}.get(kind, {})
            nodes.append(helper.make_node(kind, names, [f"y{index}"], **more))
        outputs = [node.output[0] for node in nodes]
        infos = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * len(shape)) for name in ("x", *outputs)
        ]
        infos[0] = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
        graph = helper.make_graph(nodes, "graph", infos[:1], infos[1:], constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9).SerializeToString()
        merged = merge_all(model).model
        gaps = {}
        for size in (1, 3, 16):
            sizes = [size, *(item for item in shape if isinstance(item, int))]
            gaps[size] = difference(model, merged, {"x": chance.standard_normal(sizes, np.float32)})
        rows.append({"reads": reads, "widths": widths, "side": side, "largest_difference": gaps})
    worst = max(gap for row in rows for gap in row["largest_difference"].values())
    equal = sum(not any(row["largest_difference"].values()) for row in rows)
    print(f"{kind}: {equal} of {LAYERS} equal to the last bit, the others within {worst:.1e}", flush=True)
    return rows


def main() -> None:
    """Measure all models that are named."""
    arguments = [Path(item) for item in sys.argv[1:]]
    if not arguments or len(arguments) % 2:
        raise SystemExit(__doc__)
    sizes = {kind: layers_of_any_size(kind) for kind in ("Gemm", "MatMul", "Conv")}
    models = [measure(*pair) for pair in zip(arguments[::2], arguments[1::2], strict=True)]
    result = {"machine": msgspec.to_builtins(this_machine()), "models": models, "layers_of_any_size": sizes}
    Path(__file__).with_name("graph-optimization.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
