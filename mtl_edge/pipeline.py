"""The straight line from a recipe to a report: data -> train -> prune -> export -> quantize -> bench -> report."""

import itertools
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec

from mtl_edge.artifact import MANIFEST_FILE, MODEL_FILE
from mtl_edge.bench.contender import Contender
from mtl_edge.bench.results import Benchmark
from mtl_edge.compress.outcome import Pruned, Sparsified, Withheld
from mtl_edge.profile.results import Profiles
from mtl_edge.progress import console, spinner
from mtl_edge.provenance import canonical_json, recipe_body
from mtl_edge.quantize.outcome import Outcome
from mtl_edge.recipe import Recipe
from mtl_edge.recipe.alone import alone
from mtl_edge.recipe.compress import MADE_BY
from mtl_edge.report.document import EpochRecord, RunReport
from mtl_edge.report.files import run_files
from mtl_edge.report.sharing import SINGLE_TASK
from mtl_edge.stages import BENCHMARK_FILE, PARITY_FILE, PROFILES_FILE, QUANTIZED_FILE, WITHHELD_FILE, Stages
from mtl_edge.storage import Stage, StageCache, exclusive, sweep, write_atomically
from mtl_edge.tasks import Task
from mtl_edge.train.device import find_device
from mtl_edge.train.distributed import FollowerCache, joined
from mtl_edge.training_stages import PRUNED_FILE, SPARSIFIED_FILE, WEIGHTS_FILE, Network
from mtl_edge.variants import Networks, make_variants

_Kind = TypeVar("_Kind")


@dataclass(frozen=True)
class Trained:
    """A dense network: its tasks, its weights, and its metrics on the validation samples, by task and name."""

    tasks: tuple[Task, ...]
    weights: Path
    metrics: dict[str, dict[str, float]]


def train(
    recipe: Recipe, workdir: Path, *, log_dir: Path | None = None, single_task: bool = False
) -> dict[str, Trained]:
    """Train the dense network only, or one for each task alone; :func:`run` goes on from there.

    Under ``torchrun``, all of its processes train together.

    Args:
        recipe: from :func:`mtl_edge.recipe.load_recipe`.
        workdir: where to work.
        log_dir: where TensorBoard's files go; None writes them to ``tensorboard/`` in the workdir where the recipe
            asks for them.
        single_task: train a network of the same trunk for each task, in place of the one for all.

    Returns:
        What was trained: ``dense``, or ``single-task/TASK`` for each task. Nothing in the processes that only help.

    Raises:
        MtlEdgeError: anything that the caller can mend.
    """
    named = {"dense": recipe}
    if single_task:
        named = {f"{SINGLE_TASK}/{task.name}": alone(recipe, task) for task in recipe.tasks}
    log_dir = log_dir or _log_dir(recipe, workdir)
    with joined(find_device(recipe.train.device)) as ranks:
        console.quiet = not ranks.leads
        with exclusive(workdir) if ranks.leads else nullcontext():
            cache = (StageCache if ranks.leads else FollowerCache)(workdir / "stages")
            stages = Stages(recipe, cache, ranks=ranks)
            if ranks.leads:
                sweep(workdir / "stages")
                data = stages.data()
                ranks.wait()
            else:
                ranks.wait()
                data = stages.data()
            finished: list[Network] = []
            for name, part in named.items():
                if single_task:
                    console.print(name)
                own = stages.beside(part, log_dir=log_dir and (log_dir / name if single_task else log_dir))
                finished.append(Network(name, own, own.train(data)))
    return {network.name: _trained(network) for network in finished} if ranks.leads else {}


def _trained(network: Network) -> Trained:
    return Trained(network.stages.recipe.tasks, network.stage.folder / WEIGHTS_FILE, network.metrics)


def run(recipe: Recipe, workdir: Path) -> RunReport:
    """Do everything that a recipe says, or what is still missing of it.

    Writes ``artifacts/<variant>/`` and ``report.{json,md,svg,csv,html}`` into the workdir; finished stages stay below
    ``stages/``.

    Args:
        recipe: from :func:`mtl_edge.recipe.load_recipe`.
        workdir: where to work; several recipes may share a folder, one after the other.

    Raises:
        MtlEdgeError: anything that the caller can mend; finished stages are kept.
    """
    with exclusive(workdir):
        for folder in (workdir, workdir / "stages", *(workdir / "artifacts").rglob("*")):
            sweep(folder)
        cache = StageCache(workdir / "stages")
        log_dir = _log_dir(recipe, workdir)
        stages = Stages(recipe, cache, log_dir=log_dir)
        data = stages.data()
        lines = {"": _line(stages, data)}
        if recipe.single_task:
            for task in recipe.tasks:
                name = f"{SINGLE_TASK}/{task.name}"
                console.print(name)
                lines[f"{name}/"] = _line(Stages(alone(recipe, task), cache, log_dir=log_dir and log_dir / name), data)
        dense, *others = lines[""].networks.variants
        noise = stages.noise(data, dense.stage, others[-1]) if others else ()
        measured = stages.bench(data, _contenders(lines))
        with spinner("report"):
            report = msgspec.structs.replace(_report(recipe, lines, measured), noise=noise)
            _publish(report, lines, workdir)
    return report


