"""Results that a benchmark might have given, and a browser to look at them with."""

import os
import shutil
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import pytest

from mtl_edge.artifact import Lineage, Manifest
from mtl_edge.bench.latency import Latency
from mtl_edge.bench.machine import Conditions, Machine
from mtl_edge.bench.memory import Memory
from mtl_edge.bench.results import Benchmark, ColdStart, Result
from mtl_edge.compress.outcome import Missed, Pruned, PrunedStep, Reached, Schedule
from mtl_edge.profile.results import Profile, ProfiledNode, TaskCost
from mtl_edge.quantize.audit import Audit, AuditedNode
from mtl_edge.quantize.damage import DamageMatrix, Form, LayerDamage
from mtl_edge.quantize.outcome import Outcome
from mtl_edge.quantize.refinements import Refinements
from mtl_edge.report.document import EpochRecord, RunReport
from mtl_edge.tasks import Budget, Multiclass, Noise, Regression, Task

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

INSTALL = "apt-get install --no-install-recommends chromium chromium-driver"

MACHINE = Machine(
    cpu="Test CPU",
    cores=4,
    isa=("avx2", "avx512_vnni"),
    memory_bytes=8 * 2**30,
    system="Linux x86_64",
    versions={"mtl-edge": "0.1.0", "onnxruntime": "1.32.0", "numpy": "2.4.6", "python": "3.11.7"},
)
TASKS: tuple[Task, ...] = (
    Multiclass(name="left", target="left", classes=10, max_drop="0.5pt"),
    Multiclass(name="right", target="right", classes=10, max_drop="0.5pt"),
    Regression(name="sum", target="sum", max_drop="4%"),
)
VARIANTS: dict[str, tuple[float, float, float, float, int, str | None, str]] = {
    # accuracy of left and right, MAE of sum, latency in ms, bytes, parent, step
    "dense": (0.9686, 0.9650, 0.5943, 0.150, 1_335_000, None, "train"),
    "dense-int8": (0.9688, 0.9656, 0.5930, 0.061, 351_000, "dense", "static int8"),
    "pruned": (0.9704, 0.9678, 0.6037, 0.050, 342_000, "dense", "prune + distill"),
    "pruned-int8": (0.9706, 0.9594, 0.6051, 0.032, 96_000, "pruned", "static int8"),
}
"""Of the last one, the right digit lost more than its budget; so the one before it is to be chosen."""


@pytest.fixture
def result(tiny_manifest: Manifest):  # type: ignore[no-untyped-def]
    """Make a result of the tiny model's two tasks: accuracy of ``kind``, MAE of ``size``."""

    def make(name: str, accuracy: float, mae: float, latency_ms: float = 1.0, file_bytes: int = 100) -> Result:
        return Result(
            name=name,
            paths=(name,),
            file_bytes=file_bytes,
            manifests=(tiny_manifest,),
            inputs="",
            cold_starts=(ColdStart(load_ms=1, first_run_ms=1, runtime_rss_bytes=100, peak_rss_bytes=300),),
            latencies=(Latency(threads=1, rounds_ms=((latency_ms,),) * 5, base_ms=(1.0,) * 5),),
            metrics={"kind": {"accuracy": accuracy}, "size": {"mae": mae}},
        )

    return make


def _manifest(variant: str, parameters: int) -> Manifest:
    *_, parent, step = VARIANTS[variant]
    steps, line = [step], parent
    while line is not None:
        *_, older, step = VARIANTS[line]
        steps, line = [step, *steps], older
    return Manifest(
        name="pairs",
        variant=variant,
        tasks=TASKS,
        parameters=parameters,
        inputs=(),
        opset=20,
        versions={"mtl-edge": "0.1.0", "torch": "2.13.0+cpu", "onnxruntime": "1.32.0"},
        lineage=Lineage(
            recipe_sha256="1" * 64,
            data_sha256="2" * 64,
            seed=0,
            steps=tuple(steps),
            parent=parent,
            parent_sha256=_sha256(parent) if parent else None,
        ),
        sha256=_sha256(variant),
    )


def _sha256(variant: str) -> str:
    return f"{list(VARIANTS).index(variant):064x}"


def _metrics(left: float, right: float, mae: float) -> dict[str, dict[str, float]]:
    digits = {
        name: {"accuracy": value, "macro_recall": value - 0.001, "macro_f1": value - 0.002}
        for name, value in (("left", left), ("right", right))
    }
    return {**digits, "sum": {"mae": mae, "mse": 2 * mae, "r2": 1 - mae / 10}}


