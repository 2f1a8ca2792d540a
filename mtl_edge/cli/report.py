"""``report``: the page, Markdown and CSV of a run or of a benchmark."""

from pathlib import Path

import click

from mtl_edge.cli.options import EXISTING
from mtl_edge.errors import needs_extra


@click.command(short_help="Write a page, Markdown, a picture and CSV of results.")
@click.argument("results", type=click.Path(exists=True, path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder to write to.  [default: where the results are]",
)
@click.option("--damage", type=EXISTING, help="Show a layer by task matrix, too: what damage --json wrote.")
@click.option(
    "--profile",
    "profiles",
    type=EXISTING,
    multiple=True,
    help="Show where a model's time goes, too: what inspect --profile --json wrote.  [several times]",
)
def report(results: Path, output: Path | None, damage: Path | None, profiles: tuple[Path, ...]) -> None:
    """Write report.html, .md, .svg and .csv of RESULTS.

    RESULTS is the folder of a run, its report.json, or what bench --json wrote, on this box or on several; the files of
    the latter have its name.
    The page needs nothing but itself.
    """
    with needs_extra("report"):
        from mtl_edge.report.files import bench_files, run_files
        from mtl_edge.report.html import Additions
        from mtl_edge.report.read import decode, read_profile, read_results
        from mtl_edge.storage import write_atomically

    found = read_results(results)
    profiled = tuple(read_profile(path) for path in profiles)
    matrix = None
    if damage is not None:
        with needs_extra("quantize"):
            from mtl_edge.quantize.damage import DamageMatrix
        matrix = decode(damage, damage.read_bytes(), DamageMatrix)
    if found.run is None:
        added = Additions(damage=matrix, profiles=profiled, boxes=found.boxes)
        files = bench_files(found.name, found.benchmark, found.path.stem, added)
    else:
        with needs_extra("quantize"):
            from mtl_edge.report.document import RunReport
        whole = decode(found.path, found.run, RunReport)
        files = run_files(whole, found.path.stem, Additions(damage=matrix, profiles=profiled))
    folder = output or found.path.parent
    for name, content in files.items():
        write_atomically(folder / name, content)
        click.echo(folder / name)