@dataclass(frozen=True)
class _Line:
    """The finished stages of one recipe's networks."""

    recipe: Recipe
    networks: Networks
    exported: Stage
    quantized: Stage | None

    def folder(self, variant: str) -> Path:
        """Where a variant's artifact is."""
        stage = self.quantized if variant.endswith("-int8") and self.quantized is not None else self.exported
        return stage.folder / variant

    @property
    def variants(self) -> tuple[str, ...]:
        """Those that there are: what is slower than what it comes from is withheld."""
        return tuple(variant for variant in self.recipe.compress.variants if self.folder(variant).is_dir())


def _line(stages: Stages, data: Stage) -> _Line:
    networks = make_variants(stages, data)
    exported = stages.export(data, networks.variants)
    int8 = "quantize" in stages.recipe.compress.order
    quantized = stages.quantize(data, exported, networks) if int8 else None
    return _Line(stages.recipe, networks, exported, quantized)


def _contenders(lines: Mapping[str, _Line]) -> list[Contender]:
    """The multi-task variants; then, of each variant, all single-task models together."""
    multi, *singles = lines.values()
    found = [Contender(variant, (multi.folder(variant) / MODEL_FILE,)) for variant in multi.variants]
    if singles:
        found += [
            Contender(f"{SINGLE_TASK}/{variant}", tuple(line.folder(variant) / MODEL_FILE for line in singles))
            for variant in multi.recipe.compress.variants
            if all(variant in line.variants for line in singles)
        ]
    return found


def _report(recipe: Recipe, lines: Mapping[str, _Line], measured: Stage) -> RunReport:
    training: dict[str, tuple[EpochRecord, ...]] = {}
    validation: dict[str, dict[str, dict[str, float]]] = {}
    parity: dict[str, float] = {}
    quantized: dict[str, Outcome] = {}
    pruned: dict[str, Pruned] = {}
    sparse: dict[str, Sparsified] = {}
    withheld: dict[str, Withheld] = {}
    for prefix, line in lines.items():
        for network in (*line.networks.variants, *line.networks.teachers):
            training[prefix + network.name] = network.history
            validation[prefix + network.name] = network.metrics
            if (told := network.stage.folder / PRUNED_FILE).exists():
                pruned[prefix + network.name] = _read(told, Pruned)
            if (told := network.stage.folder / SPARSIFIED_FILE).exists():
                sparse[prefix + network.name] = _read(told, Sparsified)
        parity |= _named(prefix, _read(line.exported.folder / PARITY_FILE, dict[str, float]))
        withheld |= _named(prefix, _read(line.exported.folder / WITHHELD_FILE, dict[str, Withheld]))
        if line.quantized is not None:
            quantized |= _named(prefix, _read(line.quantized.folder / QUANTIZED_FILE, dict[str, Outcome]))
            withheld |= _named(prefix, _read(line.quantized.folder / WITHHELD_FILE, dict[str, Withheld]))
    return RunReport(
        name=recipe.name,
        recipe=msgspec.json.format(canonical_json(recipe_body(recipe)), indent=2).decode(),
        training=training,
        validation=validation,
        parity=parity,
        pruned=pruned,
        sparse=sparse,
        withheld=withheld,
        quantized=quantized,
        benchmark=_read(measured.folder / BENCHMARK_FILE, Benchmark),
        profiles=_read(measured.folder / PROFILES_FILE, Profiles),
    )


def _read(file: Path, kind: type[_Kind]) -> _Kind:
    return msgspec.json.decode(file.read_bytes(), type=kind)


def _named(prefix: str, found: Mapping[str, _Kind]) -> dict[str, _Kind]:
    return {prefix + name: value for name, value in found.items()}


def _log_dir(recipe: Recipe, workdir: Path) -> Path | None:
    return workdir / "tensorboard" if recipe.train.tensorboard else None


def _publish(report: RunReport, lines: Mapping[str, _Line], workdir: Path) -> None:
    """Put the results where people look for them; each file is replaced as a whole, and variants of before leave."""
    fp32 = ("dense", *MADE_BY.values())
    known = (*fp32, *(f"{name}-int8" for name in fp32))
    for (prefix, line), variant, file in itertools.product(lines.items(), known, (MODEL_FILE, MANIFEST_FILE)):
        place = workdir / "artifacts" / prefix / variant / file
        if variant in line.variants:
            write_atomically(place, (line.folder(variant) / file).read_bytes())
        else:
            place.unlink(missing_ok=True)
    write_atomically(workdir / "report.json", msgspec.json.encode(report))
    for name, text in run_files(report, "report").items():
        write_atomically(workdir / name, text)
