"""A finished run in the terminal."""

from rich.console import Console

from mtl_edge.report.document import RunReport
from mtl_edge.report.outcomes import run_notes, run_warnings
from mtl_edge.report.schedule import schedule_tables
from mtl_edge.report.teachers import teacher_tables
from mtl_edge.report.terminal import show, show_table


def show_run(report: RunReport, console: Console) -> None:
    """Print the comparison of its variants, and what else is to be known of the int8 ones."""
    show(report.benchmark, console)
    tasks = report.benchmark.base_result.tasks
    for table in (*schedule_tables(report.pruned, tasks), *teacher_tables(report.validation, tasks)):
        show_table(table, console)
    for sentence in run_notes(report):
        console.print(sentence, style="dim", soft_wrap=True)
    for sentence in run_warnings(report):
        console.print(f"Warning: {sentence}", style="bold red", soft_wrap=True)