def _measured(variant: str) -> Result:
    left, right, mae, latency, file_bytes, _, _ = VARIANTS[variant]
    rng = np.random.default_rng(list(VARIANTS).index(variant))
    base = VARIANTS["dense"][3]

    def samples(scale: float) -> tuple[tuple[float, ...], ...]:
        return tuple(tuple((scale * rng.lognormal(0, 0.08, 200)).tolist()) for _ in range(8))

    memory = tuple(
        Memory(
            arena=arena,
            runtime_bytes=55 * 2**20,
            weights_bytes=file_bytes,
            run_bytes=2**20 * (3 if arena else 1),
            load_peak_bytes=62 * 2**20 + file_bytes,
            run_peak_bytes=60 * 2**20,
        )
        for arena in (True, False)
    )
    return Result(
        name=variant,
        paths=(f"artifacts/{variant}/model.onnx",),
        file_bytes=file_bytes,
        manifests=(_manifest(variant, file_bytes // 4),),
        inputs="image (1, 1, 28, 56) uint8",
        cold_starts=tuple(
            ColdStart(
                load_ms=5.0 + step,
                first_run_ms=1.0,
                runtime_rss_bytes=55 * 2**20,
                peak_rss_bytes=62 * 2**20 + file_bytes,
            )
            for step in range(3)
        ),
        latencies=tuple(
            Latency(threads=threads, rounds_ms=samples(latency / threads), base_ms=(base / threads,) * 8)
            for threads in (1, 2)
        ),
        metrics=_metrics(left, right, mae),
        memory=memory,
    )


def _step(parameters: int, left: float, mae: float, ratio: float, *missed: Missed) -> PrunedStep:
    reached = Reached(target="0.79x latency", of="latency", ratio=ratio, holds=True, tried=5, dense_ms=1.0)
    metrics = _metrics(left, 0.9, mae)
    return PrunedStep(parameters=parameters, epochs=2, metrics=metrics, reached=reached, missed=missed)


@pytest.fixture(scope="session")
def finished() -> RunReport:
    """A run of four variants and three tasks with budgets: ``pruned`` is the fastest that keeps them all.

    Of three steps of pruning two were taken, since a task lost too much in the second; another one's budget is less
    than the noise.
    """
    schedule = Schedule(
        planned=3,
        parameters=1000,
        metrics=_metrics(0.95, 0.9, 1.0),
        steps=(_step(700, 0.948, 1.02, 0.78), _step(500, 0.941, 1.1, 0.61, Missed("left", Budget(0.5, "pt"), 0.9))),
        kept=1,
    )
    outcome = Outcome(
        target="x86-vnni",
        method="mse",
        refinements=Refinements(),
        latency_ratio=0.4,
        trials=3,
        noise_db={"left": 40.0, "right": 41.0, "sum": 44.0},
        remarks=(),
        audit=Audit((AuditedNode("QLinearConv", "conv", "int8"), AuditedNode("Softmax", "last", "float"))),
    )
    losses = {"left": 0.5, "right": 0.4, "sum": 0.3}
    epochs = tuple(
        EpochRecord(losses=losses, metrics=_metrics(0.9 + step / 100, 0.91 + step / 100, 1 - step / 10))
        for step in range(5)
    )
    return RunReport(
        name="pairs",
        recipe='{"name": "pairs", "seed": 0, "tasks": [{"kind": "regression", "name": "sum", "target": "sum"}], '
        '"data": {"source": "npz:pairs.npz", "text": null}, "net": {"trunk": "resnet"}}',
        training={"dense": epochs, "pruned": epochs[:3]},
        parity={"dense": 1e-6, "pruned": 2e-6},
        pruned={"pruned": Pruned(importance="taylor", groups=(), schedule=schedule)},
        noise=(Noise(task="right", budget=Budget(0.5, "pt"), split="test", samples=400, error=0.7),),
        quantized={"dense-int8": outcome, "pruned-int8": outcome},
        benchmark=Benchmark(
            machine=MACHINE,
            base="dense",
            results=tuple(_measured(variant) for variant in VARIANTS),
            conditions=Conditions(governor="performance", frequency_mhz=(2900.0, 3000.0), other_load=0.05),
        ),
    )


@pytest.fixture(scope="session")
def damage() -> DamageMatrix:
    """A matrix of three layers by the run's outputs."""
    everything = {"left": 30.0, "right": 18.0, "sum": 41.0}
    layers = tuple(
        LayerDamage(
            layer=layer,
            kind="Conv",
            serves=serves,
            alone=Form(everything),
            others=Form({name: level + relief for name, level in everything.items()}),
        )
        for layer, serves, relief in (
            ("stem.conv", ("left", "right", "sum"), 4.0),
            ("right.head", ("right",), 1.5),
            ("sum.head", ("sum",), 0.2),
        )
    )
    return DamageMatrix(
        path="dense.onnx", target="x86-vnni", method="mse", fp32=None, everything=Form(everything), layers=layers
    )


@pytest.fixture(scope="session")
def profile() -> Profile:
    """Where the time of one model goes: a trunk and a head for each task."""
    parts = {"trunk": 0.08, "left": 0.02, "right": 0.02, "sum": 0.01}
    return Profile(
        path="artifacts/dense/model.onnx",
        file_bytes=1_335_000,
        threads=1,
        inputs="image (1, 1, 28, 56) uint8",
        latency_ms=(0.13, 0.14, 0.13),
        profiled_ms=0.2,
        nodes=tuple(
            ProfiledNode(
                name=f"{part}/conv",
                op_type="Conv",
                layer=f"{part}/conv",
                part=part,
                weight_bytes=4000,
                ms=ms,
                profiled_ms=ms,
                output_bytes=1000,
            )
            for part, ms in parts.items()
        ),
        tasks=tuple(
            TaskCost(name=name, head_ms=parts[name], head_weight_bytes=4000, saved_ms=(0.01, 0.02), saved_bytes=3000)
            for name in ("left", "right", "sum")
        ),
    )


@pytest.fixture
def bench_of() -> Callable[..., Benchmark]:
    """A benchmark of some results, the first of which is the base."""

    def make(*results: Result, machine: Machine = MACHINE) -> Benchmark:
        return Benchmark(machine=machine, base=results[0].name, results=results)

    return make


@pytest.fixture(scope="session")
def browser() -> "Iterator[Chrome]":
    """A headless Chromium, started once; without one, tests are skipped, but in CI they fail."""
    binary, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if binary is None or driver is None:
        missing = f"needs a headless browser: {INSTALL}"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for argument in ("headless=new", "no-sandbox", "disable-dev-shm-usage", "disable-gpu", "hide-scrollbars"):
        options.add_argument(f"--{argument}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    started = webdriver.Chrome(options=options, service=Service(driver))
    yield started
    started.quit()
