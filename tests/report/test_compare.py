"""Tests of :mod:`mtl_edge.report.compare`, and of the command."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner
from click.testing import Result as ClickResult

from mtl_edge.bench.latency import Latency
from mtl_edge.bench.results import Benchmark, Failure, Result
from mtl_edge.cli import main
from mtl_edge.errors import DataError, ReportError
from mtl_edge.remote.results import Boxes, BoxResult
from mtl_edge.report.compare import Change, Thresholds, compare, labels, read_drops

NAMES = ("before", "after")


def _latency(scale: float, seed: int) -> tuple[Latency, ...]:
    rng = np.random.default_rng(seed)
    rounds = tuple(tuple((scale * rng.normal(1, 0.01, 40)).tolist()) for _ in range(8))
    return (Latency(threads=1, rounds_ms=rounds, base_ms=(1.0,) * 8),)


def _with_latency(result: Result, scale: float, seed: int) -> Result:
    return msgspec.structs.replace(result, latencies=_latency(scale, seed))


def _verdicts(before: Benchmark, after: Benchmark, thresholds: Thresholds | None = None) -> dict[str, str]:
    found = compare(before, after, NAMES, thresholds or Thresholds())
    return {f"{change.model} {change.what}": change.verdict for change in found.changes}


def test_a_worse_metric_is_one_that_drops_by_more_than_its_budget(result, bench_of) -> None:  # type: ignore[no-untyped-def]
    """Accuracy that falls and an error that rises are both worse; a task's own budget goes before that of all."""
    before = bench_of(result("dense", 0.90, 1.00))
    after = bench_of(result("dense", 0.88, 1.015))
    assert _verdicts(before, after)["dense kind, accuracy"] == "WORSE"
    assert _verdicts(before, after)["dense size, MAE"] == "WORSE"
    drops = read_drops(["2%", "kind=3pt"], before, after)
    verdicts = _verdicts(before, after, Thresholds(drops=drops))
    assert verdicts["dense kind, accuracy"] == "same"
    assert verdicts["dense size, MAE"] == "same"


def test_comparing_the_other_way_turns_the_verdicts(result, bench_of) -> None:  # type: ignore[no-untyped-def]
    """What is worse one way is better the other way."""
    low = bench_of(_with_latency(result("dense", 0.8, 2.0, file_bytes=200), 2.0, seed=0))
    high = bench_of(_with_latency(result("dense", 0.9, 1.0, file_bytes=100), 1.0, seed=1))
    worse, better = _verdicts(high, low), _verdicts(low, high)
    for name in ("kind, accuracy", "size, MAE", "latency, 1 thread", "file"):
        assert worse[f"dense {name}"] == "WORSE"
        assert better[f"dense {name}"] == "better"


def test_results_compared_to_themselves_are_the_same(result, bench_of) -> None:  # type: ignore[no-untyped-def]
    """Nothing is worse and nothing is better."""
    one = bench_of(result("dense", 0.9, 1.0), result("pruned", 0.8, 1.0))
    found = compare(one, one, NAMES)
    assert {change.verdict for change in found.changes if change.first} == {"same"}
    assert found.regressions == ()


@pytest.mark.parametrize(("scale", "verdict"), [(1.02, "same"), (1.2, "WORSE"), (0.8, "better")])
def test_a_latency_must_differ_by_more_than_noise_and_threshold(scale, verdict, result, bench_of) -> None:  # type: ignore[no-untyped-def]
    """Two per cent are within the threshold of five, even where the intervals are apart."""
    before = bench_of(_with_latency(result("dense", 0.9, 1.0), 1.0, seed=0))
    after = bench_of(_with_latency(result("dense", 0.9, 1.0), scale, seed=1))
    assert _verdicts(before, after)["dense latency, 1 thread"] == verdict


