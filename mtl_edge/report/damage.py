"""Which layer hurts which task, in the terminal."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from mtl_edge.quantize.damage import DamageMatrix, LayerDamage
from mtl_edge.quantize.judge import Form
from mtl_edge.tasks import Task

_WORST = "bold red"
_BAD = "yellow"
_BAD_DB, _WORST_DB = 30.0, 20.0
"""Below these, the difference is more than 3 %, and a tenth, of an output's spread."""
_BAD_LOSS, _WORST_LOSS = 0.005, 0.02
"""Above these, a metric is so much worse than in fp32, relative to it."""
_SHOWN = 24


def show_damage(matrix: DamageMatrix, tasks: tuple[Task, ...], console: Console) -> None:
    """Print the layers that hurt most, by output: signal to noise, and metrics where they were computed."""
    outputs = list(matrix.everything.noise_db)
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("signal to noise", no_wrap=True)
    for output in outputs:
        table.add_column(output, justify="right", no_wrap=True)
    table.add_row("all in int8", *(_level(matrix.everything, output) for output in outputs))
    for row in matrix.layers[:_SHOWN]:
        table.add_row(f"{row.layer} ({row.kind})", *(_cell(row, matrix, output) for output in outputs))
    console.print(table, soft_wrap=True)
    if len(matrix.layers) > _SHOWN:
        console.print(f"and {len(matrix.layers) - _SHOWN} layers that hurt less", style="dim")
    console.print(
        "of an output with this layer alone in int8, and by how much it rises with all others in int8 and this one not",
        style="dim",
        soft_wrap=True,
    )
    if matrix.fp32 is not None:
        console.print()
        console.print(_metrics(matrix, Form({}, matrix.fp32), tasks), soft_wrap=True)


def _metrics(matrix: DamageMatrix, fp32: Form, tasks: tuple[Task, ...]) -> Table:
    """Each task's first metric: of fp32, of int8, and with each of the worst layers in one and in the other."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("on the test samples", no_wrap=True)
    for task in tasks:
        table.add_column(f"{task.name} {task.metrics[0].title}", justify="right")
    forms = [("fp32", fp32), ("all in int8", matrix.everything)]
    for row in matrix.layers:
        if row.alone.metrics is not None:
            forms += [(f"only {row.layer}", row.alone), (f"all but {row.layer}", row.others)]
    for name, form in forms:
        table.add_row(name, *(_value(task, form, fp32) for task in tasks))
    return table


def _value(task: Task, form: Form, fp32: Form) -> Text:
    metric = task.metrics[0]
    assert form.metrics is not None
    assert fp32.metrics is not None
    value, base = form.metrics[task.name][metric.name], fp32.metrics[task.name][metric.name]
    loss = -metric.gain(value, base)
    return Text(metric.format(value), style=_WORST if loss > _WORST_LOSS else _BAD if loss > _BAD_LOSS else "")


def _level(form: Form, output: str) -> Text:
    level = form.noise_db[output]
    return Text(f"{level:.0f} dB", style=_WORST if level < _WORST_DB else _BAD if level < _BAD_DB else "")


def _cell(row: LayerDamage, matrix: DamageMatrix, output: str) -> Text:
    if output not in row.serves:
        return Text("-", style="dim")
    relief = row.relief_db(matrix.everything)[output]
    return Text.assemble(_level(row.alone, output), (f" {relief:+5.1f}", _BAD if relief >= 1 else "dim"))
