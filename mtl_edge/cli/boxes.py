"""``bench --on``: the same benchmark on other machines."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mtl_edge.errors import needs_extra

if TYPE_CHECKING:
    from mtl_edge.bench.settings import Settings

_OPTIONS = (
    click.option(
        "--on",
        multiple=True,
        metavar="BOX",
        help="Measure on this box instead: user@host:port, or adb, or adb:SERIAL.  [several times]",
    ),
    click.option(
        "--hosts", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A file of boxes, one a line."
    ),
    click.option(
        "--wheelhouse",
        type=click.Path(exists=True, file_okay=False, path_type=Path),
        help="A folder of wheels, for boxes without network.",
    ),
    click.option(
        "--keep-environment/--no-keep-environment",
        default=True,
        show_default=True,
        help="Leave the virtual environment on the boxes for the next time.",
    ),
    click.option(
        "--client",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="For adb: mtl_edge_bench, built for the device.",
    ),
    click.option(
        "--box-timeout",
        metavar="N",
        type=click.FloatRange(1),
        default=3600,
        show_default=True,
        help="Seconds after which a box has failed.",
    ),
)


def with_boxes(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say where else to measure."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def bench_boxes(
    models: tuple[Path, ...],
    against: Path | None,
    settings: Settings,
    json_file: Path | None,
    *,
    on: tuple[str, ...],
    hosts: Path | None,
    wheelhouse: Path | None,
    keep_environment: bool,
    client: Path | None,
    box_timeout: float,
) -> bool:
    """Measure on boxes, and show one column for each; gives whether something failed."""
    if any(path.is_dir() for path in models):
        raise click.UsageError("--on measures models, not folders of them")
    with needs_extra("remote"):
        import msgspec
        from rich.console import Console

        from mtl_edge.remote.boxes import benchmark_on
        from mtl_edge.remote.job import Job
        from mtl_edge.remote.target import parse_boxes
        from mtl_edge.report.boxes import show_boxes
        from mtl_edge.storage import write_atomically

    job = Job(
        models=models,
        against=against,
        settings=settings,
        wheelhouse=wheelhouse,
        keep_environment=keep_environment,
        client=client,
        timeout_s=box_timeout,
    )
    measured = benchmark_on(parse_boxes(on, hosts), job)
    show_boxes(measured, Console())
    if json_file is not None:
        write_atomically(json_file, msgspec.json.encode(measured))
        click.echo(f"samples  {json_file}")
    return not measured.complete