def test_intervals_that_overlap_are_no_regression(result, bench_of) -> None:  # type: ignore[no-untyped-def]
    """Medians of wild rounds may differ by more than the threshold without telling anything."""

    def wild(*medians: float) -> Benchmark:
        latency = Latency(threads=1, rounds_ms=tuple((value,) * 20 for value in medians), base_ms=(1.0,) * len(medians))
        made: Benchmark = bench_of(msgspec.structs.replace(result("dense", 0.9, 1.0), latencies=(latency,)))
        return made

    before, after = wild(1, 3, 1, 3, 1, 3, 1), wild(3, 1, 3, 1, 3, 1, 3)
    assert _verdicts(before, after)["dense latency, 1 thread"] == "same"


def test_on_another_machine_only_metrics_and_sizes_are_judged(result, bench_of) -> None:  # type: ignore[no-untyped-def]
    """Unless it is asked for; what differs of the machines is said."""
    before = bench_of(_with_latency(result("dense", 0.9, 1.0, file_bytes=100), 1.0, seed=0))
    machine = msgspec.structs.replace(before.machine, cpu="Other CPU")
    slow = _with_latency(result("dense", 0.9, 1.0, file_bytes=200), 2.0, seed=1)
    after = bench_of(slow, machine=machine)
    verdicts = _verdicts(before, after)
    assert verdicts["dense latency, 1 thread"] == verdicts["dense memory"] == "not judged"
    assert verdicts["dense file"] == "WORSE"
    assert _verdicts(before, after, Thresholds(across_machines=True))["dense latency, 1 thread"] == "WORSE"
    assert compare(before, after, NAMES).machines == ("cpu: Test CPU -> Other CPU",)


def test_a_model_that_fails_now_is_a_regression(result, bench_of) -> None:  # type: ignore[no-untyped-def]
    """One that is merely absent is named, and no regression."""
    before = bench_of(result("dense", 0.9, 1.0), result("int8", 0.9, 1.0), result("gone", 0.9, 1.0))
    failure = Failure(name="int8", paths=("int8.onnx",), reason="its process died")
    after = msgspec.structs.replace(bench_of(result("dense", 0.9, 1.0), result("new", 0.9, 1.0)), failures=(failure,))
    found = compare(before, after, NAMES)
    assert [(change.model, change.what, change.after) for change in found.regressions] == [
        ("int8", "runs", "no: its process died")
    ]
    assert (found.only_before, found.only_after) == (("gone",), ("new",))


def test_a_task_that_one_side_has_not_measured_is_not_judged(result, bench_of) -> None:  # type: ignore[no-untyped-def]
    """It is shown with a dash."""
    before = bench_of(result("dense", 0.9, 1.0))
    after = bench_of(msgspec.structs.replace(result("dense", 0.9, 1.0), metrics=None))
    (change,) = (change for change in compare(before, after, NAMES).changes if change.what == "kind, accuracy")
    assert isinstance(change, Change)
    assert (change.before, change.after, change.verdict) == ("90.00 %", "-", "not judged")


def test_results_without_a_common_name_are_refused(result, bench_of) -> None:  # type: ignore[no-untyped-def]
    """The names of both are told."""
    with pytest.raises(ReportError, match="found dense and other"):
        compare(bench_of(result("dense", 0.9, 1.0)), bench_of(result("other", 0.9, 1.0)), NAMES)


def test_a_budget_for_no_task_is_refused(result, bench_of) -> None:  # type: ignore[no-untyped-def]
    """The tasks are told."""
    with pytest.raises(DataError, match=r"must name a task \(kind, size\), found 'king'"):
        read_drops(["king=2%"], bench_of(result("dense", 0.9, 1.0)))


def test_labels_are_what_tells_two_paths_apart() -> None:
    """The shortest ends that differ; report.json says nothing."""
    assert labels(Path("runs/a/report.json"), Path("runs/b")) == ("a", "b")
    assert labels(Path("old/bench.json"), Path("new/bench.json")) == ("old/bench.json", "new/bench.json")
    assert labels(Path("x"), Path("x")) == ("before", "after")


