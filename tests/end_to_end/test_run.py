"""What a whole run leaves behind."""

import hashlib
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import onnxruntime
import pytest

from mtl_edge.artifact import METADATA_KEY, Manifest
from mtl_edge.report.document import RunReport
from mtl_edge.report.table import comparison

VARIANTS = ("dense", "dense-int8", "pruned", "pruned-int8")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def report(finished_run: Path) -> RunReport:
    """The report of the finished run."""
    return msgspec.json.decode((finished_run / "report.json").read_bytes(), type=RunReport)


def test_four_variants_are_published_with_their_manifests(finished_run: Path) -> None:
    """Each variant has a model and a manifest; both hold the same text, and the hash is that of the file without it."""
    for variant in VARIANTS:
        folder = finished_run / "artifacts" / variant
        beside = json.loads((folder / "manifest.json").read_bytes())
        session = onnxruntime.InferenceSession(folder / "model.onnx")
        inside = session.get_modelmeta().custom_metadata_map[METADATA_KEY]
        assert json.loads(inside) == beside
        content = (folder / "model.onnx").read_bytes()
        assert hashlib.sha256(content[:-66] + content[-2:]).hexdigest() == beside["sha256"]
        assert beside["variant"] == variant


def test_models_are_of_versions_that_older_runtimes_accept(finished_run: Path) -> None:
    """IR 9 and opset 20, which ONNX Runtime 1.17 reads."""
    import onnx

    for variant in VARIANTS:
        model = onnx.load(finished_run / "artifacts" / variant / "model.onnx")
        assert model.ir_version == 9
        assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 20)]


def test_graphs_have_a_dynamic_batch_and_one_named_output_per_task(finished_run: Path) -> None:
    """Input and outputs carry the names of the recipe; any batch size runs."""
    for variant in VARIANTS:
        session = onnxruntime.InferenceSession(finished_run / "artifacts" / variant / "model.onnx")
        assert [item.name for item in session.get_inputs()] == ["image"]
        assert [item.name for item in session.get_outputs()] == ["left", "right", "sum"]
        for batch in (1, 3):
            outputs = session.run(None, {"image": np.zeros((batch, 1, 36, 36), np.float32)})
            assert [out.shape for out in outputs] == [(batch, 10), (batch, 10), (batch, 1)]


def test_manifest_metrics_can_be_recomputed_from_the_runtime_alone(finished_run: Path) -> None:
    """Accuracy and MAE by hand, from ONNX Runtime's outputs on the whole test split, are those of the manifest."""
    test = next(finished_run.glob("stages/data-*/test"))
    samples = {path.stem: np.load(path) for path in test.glob("*.npy")}
    for variant in VARIANTS:
        folder = finished_run / "artifacts" / variant
        manifest = msgspec.json.decode((folder / "manifest.json").read_bytes(), type=Manifest)
        session = onnxruntime.InferenceSession(folder / "model.onnx")
        inputs = manifest.inputs[0].preprocessing.apply(samples["image"])
        left, right, total = session.run(None, {"image": inputs})
        values = manifest.metrics.values
        assert values["left"]["accuracy"] == pytest.approx((left.argmax(1) == samples["left"]).mean())
        assert values["right"]["accuracy"] == pytest.approx((right.argmax(1) == samples["right"]).mean())
        assert values["sum"]["mae"] == pytest.approx(np.abs(total[:, 0] - samples["sum"]).mean(), rel=1e-5)


def test_the_benchmark_confirms_the_manifests(report: RunReport) -> None:
    """What a fresh process measured is what the manifest promises."""
    assert [result.name for result in report.benchmark.results] == list(VARIANTS)
    for result in report.benchmark.results:
        assert [result.metrics] == [manifest.metrics.values for manifest in result.manifests]


def test_the_time_of_every_variant_is_split_by_task(report: RunReport) -> None:
    """A trunk and a head for each task; together they are one run, and dropping each task was measured."""
    assert report.profiles.failures == ()
    assert [Path(profile.path).parent.name for profile in report.profiles.found] == list(VARIANTS)
    for profile in report.profiles.found:
        assert {"trunk", "left", "right", "sum"} <= {cost.name for cost in profile.by_part}
        assert sum(node.ms for node in profile.nodes) <= profile.median_ms + 1e-3
        assert [task.name for task in profile.tasks] == ["left", "right", "sum"]
        assert all(task.saved_ms and task.saved_bytes for task in profile.tasks)


def test_lineage_links_every_variant_to_its_parent(report: RunReport) -> None:
    """The parent's hash is the hash that the parent's own manifest states."""
    manifests = {result.name: result.manifests[0] for result in report.benchmark.results}
    parents = {name: manifest.lineage.parent for name, manifest in manifests.items() if manifest}
    assert parents == {"dense": None, "dense-int8": "dense", "pruned": "dense", "pruned-int8": "pruned"}
    for manifest in manifests.values():
        if manifest and manifest.lineage.parent:
            parent = manifests[manifest.lineage.parent]
            assert parent is not None
            assert manifest.lineage.parent_sha256 == parent.sha256


