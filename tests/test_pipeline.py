"""Stages are reused only where nothing that they depend on has changed, and fail as a whole."""

import os
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from mtl_edge.artifact import MODEL_FILE
from mtl_edge.compress import trial
from mtl_edge.compress.candidates import Candidates
from mtl_edge.compress.outcome import Pruned, Withheld
from mtl_edge.data.splits import load_samples
from mtl_edge.errors import ParityError
from mtl_edge.nets.bypass import bypassed
from mtl_edge.pipeline import run
from mtl_edge.quantize.finetune.course import Course
from mtl_edge.quantize.outcome import Outcome
from mtl_edge.recipe import (
    BenchSpec,
    CompressSpec,
    DataSpec,
    DistillSpec,
    PruneSpec,
    QuantizeSpec,
    Recipe,
    ResNetSpec,
    SparsifySpec,
    StudentSpec,
    TrainSpec,
)
from mtl_edge.report.lineage import steps
from mtl_edge.report.outcomes import outcome_warnings
from mtl_edge.runtime import evaluate, manifest_of, open_session
from mtl_edge.stages import models, training
from mtl_edge.stages.models import QUANTIZED_FILE, Stages
from mtl_edge.stages.pruning import PRUNED_FILE
from mtl_edge.stages.variants import make_variants
from mtl_edge.storage import StageCache
from mtl_edge.tasks import Multiclass, Regression
from mtl_edge.train.loop import fit
from mtl_edge.train.teacher import Teacher

pytestmark = pytest.mark.slow


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    """A recipe on data of its own, with names that collide with what torch and its exporter use."""
    rng = np.random.default_rng(0)
    level = rng.uniform(0, 10, 200).astype(np.float32)
    image = (level[:, None, None, None] + rng.standard_normal((200, 2, 8, 8))).astype(np.float32)
    np.savez(tmp_path / "data.npz", linear=image, kind=(level > 5).astype(np.int8), level=level)
    return Recipe(
        name="own",
        folder=tmp_path,
        data=DataSpec(source="npz:data.npz", input="linear", calibration=32),
        tasks=(Multiclass(name="keys", target="kind", classes=2), Regression(name="relu", target="level")),
        net=ResNetSpec(width=16, depth=(1,), head_hidden=16),
        train=TrainSpec(epochs=2, batch_size=32),
        compress=CompressSpec(prune=PruneSpec(epochs=1)),
        bench=BenchSpec(threads=(1,), rounds=2, round_seconds=0.01, cold_starts=1, memory_repeats=0),
    )


def _folders(workdir: Path) -> set[str]:
    return {path.name for path in (workdir / "stages").iterdir()}


def _kinds(folders: set[str]) -> list[str]:
    return sorted(folder.split("-")[0] for folder in folders)


def test_recipes_share_what_is_equal_and_nothing_else(recipe: Recipe, tmp_path: Path) -> None:
    """A wider network shares the data, fewer steps share what they take, changed data shares nothing.

    Artifacts are those of the last run, and no others.
    """
    workdir = tmp_path / "out"
    run(recipe, workdir)
    first = _folders(workdir)
    model = (workdir / "artifacts" / "dense" / MODEL_FILE).read_bytes()
    assert _kinds(first) == ["bench", "data", "export", "prune", "quantize", "train"]

    run(msgspec.structs.replace(recipe, net=ResNetSpec(width=24, depth=(1,))), workdir)
    wider = _folders(workdir) - first
    assert _kinds(wider) == ["bench", "export", "prune", "quantize", "train"]
    assert (workdir / "artifacts" / "dense" / MODEL_FILE).read_bytes() != model

    report = run(recipe, workdir)
    assert _folders(workdir) == first | wider
    assert (workdir / "artifacts" / "dense" / MODEL_FILE).read_bytes() == model
    assert [result.name for result in report.benchmark.results] == ["dense", "dense-int8", "pruned", "pruned-int8"]

    before = _folders(workdir)
    report = run(msgspec.structs.replace(recipe, compress=CompressSpec(order=())), workdir)
    assert _kinds(_folders(workdir) - before) == ["bench", "export"]
    assert [result.name for result in report.benchmark.results] == ["dense"]
    assert [path.parent.name for path in (workdir / "artifacts").rglob(MODEL_FILE)] == ["dense"]
    before = _folders(workdir)

    with np.load(tmp_path / "data.npz") as archive:
        arrays = dict(archive)
    arrays["linear"][0] += 1
    np.savez(tmp_path / "data.npz", **arrays)
    run(recipe, workdir)
    assert _kinds(_folders(workdir) - before) == ["bench", "data", "export", "prune", "quantize", "train"]


