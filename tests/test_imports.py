"""What may be imported where: a target box has no torch, and help must be instant."""

import subprocess
import sys

import pytest

HEAVY = ("torch", "onnx", "onnxruntime", "numpy")


def _loaded(statement: str, modules: tuple[str, ...]) -> set[str]:
    code = f"import sys\n{statement}\nprint(*(m for m in {modules!r} if m in sys.modules), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stderr.split())


@pytest.mark.parametrize(
    "module",
    [
        "artifact",
        "bench.many",
        "bench.measure",
        "bench.suite",
        "bench.worker",
        "cli",
        "errors",
        "kits.kit",
        "preprocessing",
        "profile.measure",
        "profile.worker",
        "progress",
        "recipe",
        "remote.there",
        "intake.admit",
        "report.document",
        "report.finished",
        "report.html",
        "report.markdown",
        "report.compared",
        "report.files",
        "report.read",
        "report.terminal",
        "runtime",
        "schema",
        "signing.signature",
        "storage",
        "tasks",
        "verify.verify",
        "zoo",
        "zoo.fetch",
        "zoo.listing",
    ],
)
def test_what_runs_on_a_target_box_imports_neither_torch_nor_scikit_learn(module: str) -> None:
    """Everything after the export knows only artifacts; metrics import their library when they are computed."""
    assert _loaded(f"import mtl_edge.{module}", ("torch", "torch_pruning", "onnxscript", "sklearn")) == set()


def test_measuring_imports_no_onnx() -> None:
    """Of ONNX a target box has the runtime only."""
    assert _loaded("import mtl_edge.remote.there", ("onnx", "asyncssh")) == set()
    assert _loaded("import mtl_edge.bench.suite, mtl_edge.report.terminal, mtl_edge.report.profile", ("onnx",)) == set()


def test_a_measuring_process_imports_the_runtime_and_little_else() -> None:
    """What it needs for manifests and metrics it imports when it is asked for them."""
    later = ("msgspec", "psutil", "rich", "click", "statistics", "mtl_edge.tasks", "mtl_edge.artifact", "mtl_edge.data")
    assert _loaded("import mtl_edge.bench.worker, mtl_edge.bench.measure", later) == set()


def test_the_first_look_at_a_model_imports_nothing_heavy() -> None:
    """It is to be over before what the command needs for all that follows is imported."""
    assert _loaded("import mtl_edge.bench.ahead, mtl_edge.__main__", (*HEAVY, "msgspec", "psutil", "rich")) == set()


def test_reports_of_benchmarks_and_comparisons_import_no_onnx() -> None:
    """Both are for target boxes, too; of a run only the report needs more."""
    statement = "import mtl_edge.report.files, mtl_edge.report.compared, mtl_edge.report.read"
    assert _loaded(statement, ("onnx",)) == set()


def test_comparing_imports_no_picture_library() -> None:
    """The base install compares."""
    statement = "import mtl_edge.report.compared, mtl_edge.report.read"
    assert _loaded(statement, ("altair", "vl_convert", "jinja2", "tomli_w")) == set()


def test_quantization_imports_no_torch() -> None:
    """Quantizing an fp32 .onnx needs onnx and onnxruntime only, and so does what is said of it."""
    assert _loaded("import mtl_edge.quantize.file, mtl_edge.report.quantized", ("torch", "sklearn")) == set()


def test_optimization_imports_no_torch() -> None:
    """Optimizing a graph needs onnx, onnxscript and onnxruntime only."""
    assert _loaded("import mtl_edge.optimize.file, mtl_edge.report.optimized", ("torch", "sklearn")) == set()


def test_exporting_a_model_imports_no_torch() -> None:
    """Only a network of one's own needs it."""
    assert _loaded("import mtl_edge.export.folder, mtl_edge.report.exported", ("torch", "sklearn")) == set()


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["run", "--help"],
        ["bench", "--help"],
        ["export", "--help"],
        ["report", "--help"],
        ["compare", "--help"],
        ["inspect", "--help"],
        ["zoo", "fetch", "--help"],
        ["--version"],
    ],
)
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    """Help comes before any library that takes time to load."""
    statement = f"from mtl_edge.cli import main\ntry:\n    main({arguments!r})\nexcept SystemExit:\n    pass"
    assert _loaded(statement, HEAVY) == set()