@pytest.fixture
def files(result, bench_of, tmp_path: Path) -> Callable[..., tuple[str, str]]:  # type: ignore[no-untyped-def]
    """Write two benchmarks of one model with these accuracies."""

    def write(before: float, after: float) -> tuple[str, str]:
        for name, accuracy in (("a.json", before), ("b.json", after)):
            (tmp_path / name).write_bytes(msgspec.json.encode(bench_of(result("dense", accuracy, 1.0))))
        return str(tmp_path / "a.json"), str(tmp_path / "b.json")

    return write


def test_a_regression_fails_only_where_it_is_asked_to(files: Callable[..., tuple[str, str]]) -> None:
    """Exit code 1 with --fail-on-regression, 0 without, and 0 where nothing is worse."""
    run = CliRunner().invoke
    worse = files(0.9, 0.8)
    shown = run(main, ["compare", *worse])
    assert shown.exit_code == 0
    assert "1 regression: dense: kind, accuracy 90.00 % -> 80.00 %" in shown.output
    assert run(main, ["compare", *worse, "--fail-on-regression"]).exit_code == 1
    assert run(main, ["compare", *worse, "--fail-on-regression", "--max-drop", "kind=11pt"]).exit_code == 0
    assert run(main, ["compare", *files(0.9, 0.9), "--fail-on-regression"]).exit_code == 0


def test_a_comparison_is_written_for_pull_requests_and_for_programs(
    files: Callable[..., tuple[str, str]], tmp_path: Path
) -> None:
    """Markdown has a line for each model, JSON each figure."""
    markdown, json_file = tmp_path / "c.md", tmp_path / "c.json"
    done = CliRunner().invoke(
        main, ["compare", *files(0.9, 0.8), "--markdown", str(markdown), "--json", str(json_file)]
    )
    assert done.exit_code == 0, done.output
    assert "| dense | **80.00 %**<br>-10.00 pt<br>WORSE |" in markdown.read_text()
    changes = msgspec.json.decode(json_file.read_bytes())["changes"]
    assert {"model": "dense", "what": "kind, accuracy", "verdict": "WORSE"}.items() <= changes[0].items()


def test_two_boxes_of_one_benchmark_are_compared(result, bench_of, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """By their names; one that failed, and one that is not there, are refused in one line."""
    boxes = Boxes(
        boxes=(
            BoxResult(name="a", benchmark=bench_of(result("dense", 0.9, 1.0))),
            BoxResult(name="b", benchmark=bench_of(result("dense", 0.8, 1.0))),
            BoxResult(name="c", failure="no route to host"),
        )
    )
    file = tmp_path / "boxes.json"
    file.write_bytes(msgspec.json.encode(boxes))

    def run(*named: str) -> ClickResult:
        options = [option for name in named for option in ("--box", name)]
        return CliRunner().invoke(main, ["compare", str(file), str(file), *options])

    assert "a -> b" in run("a", "b").output
    assert "1 regression: dense: kind, accuracy 90.00 % -> 80.00 %" in run("a", "b").output
    assert "no regressions" in run("a").output
    assert "--box must name one of a, b, c, found none" in run().stderr
    assert "box c has no figures: no route to host" in run("a", "c").stderr
    assert run("a", "b", "c").exit_code == 2


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        ("no json", "is not what mtl-edge"),
        ("{}", "must be a run's report.json or what bench --json writes, found an empty object"),
        ('{"a": 1, "b": 2}', "found the keys a, b"),
        ('{"base": "x", "results": []}', "missing required field `machine`"),
    ],
)
def test_what_is_no_result_is_refused_in_one_line(content: str, rule: str, tmp_path: Path) -> None:
    """The file, the rule, and what was found; exit code 2."""
    file = tmp_path / "file.json"
    file.write_text(content)
    done = CliRunner().invoke(main, ["compare", str(file), str(file)])
    assert done.exit_code == 2
    (line,) = done.stderr.splitlines()
    assert str(file) in line
    assert rule in line