def test_a_budget_is_judged_without_training_again(recipe: Recipe, tmp_path: Path) -> None:
    """Losses are counted from the dense network on validation samples; one that nothing can keep is told."""
    workdir = tmp_path / "out"
    assert run(recipe, workdir).quantized["dense-int8"].guarded is not None
    first = _folders(workdir)
    kinds, levels = recipe.tasks
    tasks = (msgspec.structs.replace(kinds, max_drop="100pt"), msgspec.structs.replace(levels, max_drop="0%"))
    report = run(msgspec.structs.replace(recipe, tasks=tasks), workdir)
    assert not {"data", "train", "prune"} & set(_kinds(_folders(workdir) - first))
    (data,) = (workdir / "stages").glob("data-*")
    dense = open_session(workdir / "artifacts" / "dense" / MODEL_FILE)
    manifest = manifest_of(workdir / "artifacts" / "dense" / MODEL_FILE, dense)
    assert manifest is not None
    base = evaluate(dense, tasks, manifest.inputs[0], load_samples(data / "val").arrays)
    for name in ("dense-int8", "pruned-int8"):
        found = report.quantized[name].budgets
        assert found is not None
        assert report.quantized[name].guarded is None  # each task has a budget
        assert [spent.fp32 for spent in found.spent] == [base["keys"]["accuracy"], base["relu"]["mae"]]
        assert found.spent[0].holds
        lost = next(spent for spent in found.spent if spent.task == "relu")
        said = [line for line in outcome_warnings(report.quantized) if line.startswith(f"{name}: relu lost")]
        assert bool(said) == (not lost.holds)
        page = (workdir / "report.md").read_text()
        assert "## What budgets allow" in page
        assert all(line in page for line in said)
    assert [(noise.task, noise.samples) for noise in report.noise] == [
        (name, count) for count in (20, 40) for name in ("keys", "relu")
    ]
    assert page.count("the budget of relu, 0 %, is less than the noise of") == 1