def test_pruned_channels_are_multiples_of_eight(finished_run: Path) -> None:
    """Every convolution of the pruned network has a channel count that the kernels like, and fewer than the dense."""
    import onnx

    counts = {}
    for variant in ("dense", "pruned"):
        graph = onnx.load(finished_run / "artifacts" / variant / "model.onnx").graph
        weights = {initializer.name: initializer.dims for initializer in graph.initializer}
        counts[variant] = [weights[node.input[1]][0] for node in graph.node if node.op_type == "Conv"]
    assert all(count % 8 == 0 for count in counts["pruned"])
    assert all(after < before for before, after in zip(counts["dense"], counts["pruned"], strict=True))


def test_int8_convolutions_adds_and_pooling_leave_no_float_island(finished_run: Path, tmp_path: Path) -> None:
    """In the graph that ONNX Runtime really runs no convolution, addition, pooling or matrix product is float."""
    import onnx

    for variant in ("dense-int8", "pruned-int8"):
        options = onnxruntime.SessionOptions()
        options.optimized_model_filepath = str(tmp_path / f"{variant}.onnx")
        options.log_severity_level = 3
        onnxruntime.InferenceSession(finished_run / "artifacts" / variant / "model.onnx", options)
        operators = [node.op_type for node in onnx.load(options.optimized_model_filepath).graph.node]
        assert operators.count("QLinearConv") == 6
        assert operators.count("QLinearAdd") == 2
        assert operators.count("QLinearGlobalAveragePool") == 1
        assert not {"Conv", "Add", "GlobalAveragePool", "ReduceMean", "Gemm", "MatMul"} & set(operators)


def test_parity_is_far_below_its_tolerance(report: RunReport) -> None:
    """Both exported networks compute what torch computes."""
    assert set(report.parity) == {"dense", "pruned"}
    assert max(report.parity.values()) < 1e-4


def test_files_hold_no_path_of_the_machine_that_made_them(finished_run: Path) -> None:
    """The exporter's stack traces do not travel."""
    for path in (finished_run / "artifacts").rglob("model.onnx"):
        content = path.read_bytes()
        assert b"stack_trace" not in content
        assert str(Path(__file__).parents[2]).encode() not in content


def test_raw_samples_are_in_the_json(report: RunReport) -> None:
    """Latencies are kept one by one, cold starts process by process."""
    for result in report.benchmark.results:
        assert [len(latency.rounds_ms) for latency in result.latencies] == [2]
        assert all(result.latencies[0].rounds_ms)  # on a busy machine one run may fill a short round
        assert len(result.cold_starts) == 1
        assert result.cold_starts[0].peak_rss_bytes > result.cold_starts[0].runtime_rss_bytes > 0


def test_every_figure_of_the_table_stands_in_markdown_and_html(finished_run: Path, report: RunReport) -> None:
    """Terminal, Markdown and HTML show the same cells."""
    markdown = (finished_run / "report.md").read_text()
    html = (finished_run / "report.html").read_text()
    for table in comparison(report.benchmark):
        for row in table.rows:
            for cell in row:
                assert cell.value in markdown
                assert f">{cell.value}<" in html
    shown = (finished_run / "stdout.txt").read_text()
    for table in comparison(report.benchmark, first_metric_only=True):
        for row in table.rows:
            assert all(cell.value in shown for cell in row)
    sentences = ("Warning: ", "Noisy: ", "batch 1; ", "every latency ", "the processor: ", "energy ")
    assert all(len(line) <= 80 for line in shown.splitlines() if not line.startswith(sentences))


def test_the_page_asks_nothing_of_the_network(finished_run: Path) -> None:
    """No script, style, picture or font is loaded from elsewhere."""
    html = (finished_run / "report.html").read_text()
    assert "<script src" not in html
    assert "@import" not in html
    assert 'href="http' not in html
    assert 'src="http' not in html


def test_a_second_run_reuses_every_stage(
    finished_run: Path, recipe_file: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    """Nothing is computed twice, and the report stays the same."""
    before = (finished_run / "report.json").read_bytes()
    process = start(["run", recipe_file, "--workdir", finished_run])
    _, err = process.communicate()
    assert process.returncode == 0, err
    assert err.count("done before") == 6
    assert (finished_run / "report.json").read_bytes() == before


def test_a_workdir_in_use_is_refused(
    finished_run: Path, recipe_file: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    """Two runs in one workdir would overwrite each other."""
    from mtl_edge.storage import exclusive

    with exclusive(finished_run):
        process = start(["run", recipe_file, "--workdir", finished_run])
        _, err = process.communicate()
    assert process.returncode == 2
    assert err.strip().splitlines() == [
        f"mtl-edge: error: {finished_run}: another run is using this workdir; wait for it, or give --workdir"
    ]
