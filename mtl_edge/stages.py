"""The stages of the line: each is a function from finished stages to files in a folder of its own.

A stage's key holds all that it depends on: its part of the recipe, what its parents wrote, the source code that it
runs and the libraries that it calls. So a run that was interrupted anywhere goes on with the first stage that is not
finished, and nothing stale is ever reused.
"""

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import msgspec
import numpy as np
import torch
from onnxruntime import InferenceSession

from mtl_edge.artifact import MANIFEST_FILE, MODEL_FILE, Lineage, Manifest, Measured, ModelInput, write_artifact
from mtl_edge.bench.contender import Contender
from mtl_edge.bench.machine import TargetName, this_machine
from mtl_edge.bench.settings import Settings
from mtl_edge.bench.suite import benchmark
from mtl_edge.compress.candidates import Candidates
from mtl_edge.compress.evidence import Evidence
from mtl_edge.compress.outcome import Withheld
from mtl_edge.compress.plan import Planner
from mtl_edge.compress.withhold import slower_than
from mtl_edge.data.fingerprint import source_fingerprint, source_libraries
from mtl_edge.data.source import prepare
from mtl_edge.data.splits import Samples, Splits, load_splits_from
from mtl_edge.errors import needs_extra
from mtl_edge.export.parity import check_parity
from mtl_edge.export.to_onnx import OPSET, export_onnx
from mtl_edge.nets.build import build_net, load_weights
from mtl_edge.nets.checkpoint import read_weights, save_weights
from mtl_edge.nets.custom import code_sha256
from mtl_edge.nets.multitask import MultiTaskNet
from mtl_edge.preprocessing import Preprocessing
from mtl_edge.profile.several import profile_each
from mtl_edge.progress import console, spinner
from mtl_edge.provenance import canonical_json, code_hash, library_versions, recipe_body
from mtl_edge.quantize.budgets import Goal
from mtl_edge.quantize.data import CalibrationData, calibration_data
from mtl_edge.quantize.finetune.course import Course, every_sample
from mtl_edge.quantize.outcome import Outcome, quantize_calibrated
from mtl_edge.quantize.refinements import Refinements
from mtl_edge.quantize.source import calibrated
from mtl_edge.quantize.target import this_target
from mtl_edge.recipe import PruneSpec, Recipe, TrainSpec
from mtl_edge.recipe.balance import Equal
from mtl_edge.runtime import Session, evaluate, open_session, predict
from mtl_edge.storage import Stage, StageCache, cache_folder, sha256_of, sha256_of_file, write_atomically
from mtl_edge.tasks import TargetStatistics, budget_weights, budgets_of, without_budgets
from mtl_edge.train.device import bf16_is_fast, find_device
from mtl_edge.train.distributed import ALONE, Ranks
from mtl_edge.train.learner import Learner, Teacher
from mtl_edge.train.loop import fit
from mtl_edge.train.training import Epoch, FitOptions

HISTORY_FILE = "history.json"
WEIGHTS_FILE = "weights.safetensors"
PRUNED_FILE = "pruned.json"
PARITY_FILE = "parity.json"
QUANTIZED_FILE = "quantized.json"
WITHHELD_FILE = "withheld.json"
BENCHMARK_FILE = "benchmark.json"
PROFILES_FILE = "profiles.json"
VARIANTS = ("dense", "dense-int8", "pruned", "pruned-int8")
"""What becomes of one network, each fp32 form before its int8 one."""

_FACTS_FILE = "facts.json"
_ARTIFACT_LIBRARIES = ("torch", "torch-pruning", "onnx", "onnxscript", "onnxruntime", "numpy", "scikit-learn")
_TASK_CODE = ("tasks", "preprocessing")
_TRAINING_CODE = ("train", "nets", "recipe", "data/splits.py", *_TASK_CODE)
_RUNTIME_CODE = ("artifact.py", "intake", "runtime.py", *_TASK_CODE)
_RACE_CODE = ("compress/withhold.py", "quantize/race.py")
_CALIBRATION_BATCH = 32
_PROFILE_SECONDS = 0.6


