"""Stages that take channels and blocks off a network, and what samples can tell of its losses."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from mtl_edge.bench.machine import TargetName, this_machine
from mtl_edge.compress.candidates import Candidates
from mtl_edge.compress.evidence import Evidence
from mtl_edge.compress.outcome import Missed, Pruned, PrunedStep, Schedule
from mtl_edge.compress.plan import Planner
from mtl_edge.compress.schedule import Step, missed_budgets, steps_of, whole_course
from mtl_edge.compress.trial import Trial
from mtl_edge.progress import spinner
from mtl_edge.quantize.target import this_target
from mtl_edge.recipe import Recipe
from mtl_edge.stages.cached import CALIBRATION_BATCH, TASK_CODE
from mtl_edge.stages.training import HISTORY_FILE, TRAINING_CODE, WEIGHTS_FILE, Network, TrainingStages, save_trained
from mtl_edge.storage import Stage, cache_folder, write_atomically
from mtl_edge.tasks import Noise, budget_weights, budgets_of, loss_noise, without_budgets
from mtl_edge.train.measure import answers

PRUNED_FILE = "pruned.json"
_NOISE_FILE = "noise.json"


def prune(whole: Network, data: Stage, teachers: Sequence[Network], *, base: Network | None = None) -> Stage:
    """A network with fewer channels or blocks, fine-tuned with teachers (see :meth:`TrainingStages.teachers`).

    Where the recipe asks for several steps each is a stage of its own, and the last stage is what came of them.

    Args:
        whole: the network to prune.
        data: the samples.
        teachers: those who teach it.
        base: the network from which the tasks' losses are counted; None is the one to prune.
    """
    stages, recipe, spec = whole.stages, whole.stages.recipe, whole.stages.recipe.compress.prune
    steps = steps_of(spec)
    if len(steps) == 1 and spec.stop == "never":
        return _prune_step("prune", steps[0], whole, whole, data, teachers)
    done = [whole]
    before = (base or whole).metrics
    missed: list[tuple[Missed, ...]] = []
    for step in steps:
        title = f"prune-{step.number}"
        done.append(Network(title, stages, _prune_step(title, step, whole, done[-1], data, teachers)))
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
        schedule = Schedule(
            of=whole.name,
            planned=len(steps),
            parameters=whole.net(data).parameter_count,
            metrics=before,
            steps=records,
            kept=kept,
        )
        write_atomically(folder / PRUNED_FILE, msgspec.json.encode(whole_course(parts, schedule)))
        for file in (WEIGHTS_FILE, HISTORY_FILE):
            write_atomically(folder / file, (done[kept].stage.folder / file).read_bytes())

    return stages.stage(
        "prune",
        work,
        {
            "schedule": spec,
            "of": whole.name,
            "networks": [each.stage.digest for each in done],
            "before": before,
            "missed": missed,
        },
        code=("compress", "recipe", "nets", "train/selection.py", *TASK_CODE),
        libraries=(),
    )


def _prune_step(
    name: str, step: Step, whole: Network, parent: Network, data: Stage, teachers: Sequence[Network]
) -> Stage:
    """One step: a parent with less of it, down to a share of the whole network, fine-tuned."""
    stages, recipe, spec = whole.stages, whole.stages.recipe, step.of(whole.stages.recipe.compress.prune)
    depends_on = stages.depends_on(
        {
            **stages.training_parts(data, teachers),
            "prune": spec,
            "tasks": recipe.tasks if spec.across == "budget" else without_budgets(recipe.tasks),
            "parent": parent.stage.digest,
            **({"step": [step.number, step.planned], "dense": whole.stage.digest} if step.planned > 1 else {}),
            **({"machine": this_machine(), "int8": int8_target(recipe)} if spec.target is not None else {}),
        },
        code=("compress", *(("export", "quantize") if spec.target is not None else ()), *TRAINING_CODE),
        libraries=(*stages.libraries, "torch-pruning"),
    )

    def work(folder: Path) -> None:
        material = stages.material(data)
        splits, learner = material.splits, material.learner
        candidates = Candidates(
            net=whole.net(data),
            example=learner.inputs(splits.calib, slice(CALIBRATION_BATCH)),
            input_name=recipe.data.input,
            rankings={},
            target=int8_target(recipe),
            folder=cache_folder() / "shapes",
        )
        options = stages.options(spec, recipe.seed + step.number)
        lesson = stages.lesson(data, teachers)
        planner = Planner(
            spec,
            Evidence(learner, splits.train, recipe.train.batch_size),
            budget_weights(recipe.tasks) if spec.across == "budget" else recipe.train.weights,
            Trial(learner, splits, options, lesson, stages.cache.resume_folder(name, depends_on)),
            share=step.share,
        )
        if step.number > 1:
            candidates = candidates.thinner(parent.net(data))
        net, found = planner.prune(candidates)
        write_atomically(folder / PRUNED_FILE, msgspec.json.encode(found))
        title = "fine-tune" if step.planned == 1 else f"fine-tune {step.number}/{step.planned}"
        history = stages.fit(name, depends_on, net, material, options, title=title, teacher=lesson)
        save_trained(folder, net, history)

    return stages.made(name, work, depends_on)


def noise_of_budgets(stages: TrainingStages, data: Stage, dense: Stage, other: Network) -> tuple[Noise, ...]:
    """What the validation and the test samples can tell of how much another network loses, task by task."""
    recipe = stages.recipe
    budgets = budgets_of(recipe.tasks)
    if not budgets:
        return ()

    def work(folder: Path) -> None:
        material, found = stages.material(data), []
        nets = (stages.trained(data, dense), other.net(data))
        splits = {"validation": material.splits.val, "test": material.splits.test}
        with spinner("noise of budgets"):
            for split, samples in splits.items():
                before, after = (answers(net, material.learner, samples, recipe.train.batch_size) for net in nets)
                found += [
                    loss_noise(task, budget, before[task.name], after[task.name], samples[task.target], split=split)
                    for task in recipe.tasks
                    if (budget := budgets.get(task.name)) is not None
                ]
        write_atomically(folder / _NOISE_FILE, msgspec.json.encode(found))

    stage = stages.stage(
        "noise",
        work,
        {"tasks": recipe.tasks, "data": data.digest, "dense": dense.digest, "other": other.stage.digest},
        code=("train", "nets", "recipe", "data/splits.py", *TASK_CODE),
        libraries=("torch", "numpy", "scikit-learn"),
    )
    return msgspec.json.decode((stage.folder / _NOISE_FILE).read_bytes(), type=tuple[Noise, ...])


def int8_target(recipe: Recipe) -> TargetName:
    """The kind of processor that int8 models are made for."""
    target = recipe.compress.quantize.target
    return this_target() if target == "this-box" else target
