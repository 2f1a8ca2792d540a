"""A bad teacher is seen, beside those who learned from it."""

import csv
import io

import msgspec

from mtl_edge.report.csv_rows import to_csv
from mtl_edge.report.document import RunReport
from mtl_edge.report.markdown import run_to_markdown
from mtl_edge.report.outcomes import run_warnings
from mtl_edge.report.teachers import teacher_tables

VALIDATION = {
    "dense": {"left": {"accuracy": 0.96}, "right": {"accuracy": 0.95}, "sum": {"mae": 0.60}},
    "pruned": {"left": {"accuracy": 0.95}, "right": {"accuracy": 0.94}, "sum": {"mae": 0.63}},
    "teacher/left": {"left": {"accuracy": 0.97}},
    "teacher/right": {"right": {"accuracy": 0.945}},
    "teacher/sum": {"sum": {"mae": 0.66}},
    "single-task/left/dense": {"left": {"accuracy": 0.97}},
}


def test_teachers_stand_between_the_dense_network_and_the_taught(finished: RunReport) -> None:
    """Each with the tasks that it has, and what it has more or less of them than the dense network."""
    (table,) = teacher_tables(VALIDATION, finished.benchmark.base_result.tasks)
    assert [row[0].value for row in table.rows] == ["dense", "teacher/left", "teacher/right", "teacher/sum", "pruned"]
    left, bad = table.rows[1], table.rows[3]
    assert [(cell.value, cell.note) for cell in left[1:]] == [("97.00 %", "+1.00 pt"), ("-", ""), ("-", "")]
    assert (bad[3].value, bad[3].note, bad[3].warning) == ("0.6600", "+10.0 %", True)
    assert not any(cell.warning for row in table.rows if row is not bad for cell in row)


def test_a_teacher_that_knows_less_than_dense_is_told_everywhere(finished: RunReport) -> None:
    """In words, and with figures in Markdown and in CSV; what may be chance is not told."""
    report = msgspec.structs.replace(finished, validation=VALIDATION)
    sentence = "teacher/sum knows less of sum than dense: MAE 0.6600 on the validation samples, where dense has 0.6000"
    assert [line for line in run_warnings(report) if line.startswith("teacher/")] == [sentence]
    markdown = run_to_markdown(report, picture=None)
    assert sentence in markdown
    assert "| teacher/sum | - | - | **0.6600**<br>+10.0 % |" in markdown
    text = to_csv(report.benchmark, report.validation)
    rows = {(row["model"], row["quantity"]): row for row in csv.DictReader(io.StringIO(text))}
    assert float(rows["teacher/sum", "validation_mae"]["value"]) == 0.66
    assert float(rows["teacher/sum", "validation_mae"]["relative_to_base"]) == 0.66 / 0.60


def test_the_dense_network_alone_needs_no_table(finished: RunReport) -> None:
    """What it reaches is in every other table; reports of before have no such figures at all."""
    alone = {name: VALIDATION[name] for name in ("dense", "pruned")}
    assert teacher_tables(alone, finished.benchmark.base_result.tasks) == []
    assert teacher_tables({}, finished.benchmark.base_result.tasks) == []
    assert "validation" not in to_csv(finished.benchmark)
