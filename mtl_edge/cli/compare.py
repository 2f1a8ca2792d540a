"""``compare``: two runs, or two benchmarks, of one machine or of two."""

import sys
from pathlib import Path

import click

_RESULTS = click.Path(exists=True, path_type=Path)


@click.command(short_help="Say what became better or worse from one result to another.")
@click.argument("before", type=_RESULTS)
@click.argument("after", type=_RESULTS)
@click.option(
    "--max-drop",
    multiple=True,
    metavar="[TASK=]DROP",
    help="How much worse a task's first metric may become, as in 2%, or left=0.5pt for one task.  [default: 1%; "
    "several times]",
)
@click.option(
    "--latency",
    metavar="N",
    type=click.FloatRange(0),
    default=5.0,
    show_default=True,
    help="Per cent that a median may be slower.",
)
@click.option(
    "--memory",
    metavar="N",
    type=click.FloatRange(0),
    default=10.0,
    show_default=True,
    help="Per cent more that a model may need.",
)
@click.option(
    "--size",
    metavar="N",
    type=click.FloatRange(0),
    default=1.0,
    show_default=True,
    help="Per cent that a file may be larger.",
)
@click.option(
    "--across-machines",
    is_flag=True,
    help="Judge latency and memory although the processors differ; else they are only shown.",
)
@click.option(
    "--box",
    "boxes",
    metavar="BOX",
    multiple=True,
    help="Of results of several boxes, the one to compare; given twice, that of BEFORE and that of AFTER.",
)
@click.option("--fail-on-regression", is_flag=True, help="Exit with 1 where something became worse.")
@click.option(
    "--markdown", type=click.Path(dir_okay=False, path_type=Path), help="Write the comparison for a pull request."
)
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Write all changes.")
def compare(
    before: Path,
    after: Path,
    max_drop: tuple[str, ...],
    latency: float,
    memory: float,
    size: float,
    across_machines: bool,
    boxes: tuple[str, ...],
    fail_on_regression: bool,
    markdown: Path | None,
    json_file: Path | None,
) -> None:
    """Compare the models of BEFORE and AFTER: metrics, latency, memory, size.

    Each is the folder of a run, its report.json, or what bench --json wrote. Models are matched by their names. A
    latency is worse if the 99 % intervals of the medians are apart, and the medians by more than --latency.
    """
    import msgspec
    from rich.console import Console

    from mtl_edge.report.compare import Thresholds, labels, read_drops
    from mtl_edge.report.compare import compare as compare_results
    from mtl_edge.report.compared import comparison_markdown, show_comparison
    from mtl_edge.report.read import read_side
    from mtl_edge.storage import write_atomically

    if len(boxes) > 2:
        raise click.UsageError(f"--box: once for both, or once for each, found {len(boxes)}")
    first, last = (boxes[0], boxes[-1]) if boxes else (None, None)
    sides = read_side(before, first), read_side(after, last)
    thresholds = Thresholds(
        drops=read_drops(max_drop, *sides),
        latency=latency,
        memory=memory,
        size=size,
        across_machines=across_machines,
    )
    names = labels(before / (first or ""), after / (last or ""))
    found = compare_results(*sides, names, thresholds)
    show_comparison(found, Console())
    if markdown is not None:
        write_atomically(markdown, comparison_markdown(found))
    if json_file is not None:
        write_atomically(json_file, msgspec.json.format(msgspec.json.encode(found), indent=1))
    if fail_on_regression and found.regressions:
        sys.exit(1)
