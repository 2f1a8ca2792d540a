"""What ``bench`` does with a few models, and with folders of them. Imports nothing heavy before it is called."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from mtl_edge.bench.results import Result
    from mtl_edge.bench.settings import Settings
    from mtl_edge.report.table import Cell


def bench_models(
    models: tuple[Path, ...],
    against: Path | None,
    settings: "Settings",
    json_file: Path | None,
    plot_file: Path | None,
) -> bool:
    """Measure models that are all in memory at once; whether any failed."""
    import msgspec
    from rich.console import Console

    from mtl_edge.bench.contender import contenders
    from mtl_edge.bench.suite import benchmark
    from mtl_edge.errors import needs_extra
    from mtl_edge.report.details import detail_tables
    from mtl_edge.report.terminal import show
    from mtl_edge.storage import write_atomically

    if plot_file is not None:
        with needs_extra("report"):  # before hours of measuring, not after them
            from mtl_edge.report.sweep import draw
    named = contenders((*([against] if against else []), *models))
    measured = benchmark(named, base=named[0] if against else None, settings=settings)
    show(measured, Console(), details=detail_tables(measured, settings.scenario, soak=settings.duration_s > 0))
    if json_file is not None:
        write_atomically(json_file, msgspec.json.encode(measured))
        click.echo(f"samples  {json_file}")
    if plot_file is not None:
        write_atomically(plot_file, draw(measured, plot_file.suffix.lower()))
        click.echo(f"picture  {plot_file}")
    return bool(measured.failures)


def bench_folders(models: tuple[Path, ...], against: Path | None, settings: "Settings", json_file: Path | None) -> bool:
    """Measure any number of models, a few results in memory at a time; whether any failed."""
    import msgspec
    from rich.console import Console

    from mtl_edge.bench.contender import contenders
    from mtl_edge.bench.machine import this_machine
    from mtl_edge.bench.many import Shelf, first_that_loads, measure_many, models_in
    from mtl_edge.bench.monitor import Monitor
    from mtl_edge.bench.results import Benchmark, Failure
    from mtl_edge.report.benched import show_many
    from mtl_edge.report.table import cost_table, misplaced

    paths = [found for path in models for found in (models_in(path) if path.is_dir() else [path])]
    named = contenders((*([against] if against else []), *paths))
    base = named[0] if against else first_that_loads(named, settings)
    ordered = (base, *(model for model in named if model != base))
    machine, monitor = this_machine(), Monitor()
    shelf = Shelf.beside(json_file, settings, machine, base) if json_file else None
    rows: dict[str, tuple[Cell, ...]] = {}
    failures: list[Failure] = []
    warnings: list[str] = []
    first: Result | None = None
    for _, found in measure_many(ordered, base=base, settings=settings, monitor=monitor, shelf=shelf):
        if isinstance(found, Failure):
            failures.append(found)
            continue
        pair = (found,) if first is None else (first, found)
        first = pair[0]
        compared = Benchmark(machine=machine, base=base.name, results=pair)
        table = cost_table(compared)
        rows[found.name] = table.rows[-1]
        warnings += misplaced(msgspec.structs.replace(compared, results=(found,)))
    assert first is not None  # a base that cannot be measured is an error
    columns = cost_table(Benchmark(machine=machine, base=base.name, results=(first,))).columns
    in_order = [rows[model.name] for model in ordered if model.name in rows]
    show_many(columns, in_order, failures, base.name, monitor.conditions(), warnings, Console())
    if shelf is not None and json_file is not None:
        shelf.write(json_file, ordered, machine, monitor.conditions())
        click.echo(f"samples  {json_file}")
    return bool(failures)
