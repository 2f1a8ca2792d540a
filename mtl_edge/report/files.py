"""The files of a report: a page, Markdown with its picture, CSV."""

from typing import TYPE_CHECKING

from mtl_edge.bench.results import Benchmark
from mtl_edge.report.charts.frontier import frontier_svg
from mtl_edge.report.charts.paint import FILE
from mtl_edge.report.csv_rows import to_csv
from mtl_edge.report.html import NOTHING, Additions, bench_to_html, run_to_html
from mtl_edge.report.markdown import bench_to_markdown, run_to_markdown

if TYPE_CHECKING:
    from mtl_edge.report.document import RunReport


def run_files(report: "RunReport", stem: str, added: Additions = NOTHING) -> dict[str, str]:
    """Of a finished run: name -> content."""
    picture = _picture(report.benchmark, stem)
    return {
        **picture,
        f"{stem}.md": run_to_markdown(report, picture=next(iter(picture), None)),
        f"{stem}.csv": to_csv(report.benchmark, report.validation),
        f"{stem}.html": run_to_html(report, added),
    }


def bench_files(name: str, benchmark: Benchmark, stem: str, added: Additions = NOTHING) -> dict[str, str]:
    """Of a benchmark of any models: name -> content."""
    picture = _picture(benchmark, stem)
    return {
        **picture,
        f"{stem}.md": bench_to_markdown(name, benchmark, picture=next(iter(picture), None), boxes=added.boxes),
        f"{stem}.csv": to_csv(benchmark),
        f"{stem}.html": bench_to_html(name, benchmark, added),
    }


def _picture(benchmark: Benchmark, stem: str) -> dict[str, str]:
    """The frontier, where there are metrics to draw."""
    measured = any(result.metrics for result in benchmark.results)
    return {f"{stem}.svg": frontier_svg(benchmark, FILE)} if measured else {}
