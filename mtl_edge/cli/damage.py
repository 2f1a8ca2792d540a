"""``damage``: which layer hurts which task."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click

from mtl_edge.cli.options import (
    MODEL,
    Guarded,
    with_cache,
    with_calib,
    with_method,
    with_rounding,
    with_samples,
    with_target,
)
from mtl_edge.errors import needs_extra


@click.command(cls=Guarded, short_help="Find the layer whose int8 hurts a task.")
@click.argument("model", type=MODEL)
@with_calib
@click.option(
    "--data",
    type=click.Path(exists=True, path_type=Path),
    help="Labelled samples, likewise: with them each task's metrics are computed, too.",
)
@click.option(
    "--exact",
    metavar="N",
    type=click.IntRange(1),
    default=5,
    show_default=True,
    help="Of how many layers, the worst by noise.",
)
@click.option("--all", "every", is_flag=True, help="Compute the metrics of every layer.")
@click.option(
    "--by",
    type=click.Choice(["layer", "stage", "part"]),
    default="layer",
    show_default=True,
    help="What is quantized alone: each layer; or the trunk, what some tasks share, and each head; or their stages.",
)
@with_target
@with_method
@with_rounding
@with_samples
@with_cache
@click.option("--picture", type=click.Path(dir_okay=False, path_type=Path), help="Draw a heat map, an .svg.")
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Write all that was found.")
def damage(
    model: Path,
    calib: Path,
    data: Path | None,
    exact: int,
    every: bool,
    by: Any,
    target: Any,
    method: Any,
    rounding: Any,
    samples: int,
    cache: bool,
    picture: Path | None,
    json_file: Path | None,
) -> None:
    """Find out which layer of MODEL, any fp32 .onnx, hurts which output in int8.

    Each layer is quantized alone, and all but that one. What was measured is kept, so that a run that was interrupted
    goes on when it is started again. Needs no torch.
    """
    with needs_extra("quantize"):
        import msgspec
        from rich.console import Console

        from mtl_edge.quantize.damage import measure_damage
        from mtl_edge.quantize.source import arrays_of, calibrated_source
        from mtl_edge.quantize.target import this_target
        from mtl_edge.report.damage import show_damage
        from mtl_edge.storage import cache_folder, write_atomically
    if picture is not None:
        with needs_extra("report"):
            # at once, not after all layers have been measured
            from mtl_edge.report.charts.heat import damage_svg
            from mtl_edge.report.charts.paint import FILE
    kept = cache_folder() if cache else None
    with (
        calibrated_source(
            model, calib, samples=samples, batch_size=32, seed=0, folder=kept and kept / "calibration"
        ) as source,
        arrays_of(data) if data is not None else nullcontext() as test,
    ):
        found = measure_damage(
            model,
            source,
            target=target or this_target(),
            method=method,
            test=test,
            exact=None if every else exact,
            by=by,
            rounding=rounding,
            folder=kept and kept / "damage",
        )
    show_damage(found, source.manifest.tasks if source.manifest is not None else (), Console())
    if picture is not None:
        write_atomically(picture, damage_svg(found, FILE))
    if json_file is not None:
        write_atomically(json_file, msgspec.json.format(msgspec.json.encode(found), indent=1))
