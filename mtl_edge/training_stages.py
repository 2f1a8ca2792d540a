"""Stages that train: the data, a network from labels or teachers, the pruned one; and what every stage is made with.

A stage is a function from finished stages to files in a folder of its own. Its key holds all that it depends on: its
part of the recipe, what its parents wrote, the source code that it runs and the libraries that it calls. So a run that
was interrupted anywhere goes on with the first stage that is not finished, and nothing stale is ever reused.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import torch
from torch import Tensor

from mtl_edge.artifact import ModelInput
from mtl_edge.bench.machine import TargetName, this_machine
from mtl_edge.compress.candidates import Candidates
from mtl_edge.compress.evidence import Evidence
from mtl_edge.compress.outcome import Missed, Pruned, PrunedStep, Schedule
from mtl_edge.compress.pattern import read_pattern
from mtl_edge.compress.plan import Planner
from mtl_edge.compress.schedule import Step, missed_budgets, steps_of, whole_course
from mtl_edge.compress.sparsify import count_zeros, held, mask_weights
from mtl_edge.data.fingerprint import source_fingerprint, source_libraries
from mtl_edge.data.source import prepare
from mtl_edge.data.splits import Splits, load_splits_from
from mtl_edge.errors import needs_extra
from mtl_edge.nets.build import build_net, load_weights
from mtl_edge.nets.checkpoint import read_weights, save_weights
from mtl_edge.nets.custom import code_sha256
from mtl_edge.nets.multitask import MultiTaskNet
from mtl_edge.preprocessing import Preprocessing
from mtl_edge.progress import console, spinner
from mtl_edge.provenance import canonical_json, code_hash, library_versions
from mtl_edge.quantize.target import this_target
from mtl_edge.recipe import PruneSpec, Recipe, SparsifySpec, TrainSpec
from mtl_edge.recipe.alone import alone
from mtl_edge.recipe.balance import Equal
from mtl_edge.report.document import EpochRecord
from mtl_edge.report.teachers import TEACHER
from mtl_edge.storage import Stage, StageCache, cache_folder, write_atomically
from mtl_edge.tasks import Noise, TargetStatistics, budget_weights, budgets_of, loss_noise, without_budgets
from mtl_edge.train.device import bf16_is_fast, find_device
from mtl_edge.train.distributed import ALONE, Ranks
from mtl_edge.train.learner import Learner
from mtl_edge.train.loop import fit
from mtl_edge.train.measure import answers
from mtl_edge.train.selection import best_epoch
from mtl_edge.train.teacher import Teacher
from mtl_edge.train.training import Epoch, FitOptions

HISTORY_FILE = "history.json"
WEIGHTS_FILE = "weights.safetensors"
PRUNED_FILE = "pruned.json"
SPARSIFIED_FILE = "sparsified.json"
NOISE_FILE = "noise.json"
TASK_CODE = ("tasks", "preprocessing")
CALIBRATION_BATCH = 32

_FACTS_FILE = "facts.json"
_TRAINING_CODE = ("train", "nets", "recipe", "data/splits.py", *TASK_CODE)


class Facts(msgspec.Struct, frozen=True):
    """What is fitted on the training split before any training."""

    preprocessing: Preprocessing
    statistics: dict[str, TargetStatistics]


@dataclass(frozen=True)
class Material:
    """What the data stage left, loaded."""

    splits: Splits
    learner: Learner
    sha256: str


class TrainingStages:
    """The stages that train, of one recipe, kept in one cache.

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

    @property
    def recipe(self) -> Recipe:
        """What they do."""
        return self._recipe

    @property
    def log_dir(self) -> Path | None:
        """Where TensorBoard's files go, if any."""
        return self._log_dir

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
            code=("data", "recipe", "zoo/cache.py", *TASK_CODE),
            libraries=("numpy", *libraries),
        )

    def beside(self, recipe: Recipe, *, log_dir: Path | None = None) -> "TrainingStages":
        """The stages of another recipe, in the same cache and with the same processes."""
        return TrainingStages(recipe, self._cache, log_dir=log_dir, ranks=self._ranks)

    def train(self, data: Stage, teachers: "Sequence[Network]" = ()) -> Stage:
        """The network of the recipe: the dense one from labels alone, a student from labels and teachers."""
        recipe, spec = self._recipe, self._recipe.train
        name = "student" if teachers else "train"
        depends_on = self._depends_on(
            {
                "train": spec.decisive,
                "net": recipe.net,
                "net_code": code_sha256(recipe.net, recipe.folder),
                "tasks": without_budgets(recipe.tasks),
                "bf16": self._bf16,
                "seed": recipe.seed,
                "data": data.digest,
                **(_taught_by(recipe, teachers) if teachers else {}),
            },
            code=_TRAINING_CODE,
            libraries=self._training_libraries,
        )

        def work(folder: Path) -> None:
            material = self._material(data)
            net = self._untrained(material)
            options = self._options(spec, recipe.seed)
            lesson = Teacher([teacher.net(data) for teacher in teachers], recipe.compress.distill) if teachers else None
            history = self._fit(name, depends_on, net, material, options, title=name, teacher=lesson)
            _save_trained(folder, net, history)

        return self._made(name, work, depends_on)

    def teachers(self, data: Stage, dense: Stage) -> "list[Network]":
        """The networks that teach the others: the dense one, one for each task, or several of all tasks."""
        recipe, spec = self._recipe, self._recipe.compress.distill
        found = [Network("dense", self, dense)]
        match spec.teacher:
            case "dense":
                return found
            case "single-task":
                found = []
                others = {task.name: alone(recipe, task) for task in recipe.tasks}
            case "ensemble":
                seeds = [(recipe.seed + number) % 2**32 for number in range(1, spec.members)]
                others = {f"seed-{seed}": msgspec.structs.replace(recipe, seed=seed) for seed in seeds}
        for name, part in others.items():
            console.print(f"{TEACHER}/{name}")
            stages = self.beside(part, log_dir=self._log_dir and self._log_dir / TEACHER / name)
            found.append(Network(f"{TEACHER}/{name}", stages, stages.train(data)))
        return found

    def prune(
        self, data: Stage, dense: Stage, teachers: "Sequence[Network]", *, base: "Network | None" = None
    ) -> Stage:
        """The dense network with fewer channels or blocks, fine-tuned with teachers (see :meth:`teachers`).

        Where the recipe asks for several steps each is a stage of its own, and the last stage is what came of them.

        Args:
            data: the samples.
            dense: the network to prune.
            teachers: those who teach it.
            base: the network from which the tasks' losses are counted; None is the one to prune.
        """
        recipe, spec = self._recipe, self._recipe.compress.prune
        steps = steps_of(spec)
        if len(steps) == 1 and spec.stop == "never":
            return self._prune_step("prune", steps[0], data, dense, dense, teachers)
        done = [Network("dense", self, dense)]
        before = (base or done[0]).metrics
        missed: list[tuple[Missed, ...]] = []
        for step in steps:
            name = f"prune-{step.number}"
            done.append(Network(name, self, self._prune_step(name, step, data, dense, done[-1].stage, teachers)))
            missed.append(missed_budgets(recipe.tasks, before, done[-1].metrics))
            if spec.stop == "budget" and missed[-1]:
                break
        over = spec.stop == "budget" and bool(missed[-1])
        kept = max(len(missed) - over, 1)  # where the first one misses a budget already, it is the nearest miss

        def work(folder: Path) -> None:
            files = [network.stage.folder / PRUNED_FILE for network in done[1:]]
            parts = [msgspec.json.decode(file.read_bytes(), type=Pruned) for file in files]
            records = tuple(
                PrunedStep(
                    parameters=network.net(data).parameter_count,
                    epochs=len(network.history),
                    metrics=network.metrics,
                    reached=part.reached,
                    missed=lost,
                )
                for network, part, lost in zip(done[1:], parts, missed, strict=True)
            )
            whole = done[0].net(data).parameter_count
            schedule = Schedule(planned=len(steps), parameters=whole, metrics=before, steps=records, kept=kept)
            write_atomically(folder / PRUNED_FILE, msgspec.json.encode(whole_course(parts, schedule)))
            for name in (WEIGHTS_FILE, HISTORY_FILE):
                write_atomically(folder / name, (done[kept].stage.folder / name).read_bytes())

        return self._stage(
            "prune",
            work,
            {"schedule": spec, "networks": [each.stage.digest for each in done], "before": before, "missed": missed},
            code=("compress", "recipe", "nets", "train/selection.py", *TASK_CODE),
            libraries=(),
        )

    def _prune_step(
        self, name: str, step: Step, data: Stage, dense: Stage, parent: Stage, teachers: "Sequence[Network]"
    ) -> Stage:
        """One step: the network of a stage with less of it, down to a share of the dense one, fine-tuned."""
        recipe, spec = self._recipe, step.of(self._recipe.compress.prune)
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
                "parent": parent.digest,
                "teachers": [teacher.stage.digest for teacher in teachers],
                **({"step": [step.number, step.planned], "dense": dense.digest} if step.planned > 1 else {}),
                **({"machine": this_machine(), "int8": int8_target(recipe)} if spec.target is not None else {}),
            },
            code=("compress", *(("export", "quantize") if spec.target is not None else ()), *_TRAINING_CODE),
            libraries=(*self._training_libraries, "torch-pruning"),
        )

        def work(folder: Path) -> None:
            material = self._material(data)
            splits, learner = material.splits, material.learner
            candidates = Candidates(
                net=self._trained(dense, material),
                example=learner.inputs(splits.calib, slice(CALIBRATION_BATCH)),
                input_name=recipe.data.input,
                rankings={},
                target=int8_target(recipe),
                folder=cache_folder() / "shapes",
            )
            planner = Planner(
                spec,
                Evidence(learner, splits.train, recipe.train.batch_size),
                budget_weights(recipe.tasks) if spec.across == "budget" else recipe.train.weights,
                share=step.share,
            )
            if step.number > 1:
                candidates = candidates.thinner(self._trained(parent, material))
            net, found = planner.prune(candidates)
            write_atomically(folder / PRUNED_FILE, msgspec.json.encode(found))
            options = self._options(spec, recipe.seed + step.number)
            lesson = Teacher([teacher.net(data) for teacher in teachers], recipe.compress.distill)
            title = "fine-tune" if step.planned == 1 else f"fine-tune {step.number}/{step.planned}"
            history = self._fit(name, depends_on, net, material, options, title=title, teacher=lesson)
            _save_trained(folder, net, history)

        return self._made(name, work, depends_on)

    def noise(self, data: Stage, dense: Stage, other: "Network") -> tuple[Noise, ...]:
        """What the validation and the test samples can tell of how much another network loses, task by task."""
        recipe = self._recipe
        budgets = budgets_of(recipe.tasks)
        if not budgets:
            return ()

        def work(folder: Path) -> None:
            material, found = self._material(data), []
            nets = (self._trained(dense, material), other.net(data))
            splits = {"validation": material.splits.val, "test": material.splits.test}
            with spinner("noise of budgets"):
                for split, samples in splits.items():
                    before, after = (answers(net, material.learner, samples, recipe.train.batch_size) for net in nets)
                    found += [
                        loss_noise(task, budget, before[task.name], after[task.name], samples[task.target], split=split)
                        for task in recipe.tasks
                        if (budget := budgets.get(task.name)) is not None
                    ]
            write_atomically(folder / NOISE_FILE, msgspec.json.encode(found))

        stage = self._stage(
            "noise",
            work,
            {"tasks": recipe.tasks, "data": data.digest, "dense": dense.digest, "other": other.stage.digest},
            code=("train", "nets", "recipe", "data/splits.py", *TASK_CODE),
            libraries=("torch", "numpy", "scikit-learn"),
        )
        return msgspec.json.decode((stage.folder / NOISE_FILE).read_bytes(), type=tuple[Noise, ...])

    def sparsify(self, data: Stage, parent: Stage, teachers: "Sequence[Network]") -> Stage:
        """A network with the least of its weights at zero, fine-tuned with teachers while they stay so."""
        recipe, spec = self._recipe, self._recipe.compress.sparsify
        assert spec is not None  # a recipe with this step has it
        depends_on = self._depends_on(
            {
                "sparsify": spec,
                "distill": recipe.compress.distill,
                "train": recipe.train.decisive,
                "net": recipe.net,
                "tasks": without_budgets(recipe.tasks),
                "bf16": self._bf16,
                "seed": recipe.seed,
                "data": data.digest,
                "parent": parent.digest,
                "teachers": [teacher.stage.digest for teacher in teachers],
            },
            code=("compress", *_TRAINING_CODE),
            libraries=self._training_libraries,
        )

        def work(folder: Path) -> None:
            material = self._material(data)
            net, pattern = self._trained(parent, material), read_pattern(spec.pattern)
            masks = mask_weights(net, pattern, across=spec.across)
            options = self._options(spec, recipe.seed + 2)
            lesson = Teacher([teacher.net(data) for teacher in teachers], recipe.compress.distill)
            with held(net, masks):
                history = self._fit(
                    "sparsify", depends_on, net, material, options, title="fine-tune sparse", teacher=lesson
                )
            write_atomically(folder / SPARSIFIED_FILE, msgspec.json.encode(count_zeros(pattern, masks)))
            _save_trained(folder, net, history)

        return self._made("sparsify", work, depends_on)

    def untrained(self, data: Stage) -> tuple[MultiTaskNet, Tensor]:
        """The network of this recipe before any training, and two samples as it reads them."""
        material = self._material(data)
        return self._untrained(material), material.learner.inputs(material.splits.calib, slice(2))

    def trained(self, data: Stage, stage: Stage) -> MultiTaskNet:
        """The network that a training stage of this recipe left."""
        return self._trained(stage, self._material(data))

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
            "code": code_hash(("stages.py", "training_stages.py", *code)),
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
        material: Material,
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

    def _material(self, data: Stage) -> Material:
        facts = msgspec.json.decode((data.folder / _FACTS_FILE).read_bytes(), type=Facts)
        learner = Learner(self._recipe.tasks, facts.statistics, facts.preprocessing, self._recipe.data.input)
        return Material(load_splits_from(data.folder), learner, data.digest)

    def _untrained(self, material: Material) -> MultiTaskNet:
        learner = material.learner
        with torch.random.fork_rng():
            torch.manual_seed(self._recipe.seed)
            source = model_input(learner, material.splits.train[learner.input])
            recipe = self._recipe
            return build_net(recipe.net, recipe.tasks, source, learner.statistics, folder=recipe.folder)

    def _trained(self, stage: Stage, material: Material) -> MultiTaskNet:
        net = self._untrained(material)
        load_weights(net, read_weights(stage.folder / WEIGHTS_FILE))
        return net.eval()

    def _options(self, spec: TrainSpec | PruneSpec | SparsifySpec, seed: int) -> FitOptions:
        train = msgspec.structs.replace(self._recipe.train, epochs=spec.epochs, learning_rate=spec.learning_rate)
        return FitOptions(**msgspec.structs.asdict(train), bf16=self._bf16, seed=seed)


