"""Stages that train networks, from labels and teachers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import torch
from torch import Tensor

from mtl_edge.errors import needs_extra
from mtl_edge.nets.build import build_net, load_weights
from mtl_edge.nets.checkpoint import read_weights, save_weights
from mtl_edge.nets.custom import code_sha256
from mtl_edge.nets.multitask import MultiTaskNet
from mtl_edge.progress import console
from mtl_edge.provenance import library_versions
from mtl_edge.recipe import PruneSpec, Recipe, SparsifySpec, TrainSpec
from mtl_edge.recipe.alone import alone
from mtl_edge.recipe.balance import Equal
from mtl_edge.report.document import EpochRecord
from mtl_edge.report.teachers import TEACHER
from mtl_edge.stages.cached import TASK_CODE, CachedStages, Material, model_input
from mtl_edge.storage import Stage, StageCache, write_atomically
from mtl_edge.tasks import without_budgets
from mtl_edge.train.device import bf16_is_fast, find_device
from mtl_edge.train.distributed import ALONE, Ranks
from mtl_edge.train.loop import fit
from mtl_edge.train.selection import best_epoch
from mtl_edge.train.teacher import Teacher
from mtl_edge.train.training import Epoch, FitOptions

HISTORY_FILE = "history.json"
WEIGHTS_FILE = "weights.safetensors"

TRAINING_CODE = ("train", "nets", "recipe", "data/splits.py", *TASK_CODE)


class TrainingStages(CachedStages):
    """The stages that train, of one recipe, kept in one cache.

    Args:
        recipe: what to do.
        cache: where finished stages are.
        log_dir: where TensorBoard's files of the trainings go, one folder for each; None writes none.
        ranks: the processes that train together.

    Attributes:
        libraries: the packages by which networks are trained.
        bf16: whether they are trained in that precision.
    """

    def __init__(self, recipe: Recipe, cache: StageCache, *, log_dir: Path | None = None, ranks: Ranks = ALONE) -> None:
        super().__init__(recipe, cache)
        self.log_dir = log_dir
        self._ranks = ranks
        device = find_device(recipe.train.device)
        wanted = recipe.train.precision
        balancing = () if isinstance(recipe.train.balancing, Equal) else ("torchjd",)
        with needs_extra("balancing"):
            library_versions(balancing)
        self.libraries = ("torch", "numpy", *balancing)
        self.bf16 = wanted == "bf16" or (wanted == "auto" and bf16_is_fast(device))

    def beside(self, recipe: Recipe, *, log_dir: Path | None = None) -> "TrainingStages":
        """The stages of another recipe, in the same cache and with the same processes."""
        return TrainingStages(recipe, self.cache, log_dir=log_dir, ranks=self._ranks)

    def train(self, data: Stage, teachers: "Sequence[Network]" = ()) -> Stage:
        """The network of the recipe: the dense one from labels alone, a student from labels and teachers."""
        recipe, spec = self.recipe, self.recipe.train
        name = "student" if teachers else "train"
        depends_on = self.depends_on(
            {
                **self.training_parts(data, teachers),
                "net_code": code_sha256(recipe.net, recipe.folder),
                "tasks": without_budgets(recipe.tasks),
            },
            code=TRAINING_CODE,
            libraries=self.libraries,
        )

        def work(folder: Path) -> None:
            material = self.material(data)
            net = self._untrained(material)
            options = self.options(spec, recipe.seed)
            lesson = self.lesson(data, teachers) if teachers else None
            history = self.fit(name, depends_on, net, material, options, title=name, teacher=lesson)
            save_trained(folder, net, history)

        return self.made(name, work, depends_on)

    def teachers(self, data: Stage, dense: Stage) -> "list[Network]":
        """The networks that teach the others: the dense one, one for each task, or several of all tasks."""
        recipe, spec = self.recipe, self.recipe.compress.distill
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
            stages = self.beside(part, log_dir=self.log_dir and self.log_dir / TEACHER / name)
            found.append(Network(f"{TEACHER}/{name}", stages, stages.train(data)))
        return found

    def untrained(self, data: Stage) -> tuple[MultiTaskNet, Tensor]:
        """The network of this recipe before any training, and two samples as it reads them."""
        material = self.material(data)
        return self._untrained(material), material.learner.inputs(material.splits.calib, slice(2))

    def trained(self, data: Stage, stage: Stage) -> MultiTaskNet:
        """The network that a training stage of this recipe left."""
        net = self._untrained(self.material(data))
        load_weights(net, read_weights(stage.folder / WEIGHTS_FILE))
        return net.eval()

    def training_parts(self, data: Stage, teachers: "Sequence[Network]") -> dict[str, object]:
        """What every training follows from: how, which network, on which samples, and who teaches."""
        recipe = self.recipe
        parts: dict[str, object] = {
            "train": recipe.train.decisive,
            "net": recipe.net,
            "bf16": self.bf16,
            "seed": recipe.seed,
            "data": data.digest,
        }
        if teachers:
            parts |= {"distill": recipe.compress.distill, "teachers": [teacher.stage.digest for teacher in teachers]}
        return parts

    def lesson(self, data: Stage, teachers: "Sequence[Network]") -> Teacher:
        """What these networks teach, as the recipe wants it."""
        return Teacher([teacher.net(data) for teacher in teachers], self.recipe.compress.distill)

    def fit(
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
            checkpoint=self.cache.resume_folder(name, depends_on),
            log_dir=None if self.log_dir is None else self.log_dir / name,
            ranks=self._ranks,
        )

    def options(self, spec: TrainSpec | PruneSpec | SparsifySpec, seed: int) -> FitOptions:
        """How to train, where a step has epochs and a learning rate of its own."""
        train = msgspec.structs.replace(self.recipe.train, epochs=spec.epochs, learning_rate=spec.learning_rate)
        return FitOptions(**msgspec.structs.asdict(train), bf16=self.bf16, seed=seed)

    def _untrained(self, material: Material) -> MultiTaskNet:
        learner = material.learner
        with torch.random.fork_rng():
            torch.manual_seed(self.recipe.seed)
            source = model_input(learner, material.splits.train[learner.input])
            recipe = self.recipe
            return build_net(recipe.net, recipe.tasks, source, learner.statistics, folder=recipe.folder)


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


def save_trained(folder: Path, net: MultiTaskNet, history: list[Epoch]) -> None:
    """Leave a trained network in a stage's folder."""
    save_weights(net, folder / WEIGHTS_FILE)
    write_atomically(folder / HISTORY_FILE, msgspec.json.encode(history))