def test_a_graph_that_computes_something_else_fails_the_export(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parity is checked in the stage: no artifact is left of it, and what came before is kept."""
    honest = models.export_onnx

    def forged(net: object, *arguments: object) -> bytes:
        net.heads[1].output.bias.data += 0.01  # type: ignore[attr-defined]
        try:
            return honest(net, *arguments)  # type: ignore[arg-type]
        finally:
            net.heads[1].output.bias.data -= 0.01  # type: ignore[attr-defined]

    monkeypatch.setattr(models, "export_onnx", forged)
    with pytest.raises(ParityError, match=r"output 'relu' at \(\d+, 0\) differs by"):
        run(recipe, tmp_path / "out")
    assert _kinds(_folders(tmp_path / "out")) == ["data", "prune", "train"]
    assert not (tmp_path / "out" / "artifacts").exists()


@pytest.mark.parametrize(("slow", "parent"), [("student", "dense"), ("pruned-int8", "dense-int8")])
def test_what_is_slower_than_its_parent_is_no_result(
    slow: str, parent: str, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is neither published nor measured, an older one of its name leaves, and every form of the report says why.

    A student that is withheld has no int8 form; what was pruned of it is compared to the dense network, and says so.
    """
    narrow = msgspec.structs.replace(
        recipe.compress,
        order=("student", "prune", "quantize"),
        student=StudentSpec(net=ResNetSpec(width=16, depth=(1,), head_hidden=8), epochs=1),
        distill=DistillSpec(teacher="single-task"),
    )
    if slow == "student":
        recipe = msgspec.structs.replace(recipe, compress=narrow)
    stale = tmp_path / "out" / "artifacts" / slow / MODEL_FILE
    stale.parent.mkdir(parents=True)
    stale.write_bytes(b"of an earlier run")
    races: list[str] = []

    def race(name: str, *_: object) -> Withheld | None:
        races.append(name)
        return Withheld(name, 1.5) if name == parent and races.count(name) == 1 else None

    monkeypatch.setattr(models, "slower_than", race)
    report = run(recipe, tmp_path / "out")
    left = ["dense", "dense-int8", "pruned", "pruned-int8"]
    if slow == "student":
        assert races == ["dense", "dense", "dense-int8"]
    else:
        left.remove(slow)
    assert [result.name for result in report.benchmark.results] == left
    assert sorted(path.parent.name for path in (tmp_path / "out" / "artifacts").rglob(MODEL_FILE)) == left
    assert report.withheld == {slow: Withheld(parent, 1.5)}
    pages = {name: (tmp_path / "out" / name).read_text() for name in ("report.md", "report.html", "report.csv")}
    for name in ("report.md", "report.html"):
        assert f"{slow}: withheld, because it takes 1.50x the time of {parent}" in pages[name]
    found = {(step.parent.name, step.child.name): step.name for step in steps(report.benchmark)}
    assert found["dense", "pruned"] == ("distill, prune + distill" if slow == "student" else "prune + distill")
    if slow == "student":
        assert all("teacher/keys" in page for page in pages.values())
        assert set(report.validation) == {"dense", "student", "pruned", "teacher/keys", "teacher/relu"}


def test_zeros_of_a_sparse_network_stay_on_the_way_to_both_models(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After all training in fp32 and in int8, which has the same teachers; the same without zeros may be faster."""
    compress = CompressSpec(
        order=("sparsify", "quantize"),
        sparsify=SparsifySpec(pattern="2:4", epochs=1),
        distill=DistillSpec(teacher="single-task"),
        quantize=QuantizeSpec(finetune="always", finetune_steps=4, placement="all"),
    )
    courses: list[Course] = []
    quantized = models.quantize_calibrated

    def watched(*arguments: Any, course: Course, **options: Any) -> tuple[bytes, Outcome]:
        courses.append(course)
        return quantized(*arguments, course=course, **options)

    monkeypatch.setattr(models, "quantize_calibrated", watched)
    monkeypatch.setattr(models, "slower_than", lambda name, *_: Withheld(name, 1.5))
    line = Stages(msgspec.structs.replace(recipe, compress=compress), StageCache(tmp_path / "stages"))
    data = line.data()
    networks = make_variants(line, data)
    exported = line.export(data, networks.variants)
    folders = exported.folder, line.quantize(data, exported, networks).folder
    assert [len(course.teacher.nets) for course in courses if isinstance(course.teacher, Teacher)] == [2, 2]
    told = msgspec.json.decode((folders[1] / QUANTIZED_FILE).read_bytes(), type=dict[str, Outcome])
    assert {name: outcome.finetuned is not None for name, outcome in told.items()} == {
        "dense-int8": True,
        "sparse-int8": True,
    }
    paths = [folder / name / MODEL_FILE for folder, name in zip(folders, ("sparse", "sparse-int8"), strict=True)]
    manifests = [manifest_of(path, open_session(path)) for path in paths]
    assert [manifest and (manifest.sparse, manifest.lineage.steps[1:]) for manifest in manifests] == [
        ("2:4", ("sparsify 2:4",)),
        ("2:4", ("sparsify 2:4", "static int8")),
    ]
    graphs = [[numpy_helper.to_array(tensor) for tensor in onnx.load(path).graph.initializer] for path in paths]
    weights, numbers = ([array for array in graph if array.shape == (16, 16, 3, 3)] for graph in graphs)
    assert [array.dtype for array in (*weights, *numbers)] == [np.float32, np.float32, np.int8, np.int8]
    for weight in weights:
        assert ((weight.reshape(16, 4, 4, 3, 3) == 0).sum(2) == 2).all()
        assert any(not array[weight == 0].any() for array in numbers)


def test_a_dropped_block_stays_dropped_on_the_way_to_the_model(recipe: Recipe, tmp_path: Path) -> None:
    """The pruned network is made anew from its weights: the graph has a block less, and computes what torch does."""
    dropping = CompressSpec(prune=PruneSpec(epochs=1, ratio=0.0, depth=1))
    line = Stages(msgspec.structs.replace(recipe, compress=dropping), StageCache(tmp_path / "stages"))
    data = line.data()
    networks = make_variants(line, data)
    _, pruned = networks.variants
    found = line.export(data, networks.variants)
    graphs = [onnx.load(found.folder / name / MODEL_FILE).graph for name in ("dense", "pruned")]
    convolutions = [sum(node.op_type == "Conv" for node in graph.node) for graph in graphs]
    assert convolutions[1] == convolutions[0] - 2
    told = msgspec.json.decode((pruned.stage.folder / PRUNED_FILE).read_bytes(), type=Pruned)
    assert [block.name for block in told.dropped] == ["sharing.trunk.stages.0.0"]
    assert set(told.dropped[0].losses) == {"keys", "relu"}


def test_as_many_blocks_leave_as_a_trial_says(recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is known of each number is kept, and what was tried before an interruption is not tried again."""
    monkeypatch.setattr(Candidates, "latency", lambda self, shape: 0.6 - 0.1 * len(bypassed(self.net)))
    monkeypatch.setattr(Candidates, "dense_ms", 1.0)
    titles: list[str] = []

    def watched(*given: object, title: str, **options: object) -> object:
        titles.append(title)
        if title == "fine-tune" and titles.count(title) == 1:
            raise KeyboardInterrupt
        return fit(*given, title=title, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(trial, "fit", watched)
    monkeypatch.setattr(training, "fit", watched)
    spec = PruneSpec(epochs=1, target="0.9x latency", depth="auto")
    recipe = msgspec.structs.replace(recipe, compress=CompressSpec(prune=spec))
    line = Stages(recipe, StageCache(tmp_path / "stages"))
    data = line.data()
    with pytest.raises(KeyboardInterrupt):
        make_variants(line, data)
    _, pruned = make_variants(line, data).variants
    tried = [f"prune: try {count} of 1 blocks dropped" for count in (0, 1)]
    assert titles == ["train", *tried, "fine-tune", "fine-tune"]
    told = msgspec.json.decode((pruned.stage.folder / PRUNED_FILE).read_bytes(), type=Pruned)
    assert [(found.blocks, found.ratio) for found in told.trials] == [(0, 0.6), (1, 0.5)]
    assert all(set(found.losses) == {"keys", "relu"} for found in told.trials)
    best = min(told.trials, key=lambda found: found.worst)
    assert len(told.dropped) == best.blocks


def test_a_damaged_stage_is_made_again(recipe: Recipe, tmp_path: Path) -> None:
    """A file that is not what was written is never used."""
    recipe = msgspec.structs.replace(recipe, compress=CompressSpec(order=()))
    run(recipe, tmp_path / "out")
    (weights,) = (tmp_path / "out" / "stages").glob("train-*/weights.safetensors")
    whole = weights.read_bytes()
    os.truncate(weights, 1000)
    run(recipe, tmp_path / "out")
    assert weights.read_bytes() == whole


def test_the_same_recipe_and_seed_give_the_same_metrics(recipe: Recipe, tmp_path: Path) -> None:
    """Trained twice from nothing: equal histories, equal metrics of all variants; another seed gives others."""
    first, second = run(recipe, tmp_path / "first"), run(recipe, tmp_path / "second")
    other = run(msgspec.structs.replace(recipe, seed=1), tmp_path / "first")
    metrics = [[result.metrics for result in report.benchmark.results] for report in (first, second, other)]
    assert first.training == second.training
    assert metrics[0] == metrics[1]
    assert metrics[0] != metrics[2]


def test_recipes_that_differ_in_their_tasks_alone_share_no_network(recipe: Recipe, tmp_path: Path) -> None:
    """The same data with the tasks in another order, or with more classes, is another network to train."""
    workdir = tmp_path / "out"
    recipe = msgspec.structs.replace(recipe, compress=msgspec.structs.replace(recipe.compress, order=("prune",)))
    kind, level = recipe.tasks
    run(recipe, workdir)
    for tasks in ((level, kind), (msgspec.structs.replace(kind, classes=5), level)):
        before = _folders(workdir)
        run(msgspec.structs.replace(recipe, tasks=tasks), workdir)
        assert {"train", "prune"} <= set(_kinds(_folders(workdir) - before))
        graph = open_session(workdir / "artifacts" / "dense" / MODEL_FILE)
        assert [(out.name, out.shape[1]) for out in graph.get_outputs()] == [(task.name, task.width) for task in tasks]