@dataclass(frozen=True)
class Network:
    """A trained network: its name, the stages of its recipe, and the one of them that left it."""

    name: str
    stages: TrainingStages
    stage: Stage

    def net(self, data: Stage) -> MultiTaskNet:
        """The network itself."""
        return self.stages.trained(data, self.stage)

    @property
    def history(self) -> tuple[EpochRecord, ...]:
        """How it was trained, epoch by epoch."""
        return msgspec.json.decode((self.stage.folder / HISTORY_FILE).read_bytes(), type=tuple[EpochRecord, ...])

    @property
    def metrics(self) -> dict[str, dict[str, float]]:
        """What it reaches on the validation samples, by task and name: those of the epoch whose weights it has."""
        recipe, history = self.stages.recipe, self.history
        return history[best_epoch(history, recipe.tasks) if recipe.train.keeps_best else -1].metrics


def int8_target(recipe: Recipe) -> TargetName:
    """The kind of processor that int8 models are made for."""
    target = recipe.compress.quantize.target
    return this_target() if target == "this-box" else target


def _taught_by(recipe: Recipe, teachers: Sequence[Network]) -> dict[str, object]:
    return {"distill": recipe.compress.distill, "teachers": [teacher.stage.digest for teacher in teachers]}


def _save_trained(folder: Path, net: MultiTaskNet, history: list[Epoch]) -> None:
    save_weights(net, folder / WEIGHTS_FILE)
    write_atomically(folder / HISTORY_FILE, msgspec.json.encode(history))


def model_input(learner: Learner, raw: np.ndarray) -> ModelInput:
    """What a network of this learner reads, where raw samples are like these."""
    return ModelInput(
        name=learner.input,
        dtype=learner.preprocessing.dtype,
        shape=("batch", *raw.shape[1:]),
        preprocessing=learner.preprocessing,
    )
