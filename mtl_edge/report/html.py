"""The report as one page that needs nothing but itself: no script library, no font, no request."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import jinja2

from mtl_edge.bench.results import Benchmark
from mtl_edge.profile.results import Profile
from mtl_edge.remote.results import Boxes
from mtl_edge.report.boxes import box_tables
from mtl_edge.report.charts.frontier import AGAINST, frontier
from mtl_edge.report.charts.latency import distributions
from mtl_edge.report.charts.memory import memory, swatches
from mtl_edge.report.charts.paint import PAGE, shape, to_svg
from mtl_edge.report.csv_rows import to_csv
from mtl_edge.report.details import detail_tables, remarks
from mtl_edge.report.fingerprint import fingerprint
from mtl_edge.report.footprint import memory_stacks
from mtl_edge.report.headline import headline
from mtl_edge.report.lineage import steps
from mtl_edge.report.methods import methods_table
from mtl_edge.report.profile_tables import parts_by_model, profile_tables
from mtl_edge.report.reproduce import Reproduction, of_benchmark, of_run
from mtl_edge.report.sharing import sharing_tables
from mtl_edge.report.sparse import sparse_tables
from mtl_edge.report.table import Cell, Table, comparison, warnings
from mtl_edge.report.teachers import teacher_tables
from mtl_edge.report.terminal import caption
from mtl_edge.report.verdicts import chosen

if TYPE_CHECKING:
    from mtl_edge.quantize.damage import DamageMatrix
    from mtl_edge.report.charts.training import Curve
    from mtl_edge.report.document import RunReport

_MOST = 24
"""Models that have a row of their own in pictures; the tables have all."""


@dataclass(frozen=True)
class Additions:
    """What a page can show beside a benchmark, where it was measured."""

    damage: "DamageMatrix | None" = None
    profiles: tuple[Profile, ...] = ()
    boxes: Boxes | None = None


NOTHING = Additions()


def run_to_html(report: "RunReport", added: Additions = NOTHING) -> str:
    """The page of a finished run; profiles that are given take the place of its own."""
    from mtl_edge.report.charts.training import curves
    from mtl_edge.report.outcomes import outcome_tables, run_notes, run_warnings
    from mtl_edge.report.schedule import schedule_tables

    benchmark = report.benchmark
    names = [result.name for result in benchmark.results]
    trained = {name: records for name, records in report.training.items() if name in names}
    return _render(
        report.name,
        benchmark,
        of_run(report.name, report.recipe, benchmark),
        added if added.profiles else replace(added, profiles=report.profiles.found),
        report=report,
        schedules=schedule_tables(report.pruned, benchmark.base_result.tasks),
        notes=run_notes(report),
        quantized=outcome_tables(report.quantized),
        outcomes=run_warnings(report),
        curves=curves(trained, benchmark.base_result.tasks, names, PAGE),
        trained=[network for network in trained if network in names],
        taught=teacher_tables(report.validation, benchmark.base_result.tasks),
    )


def bench_to_html(name: str, benchmark: Benchmark, added: Additions = NOTHING) -> str:
    """The page of a benchmark of any models."""
    return _render(name, benchmark, of_benchmark(benchmark), added)


def _render(
    name: str,
    benchmark: Benchmark,
    reproduction: Reproduction,
    added: Additions,
    *,
    report: "RunReport | None" = None,
    schedules: Sequence[Table] = (),
    notes: Sequence[str] = (),
    quantized: Sequence[Table] = (),
    outcomes: Sequence[str] = (),
    curves: Sequence["Curve"] = (),
    trained: Sequence[str] = (),
    taught: Sequence[Table] = (),
) -> str:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("mtl_edge.report", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    names = [result.name for result in benchmark.results]
    methods = methods_table(benchmark)
    *gives, costs = comparison(benchmark)
    drawn = benchmark.results[:_MOST]
    stacks = memory_stacks(drawn)
    parts = parts_by_model(added.profiles)
    best = chosen(benchmark)
    return environment.get_template("report.html.j2").render(
        name=name,
        benchmark=benchmark,
        report=report,
        headline=headline(benchmark),
        chosen=best.name if best else None,
        warnings=[*warnings(benchmark), *outcomes],
        series={name: (index % len(PAGE.series), shape(index)) for index, name in enumerate(names)},
        against=AGAINST,
        panels=frontier(benchmark, PAGE),
        tasks=[methods] if methods else gives,
        costs=costs,
        sparse=sparse_tables(benchmark),
        details=detail_tables(benchmark, "server" if any(result.server for result in benchmark.results) else "latency"),
        sharing=sharing_tables(benchmark),
        steps=steps(benchmark),
        distributions=distributions(benchmark, drawn, PAGE),
        memory=memory(stacks, PAGE),
        memory_parts=swatches(list(next(iter(stacks.values()))), PAGE),
        left_out=len(benchmark.results) - len(drawn),
        profile_picture=memory(parts, PAGE, unit="ms") if parts else None,
        profile_parts=swatches(list(next(iter(parts.values()))), PAGE) if parts else {},
        profiles=profile_tables(added.profiles),
        damage=_damage(added.damage),
        boxes=_boxes(added.boxes) if added.boxes is not None else None,
        schedules=schedules,
        notes=notes,
        quantized=quantized,
        curves=curves,
        trained=trained,
        taught=taught,
        machine=fingerprint(benchmark),
        models=_models(benchmark),
        reproduction=reproduction,
        caption="; ".join([caption(benchmark), *remarks(benchmark)]),
        csv=base64.b64encode(to_csv(benchmark, report.validation if report else {}).encode()).decode(),
    )


@dataclass(frozen=True)
class _Boxes:
    """``shown`` is the box that the other sections are of; ``facts`` is what each box is, or why it has no figures."""

    shown: str
    tables: tuple[Table, ...]
    facts: dict[str, dict[str, str]]


def _boxes(measured: Boxes) -> _Boxes:
    facts = {
        box.name: fingerprint(box.benchmark) if box.benchmark is not None else {"failed": box.failure}
        for box in measured.boxes
    }
    shown = next(box.name for box in measured.boxes if box.benchmark is not None)
    return _Boxes(shown, tuple(box_tables(measured)), facts)


def _damage(matrix: "DamageMatrix | None") -> dict[str, str]:
    """Title -> heat map."""
    if matrix is None:
        return {}
    from mtl_edge.report.charts.heat import damage_panels

    return {title: to_svg(panel, PAGE) for title, panel in damage_panels(matrix, PAGE, most=_MOST).items()}


def _models(benchmark: Benchmark) -> Table | None:
    """What identifies each model; None where no model has a manifest."""
    rows = tuple(
        (
            Cell(result.name if len(result.manifests) == 1 else f"{result.name}: {manifest.tasks[0].name}"),
            Cell(f"{manifest.parameters:,}", sort=manifest.parameters),
            Cell(" → ".join(manifest.lineage.steps)),
            Cell(manifest.target or ""),
            Cell(f"{manifest.sha256[:16]}…"),
        )
        for result in benchmark.results
        for manifest in result.manifests
    )
    return Table("Models", ("model", "parameters", "steps", "target", "SHA-256"), rows) if rows else None
