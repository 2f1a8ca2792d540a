"""Stages of one recipe in one cache: how each is found or made, and the first one, the data."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from mtl_edge.artifact import ModelInput
from mtl_edge.data.fingerprint import source_fingerprint, source_libraries
from mtl_edge.data.source import prepare
from mtl_edge.data.splits import Splits, load_splits_from
from mtl_edge.errors import needs_extra
from mtl_edge.preprocessing import Preprocessing
from mtl_edge.progress import console, spinner
from mtl_edge.provenance import canonical_json, code_hash, library_versions
from mtl_edge.recipe import Recipe
from mtl_edge.storage import Stage, StageCache, write_atomically
from mtl_edge.tasks import TargetStatistics, without_budgets
from mtl_edge.train.learner import Learner

TASK_CODE = ("tasks", "preprocessing")
CALIBRATION_BATCH = 32

_FACTS_FILE = "facts.json"


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


class CachedStages:
    """What all stages are made with.

    Args:
        recipe: what to do.
        cache: where finished stages are.
    """

    def __init__(self, recipe: Recipe, cache: StageCache) -> None:
        self.recipe = recipe
        self.cache = cache

    def data(self) -> Stage:
        """The splits, and what is fitted on them before training."""
        recipe = self.recipe

        def work(folder: Path) -> None:
            with spinner("data"):
                preprocessing = prepare(recipe, folder)
                train = load_splits_from(folder).train
                statistics = {task.name: task.fit(train[task.target]) for task in recipe.tasks}
                write_atomically(folder / _FACTS_FILE, canonical_json(Facts(preprocessing, statistics)))

        libraries = source_libraries(recipe)
        with needs_extra("data"):
            library_versions(libraries)
        return self.stage(
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

    def material(self, data: Stage) -> Material:
        """What the data stage left."""
        facts = msgspec.json.decode((data.folder / _FACTS_FILE).read_bytes(), type=Facts)
        learner = Learner(self.recipe.tasks, facts.statistics, facts.preprocessing, self.recipe.data.input)
        return Material(load_splits_from(data.folder), learner, data.digest)

    def stage(
        self,
        name: str,
        work: Callable[[Path], None],
        parts: Mapping[str, object],
        *,
        code: tuple[str, ...],
        libraries: tuple[str, ...],
    ) -> Stage:
        """A stage that follows from these parts, this code and these libraries."""
        return self.made(name, work, self.depends_on(parts, code=code, libraries=libraries))

    def depends_on(
        self, parts: Mapping[str, object], *, code: tuple[str, ...], libraries: tuple[str, ...]
    ) -> dict[str, object]:
        """All that a stage's result follows from."""
        return {
            **{key: msgspec.to_builtins(value) for key, value in parts.items()},
            "code": code_hash(("stages", *code)),
            "versions": library_versions(libraries),
        }

    def made(self, name: str, work: Callable[[Path], None], depends_on: Mapping[str, object]) -> Stage:
        """The stage, found or made."""
        found = self.cache.find(name, depends_on)
        if found is not None:
            console.print(f"  {name:<9} done before", style="dim")
            return found
        started = time.perf_counter()
        stage = self.cache.build(name, depends_on, work)
        console.print(f"  {name:<9} {time.perf_counter() - started:6.1f} s")
        return stage


def model_input(learner: Learner, raw: np.ndarray) -> ModelInput:
    """What a network of this learner reads, where raw samples are like these."""
    return ModelInput(
        name=learner.input,
        dtype=learner.preprocessing.dtype,
        shape=("batch", *raw.shape[1:]),
        preprocessing=learner.preprocessing,
    )
