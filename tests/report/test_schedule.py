"""Pruning in steps, and budgets that are less than the noise: every form of a report says the same of them."""

import io

import msgspec
from rich.console import Console

from mtl_edge.report.document import RunReport
from mtl_edge.report.finished import show_run
from mtl_edge.report.html import run_to_html
from mtl_edge.report.markdown import run_to_markdown
from mtl_edge.report.outcomes import noise_warnings
from mtl_edge.report.schedule import schedule_tables
from mtl_edge.report.table import Cell
from mtl_edge.tasks import Budget, Noise

ENDED = "ended after step 1 of 3, the last one within all budgets: in step 2, left lost 0.90 of its 0.5 pt"


def test_each_step_has_its_cost_and_what_each_task_has_after_it(finished: RunReport) -> None:
    """The result and the step that was too much are marked."""
    (table,) = schedule_tables(finished.pruned, finished.benchmark.base_result.tasks)
    assert table.columns == ("step", "cost", "epochs", "left\naccuracy", "right\naccuracy", "sum\nMAE")
    assert [row[0] for row in table.rows] == [Cell("0", "dense"), Cell("1", "the result"), Cell("2", "over budget")]
    assert [(row[1].value, row[1].note) for row in table.rows] == [
        ("1.00x", ""),
        ("0.78x latency", "0.70x parameters"),
        ("0.61x latency", "0.50x parameters"),
    ]
    assert table.rows[1][3] == Cell("94.80 %", "-0.20 pt")
    assert table.rows[2][3] == Cell("94.10 %", "-0.90 pt\nMISSES 0.5 pt", warning=True)
    assert table.rows[2][5] == Cell("1.1000", "+10.0 %")
    assert ENDED in table.caption


def test_costs_of_a_student_are_its_own(finished: RunReport) -> None:
    """Metrics are counted from the dense network, which costs something else."""
    pruned = finished.pruned["pruned"]
    assert pruned.schedule is not None
    schedule = msgspec.structs.replace(pruned.schedule, of="student")
    (table,) = schedule_tables(
        {"pruned": msgspec.structs.replace(pruned, schedule=schedule)}, finished.benchmark.base_result.tasks
    )
    assert table.rows[0][:2] == (Cell("0", "dense"), Cell(""))
    assert "costs are relative to the student network" in table.caption


def test_every_form_says_what_ended_it(finished: RunReport) -> None:
    """With the table of the steps; and all warn of the noise."""
    text = io.StringIO()
    show_run(finished, Console(file=text, width=200))
    for form in (text.getvalue(), run_to_markdown(finished, picture=None), run_to_html(finished)):
        assert ENDED in form
        assert "pruned, step by step" in form
        assert "MISSES 0.5 pt" in form
        assert form.count("the budget of right, 0.5 pt, is less than the noise of 400 test samples") == 1
    assert msgspec.json.decode(msgspec.json.encode(finished), type=RunReport) == finished


def test_a_task_is_warned_of_once() -> None:
    """By the samples that are worst; a budget that can be judged is not spoken of."""
    noise = Noise(task="left", budget=Budget(0.5, "pt"), split="test", samples=5000, error=0.2)
    worse = msgspec.structs.replace(noise, split="validation", samples=400, error=0.7)
    none = msgspec.structs.replace(worse, samples=3, error=None)
    assert noise_warnings([noise]) == []
    assert noise_warnings([noise, worse]) == [str(worse)]
    assert noise_warnings([worse, none]) == noise_warnings([none, worse]) == [str(none)]