class Facts(msgspec.Struct, frozen=True):
    """What is fitted on the training split before any training."""

    preprocessing: Preprocessing
    statistics: dict[str, TargetStatistics]


@dataclass(frozen=True)
class _Material:
    """What the data stage left, loaded."""

    splits: Splits
    learner: Learner
    sha256: str


class Stages:
    """The stages of one recipe, kept in one cache.

    Args:
        recipe: what to do.
        cache: where finished stages are.
        log_dir: where TensorBoard's files of the trainings go, one folder for each; None writes none.
        ranks: the processes that train together.
    """

    def __init__(self, recipe: Recipe, cache: StageCache, *, log_dir: Path | None = None, ranks: Ranks = ALONE) -> None:
        self._recipe = recipe
        self._cache = cache
        self._log_dir = log_dir
        self._ranks = ranks
        device = find_device(recipe.train.device)
        wanted = recipe.train.precision
        balancing = () if isinstance(recipe.train.balancing, Equal) else ("torchjd",)
        with needs_extra("balancing"):
            library_versions(balancing)
        self._training_libraries = ("torch", "numpy", *balancing)
        self._bf16 = wanted == "bf16" or (wanted == "auto" and bf16_is_fast(device))

    def data(self) -> Stage:
        """The splits, and what is fitted on them before training."""
        recipe = self._recipe

        def work(folder: Path) -> None:
            with spinner("data"):
                preprocessing = prepare(recipe, folder)
                train = load_splits_from(folder).train
                statistics = {task.name: task.fit(train[task.target]) for task in recipe.tasks}
                write_atomically(folder / _FACTS_FILE, canonical_json(Facts(preprocessing, statistics)))

        libraries = source_libraries(recipe)
        with needs_extra("data"):
            library_versions(libraries)
        return self._stage(
            "data",
            work,
            {
                "data": recipe.data,
                "tasks": without_budgets(recipe.tasks),
                "seed": recipe.seed,
                "file": source_fingerprint(recipe),
            },
            code=("data", "recipe", "zoo/cache.py", *_TASK_CODE),
            libraries=("numpy", *libraries),
        )

    def train(self, data: Stage) -> Stage:
        """The dense network, from labels."""
        recipe, spec = self._recipe, self._recipe.train
        depends_on = self._depends_on(
            {
                "train": spec.decisive,
                "net": recipe.net,
                "net_code": code_sha256(recipe.net, recipe.folder),
                "tasks": without_budgets(recipe.tasks),
                "bf16": self._bf16,
                "seed": recipe.seed,
                "data": data.digest,
            },
            code=_TRAINING_CODE,
            libraries=self._training_libraries,
        )

        def work(folder: Path) -> None:
            material = self._material(data)
            net = self._untrained(material)
            options = self._options(spec, recipe.seed)
            history = self._fit("train", depends_on, net, material, options, title="train")
            _save_trained(folder, net, history)

        return self._made("train", work, depends_on)

    def prune(self, data: Stage, dense: Stage) -> Stage:
        """The dense network with fewer channels or blocks, fine-tuned with the dense one as its teacher."""
        recipe, spec = self._recipe, self._recipe.compress.prune
        depends_on = self._depends_on(
            {
                "prune": spec,
                "distill": recipe.compress.distill,
                "train": recipe.train.decisive,
                "net": recipe.net,
                "tasks": recipe.tasks if spec.across == "budget" else without_budgets(recipe.tasks),
                "bf16": self._bf16,
                "seed": recipe.seed,
                "data": data.digest,
                "parent": dense.digest,
                **({"machine": this_machine(), "int8": _target(recipe)} if spec.target is not None else {}),
            },
            code=("compress", *(("export", "quantize") if spec.target is not None else ()), *_TRAINING_CODE),
            libraries=(*self._training_libraries, "torch-pruning"),
        )

        def work(folder: Path) -> None:
            material = self._material(data)
            splits, learner = material.splits, material.learner
            teacher = self._trained(dense, material)
            candidates = Candidates(
                net=teacher,
                example=learner.inputs(splits.calib, slice(_CALIBRATION_BATCH)),
                input_name=recipe.data.input,
                rankings={},
                target=_target(recipe),
                folder=cache_folder() / "shapes",
            )
            planner = Planner(
                spec,
                Evidence(learner, splits.train, recipe.train.batch_size),
                budget_weights(recipe.tasks) if spec.across == "budget" else recipe.train.weights,
            )
            net, found = planner.prune(candidates)
            write_atomically(folder / PRUNED_FILE, msgspec.json.encode(found))
            options, lesson = self._options(spec, recipe.seed + 1), Teacher(teacher, recipe.compress.distill)
            history = self._fit("prune", depends_on, net, material, options, title="fine-tune", teacher=lesson)
            _save_trained(folder, net, history)

        return self._made("prune", work, depends_on)

    def export(self, data: Stage, dense: Stage, pruned: Stage) -> Stage:
        """Both networks as ONNX, proved equal to torch; the pruned one only where it is not the slower one."""
        recipe = self._recipe

        def work(folder: Path) -> None:
            material = self._material(data)
            splits, learner = material.splits, material.learner
            raw = splits.calib[recipe.data.input]
            parity: dict[str, float] = {}
            withheld: dict[str, Withheld] = {}
            parent: Manifest | None = None
            before = b""
            for variant, stage, step in (("dense", dense, "train"), ("pruned", pruned, "prune + distill")):
                with spinner(f"export {variant}"):
                    net = self._trained(stage, material)
                    model = export_onnx(net, learner.inputs(splits.calib, slice(2)), recipe.data.input)
                    with torch.inference_mode():
                        expected = {name: out.numpy() for name, out in net(learner.inputs(splits.calib)).items()}
                    found = predict(open_session(model), _model_input(learner, raw), raw)
                    parity[variant] = check_parity(expected, found).difference
                    if parent is None:
                        before = model
                    elif slow := slower_than(parent.variant, before, model, self._batch(material)):
                        withheld[variant] = slow
                        continue
                    manifest = self._manifest(variant, step, model, net.parameter_count, material, parent)
                    artifact = write_artifact(folder / variant, model, manifest)
                    parent = parent or artifact.manifest
            write_atomically(folder / PARITY_FILE, canonical_json(parity))
            write_atomically(folder / WITHHELD_FILE, canonical_json(withheld))

        return self._stage(
            "export",
            work,
            {
                "recipe": recipe_body(recipe),
                "data": data.digest,
                "dense": dense.digest,
                "pruned": pruned.digest,
                "machine": this_machine(),  # what is slower than its parent here is withheld
            },
            code=("export", "nets", *_RACE_CODE, *_RUNTIME_CODE),
            libraries=_ARTIFACT_LIBRARIES,
        )

    def quantize(self, data: Stage, exported: Stage) -> Stage:
        """Both networks in static int8; the pruned one only where it is not the slower one."""
        recipe, spec = self._recipe, self._recipe.compress.quantize
        target = _target(recipe)

        def work(folder: Path) -> None:
            material = self._material(data)
            splits, base = material.splits, None
            teacher: Session | None = None
            budgets = budgets_of(recipe.tasks)
            outcomes: dict[str, Outcome] = {}
            withheld: dict[str, Withheld] = {}
            before = b""
            for variant in ("dense", "pruned"):
                source = exported.folder / variant
                if not source.is_dir():  # slower than the dense one
                    continue
                parent = msgspec.json.decode((source / MANIFEST_FILE).read_bytes(), type=Manifest)
                content = (source / MODEL_FILE).read_bytes()
                session = open_session(content)
                samples = calibration_data(
                    session.get_inputs(),
                    splits.calib.arrays,
                    parent,
                    samples=len(splits.calib),
                    batch_size=_CALIBRATION_BATCH,
                    seed=recipe.seed,
                )
                known = calibrated(session, content, parent, samples, folder=None, equalized=spec.equalize)
                teacher = teacher or session
                if budgets and base is None:  # every loss is counted from the dense network
                    base = evaluate(session, parent.tasks, parent.inputs, splits.val.arrays)
                model, outcome = quantize_calibrated(
                    known,
                    method=spec.method,
                    target=target,
                    placement="all" if spec.placement == "all" else None,
                    refinements=Refinements(
                        equalize=spec.equalize, rounding=spec.rounding, correct_bias=spec.correct_bias
                    ),
                    cache=cache_folder(),
                    goal=Goal(budgets, splits.val.arrays, base) if budgets else None,
                    course=self._course(splits.train, samples, teacher, session),
                )
                if not before:
                    before = model
                elif slow := slower_than("dense-int8", before, model, self._batch(material)):
                    withheld[f"{variant}-int8"] = slow
                    continue
                outcomes[f"{variant}-int8"] = outcome
                manifest = self._manifest(f"{variant}-int8", "static int8", model, parent.parameters, material, parent)
                write_artifact(folder / f"{variant}-int8", model, msgspec.structs.replace(manifest, target=target))
            write_atomically(folder / QUANTIZED_FILE, msgspec.json.encode(outcomes))
            write_atomically(folder / WITHHELD_FILE, canonical_json(withheld))

        return self._stage(
            "quantize",
            work,
            {
                "recipe": recipe_body(recipe),
                "data": data.digest,
                "parent": exported.digest,
                "target": target,
                "machine": this_machine(),  # the audit, and a measured placement, are of what runs here
            },
            code=("quantize", "graph.py", *_RACE_CODE, *_RUNTIME_CODE),
            libraries=_ARTIFACT_LIBRARIES,
        )

    def _course(self, train: Samples, drawn: CalibrationData, teacher: Session, student: InferenceSession) -> Course:
        """How an int8 network is fine-tuned, on the samples that the dense one has learned from."""
        spec, distill = self._recipe.compress.quantize, self._recipe.compress.distill
        data = dataclasses.replace(drawn, arrays={name: train[name] for name in drawn.arrays})
        return Course(
            when=spec.finetune,
            data=every_sample(data, student.get_inputs()),
            teacher=teacher,
            tasks=self._recipe.tasks,
            targets={task.name: train[task.target] for task in self._recipe.tasks},
            steps=spec.finetune_steps,
            weight=distill.weight,
            temperature=distill.temperature,
            seed=self._recipe.seed,
        )

    def bench(self, data: Stage, models: Sequence[Contender]) -> Stage:
        """All variants under ONNX Runtime, each in fresh processes; and where the time of each goes."""
        spec = self._recipe.bench

        def work(folder: Path) -> None:
            settings = Settings(
                threads=spec.threads,
                rounds=spec.rounds,
                round_seconds=spec.round_seconds,
                cold_starts=spec.cold_starts,
                data=data.folder / "test",
            )
            measured = benchmark(models, base=models[0], settings=settings)
            write_atomically(folder / BENCHMARK_FILE, msgspec.json.encode(measured))
            alone = (model.paths[0] for model in models if model.name in VARIANTS)
            profiles = profile_each(alone, threads=spec.threads[0], seconds=_PROFILE_SECONDS)
            write_atomically(folder / PROFILES_FILE, msgspec.json.encode(profiles))

        return self._stage(
            "bench",
            work,
            {
                "bench": spec,
                "data": data.digest,
                "models": {model.name: [sha256_of_file(path) for path in model.paths] for model in models},
                "machine": this_machine(),
            },
            code=("bench", "profile", "quantize", "optimize", "graph.py", "data/splits.py", *_RUNTIME_CODE),
            libraries=("onnxruntime", "onnx", "scikit-learn"),
        )

    def _stage(
        self,
        name: str,
        work: Callable[[Path], None],
        parts: Mapping[str, object],
        *,
        code: tuple[str, ...],
        libraries: tuple[str, ...],
    ) -> Stage:
        return self._made(name, work, self._depends_on(parts, code=code, libraries=libraries))

    def _depends_on(
        self, parts: Mapping[str, object], *, code: tuple[str, ...], libraries: tuple[str, ...]
    ) -> dict[str, object]:
        """All that a stage's result follows from."""
        return {
            **{key: msgspec.to_builtins(value) for key, value in parts.items()},
            "code": code_hash(("stages.py", *code)),
            "versions": library_versions(libraries),
        }

    def _made(self, name: str, work: Callable[[Path], None], depends_on: Mapping[str, object]) -> Stage:
        """The stage, found or made."""
        found = self._cache.find(name, depends_on)
        if found is not None:
            console.print(f"  {name:<9} done before", style="dim")
            return found
        started = time.perf_counter()
        stage = self._cache.build(name, depends_on, work)
        console.print(f"  {name:<9} {time.perf_counter() - started:6.1f} s")
        return stage

    def _fit(
        self,
        name: str,
        depends_on: Mapping[str, object],
        net: MultiTaskNet,
        material: _Material,
        options: FitOptions,
        *,
        title: str,
        teacher: Teacher | None = None,
    ) -> list[Epoch]:
        """Train, and go on with what a killed process had done of the same stage."""
        return fit(
            net,
            material.learner,
            material.splits,
            options,
            title=title,
            teacher=teacher,
            checkpoint=self._cache.resume_folder(name, depends_on),
            log_dir=None if self._log_dir is None else self._log_dir / name,
            ranks=self._ranks,
        )

    def _material(self, data: Stage) -> _Material:
        facts = msgspec.json.decode((data.folder / _FACTS_FILE).read_bytes(), type=Facts)
        learner = Learner(self._recipe.tasks, facts.statistics, facts.preprocessing, self._recipe.data.input)
        return _Material(load_splits_from(data.folder), learner, data.digest)

    def _batch(self, material: _Material) -> dict[str, np.ndarray]:
        """What an exported network is timed with."""
        return {self._recipe.data.input: material.learner.inputs(material.splits.calib, slice(2)).numpy()}

    def _untrained(self, material: _Material) -> MultiTaskNet:
        learner = material.learner
        with torch.random.fork_rng():
            torch.manual_seed(self._recipe.seed)
            source = _model_input(learner, material.splits.train[learner.input])
            recipe = self._recipe
            return build_net(recipe.net, recipe.tasks, source, learner.statistics, folder=recipe.folder)

    def _trained(self, stage: Stage, material: _Material) -> MultiTaskNet:
        net = self._untrained(material)
        load_weights(net, read_weights(stage.folder / WEIGHTS_FILE))
        return net.eval()

    def _options(self, spec: TrainSpec | PruneSpec, seed: int) -> FitOptions:
        train = msgspec.structs.replace(self._recipe.train, epochs=spec.epochs, learning_rate=spec.learning_rate)
        return FitOptions(**msgspec.structs.asdict(train), bf16=self._bf16, seed=seed)

    def _manifest(
        self, variant: str, step: str, model: bytes, parameters: int, material: _Material, parent: Manifest | None
    ) -> Manifest:
        test = material.splits.test
        source = _model_input(material.learner, test[self._recipe.data.input])
        values = evaluate(open_session(model), self._recipe.tasks, source, test.arrays)
        return Manifest(
            name=self._recipe.name,
            variant=variant,
            tasks=self._recipe.tasks,
            inputs=(source,),
            metrics=Measured(split="test", samples=len(test), values=values),
            lineage=Lineage(
                recipe_sha256=sha256_of(canonical_json(recipe_body(self._recipe))),
                data_sha256=material.sha256,
                seed=self._recipe.seed,
                steps=(*(parent.lineage.steps if parent else ()), step),
                parent=parent.variant if parent else None,
                parent_sha256=parent.sha256 if parent else None,
            ),
            parameters=parameters,
            opset=OPSET,
            versions=library_versions(_ARTIFACT_LIBRARIES),
            runtime=version("onnxruntime"),
        )


def _target(recipe: Recipe) -> TargetName:
    """The kind of processor that int8 models are made for."""
    target = recipe.compress.quantize.target
    return this_target() if target == "this-box" else target


def _save_trained(folder: Path, net: MultiTaskNet, history: list[Epoch]) -> None:
    save_weights(net, folder / WEIGHTS_FILE)
    write_atomically(folder / HISTORY_FILE, msgspec.json.encode(history))


def _model_input(learner: Learner, raw: np.ndarray) -> ModelInput:
    return ModelInput(
        name=learner.input,
        dtype=learner.preprocessing.dtype,
        shape=("batch", *raw.shape[1:]),
        preprocessing=learner.preprocessing,
    )
