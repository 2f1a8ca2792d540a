"""``mtl-edge report``: the files of finished results."""

import csv
import io
import re
import tomllib
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from mtl_edge.bench.machine import Conditions
from mtl_edge.bench.results import Failure, Result
from mtl_edge.cli import main
from mtl_edge.profile.results import Profile, Profiles
from mtl_edge.quantize.damage import DamageMatrix
from mtl_edge.recipe import load_recipe
from mtl_edge.remote.results import Boxes, BoxResult
from mtl_edge.report.csv_rows import to_csv
from mtl_edge.report.document import RunReport
from mtl_edge.report.footprint import memory_stacks
from mtl_edge.report.lineage import steps
from mtl_edge.report.markdown import bench_to_markdown
from mtl_edge.report.methods import methods_table
from mtl_edge.report.reproduce import of_run, recipe_toml
from mtl_edge.report.verdicts import chosen, verdicts
from mtl_edge.tasks import without_budgets
from mtl_edge.zoo.find import reference_recipes


def test_a_run_s_report_is_written_anew(
    finished: RunReport, damage: DamageMatrix, profile: Profile, tmp_path: Path
) -> None:
    """Page, Markdown, picture and CSV, with the damage and the profile that were given."""
    (tmp_path / "report.json").write_bytes(msgspec.json.encode(finished))
    (tmp_path / "damage.json").write_bytes(msgspec.json.encode(damage))
    (tmp_path / "profile.json").write_bytes(msgspec.json.encode({"model": None, "profile": profile}))
    options = ["--damage", str(tmp_path / "damage.json"), "--profile", str(tmp_path / "profile.json")]
    done = CliRunner().invoke(main, ["report", str(tmp_path), "-o", str(tmp_path / "out"), *options])
    assert done.exit_code == 0, done.output
    files = {path.name: path for path in (tmp_path / "out").iterdir()}
    assert set(files) == {"report.html", "report.md", "report.svg", "report.csv"}
    assert {Path(line) for line in done.stdout.splitlines()} == set(files.values())
    page, markdown = files["report.html"].read_text(), files["report.md"].read_text()
    assert all(f'id="{section}"' in page for section in ("damage", "profile", "training", "steps", "frontier"))
    assert "**pruned**, the fastest of those within all 3 budgets." in markdown
    assert "![Each task's metric against latency](report.svg)" in markdown
    assert "MISSES 0.5 pt" in markdown


def test_a_run_says_what_each_task_costs_without_being_asked(
    finished: RunReport, profile: Profile, tmp_path: Path
) -> None:
    """Variants side by side, in the page and in Markdown; what could not be profiled is told."""
    faster = tuple(msgspec.structs.replace(node, ms=node.ms / 2) for node in profile.nodes)
    pruned = msgspec.structs.replace(profile, path="artifacts/pruned/model.onnx", nodes=faster, latency_ms=(0.065,))
    profiles = Profiles(found=(profile, pruned), failures=("artifacts/dense-int8/model.onnx: cannot be run",))
    (tmp_path / "report.json").write_bytes(msgspec.json.encode(msgspec.structs.replace(finished, profiles=profiles)))
    done = CliRunner().invoke(main, ["report", str(tmp_path)])
    assert done.exit_code == 0, done.output
    page, markdown = ((tmp_path / f"report.{kind}").read_text() for kind in ("html", "md"))
    assert all(title in page for title in ("What each task costs", "What dropping a task saves", 'id="profile"'))
    assert "| part | dense | pruned |\n| --- | ---: | ---: |\n| trunk | 0.0800 ms<br>3.9 KiB |" in markdown
    assert "| left | 0.0200 ms<br>3.9 KiB | 0.0100 ms<br>0.50x<br>3.9 KiB |" in markdown
    assert all("no profile of artifacts/dense-int8/model.onnx: cannot be run" in text for text in (page, markdown))


def test_a_run_of_before_there_were_profiles_still_has_a_report(finished: RunReport, tmp_path: Path) -> None:
    """Its JSON has no such key; the page has no such section."""
    fields = msgspec.to_builtins(finished)
    del fields["profiles"]
    (tmp_path / "report.json").write_bytes(msgspec.json.encode(fields))
    done = CliRunner().invoke(main, ["report", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert 'id="profile"' not in (tmp_path / "report.html").read_text()
    assert "What each task costs" not in (tmp_path / "report.md").read_text()


def test_a_benchmark_s_report_has_the_benchmark_s_name(finished: RunReport, tmp_path: Path) -> None:
    """Without a run there is nothing of training; without metrics no frontier."""
    results = tuple(
        msgspec.structs.replace(result, metrics=None, manifests=()) for result in finished.benchmark.results
    )
    bare = msgspec.structs.replace(finished.benchmark, results=results)
    (tmp_path / "box.json").write_bytes(msgspec.json.encode(bare))
    done = CliRunner().invoke(main, ["report", str(tmp_path / "box.json")])
    assert done.exit_code == 0, done.output
    assert {path.name for path in tmp_path.iterdir()} == {"box.json", "box.html", "box.md", "box.csv"}
    page = (tmp_path / "box.html").read_text()
    assert all(f'id="{section}"' not in page for section in ("training", "frontier", "steps", "int8"))
    assert "mtl-edge bench" in page


def test_several_boxes_stand_side_by_side(finished: RunReport, tmp_path: Path) -> None:
    """A column for each box, one that failed among them; the rest of the page is of the first that measured."""
    boxes = Boxes(
        boxes=(
            BoxResult(name="broken", failure="connection refused"),
            BoxResult(name="board", benchmark=finished.benchmark),
        )
    )
    (tmp_path / "boxes.json").write_bytes(msgspec.json.encode(boxes))
    done = CliRunner().invoke(main, ["report", str(tmp_path / "boxes.json")])
    assert done.exit_code == 0, done.output
    page = (tmp_path / "boxes.html").read_text()
    assert "All that follows this section is of board." in page
    assert "connection refused" in page
    assert "| model | broken | board |" in (tmp_path / "boxes.md").read_text()


def test_boxes_that_all_failed_have_no_report(tmp_path: Path) -> None:
    """One line, exit code 2."""
    (tmp_path / "boxes.json").write_bytes(msgspec.json.encode(Boxes(boxes=(BoxResult(name="a", failure="no"),))))
    done = CliRunner().invoke(main, ["report", str(tmp_path / "boxes.json")])
    assert done.exit_code == 2
    assert "a box must have measured something, found 1 that failed" in done.stderr


@pytest.mark.parametrize(
    ("option", "content", "rule"),
    [
        ("--profile", '{"model": {}, "profile": null}', "must have a profile, found none: inspect the model with"),
        ("--damage", "[]", "is not what mtl-edge"),
    ],
)
def test_a_wrong_addition_is_one_line(
    option: str, content: str, rule: str, finished: RunReport, tmp_path: Path
) -> None:
    """The file and the rule; nothing is written."""
    (tmp_path / "report.json").write_bytes(msgspec.json.encode(finished))
    (tmp_path / "other.json").write_text(content)
    done = CliRunner().invoke(main, ["report", str(tmp_path), option, str(tmp_path / "other.json")])
    assert done.exit_code == 2
    assert rule in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "report.html").exists()


def test_csv_holds_every_figure_as_exactly_as_the_json(finished: RunReport) -> None:
    """Metrics of each task, latencies of each point, memory and size, each with its ratio to the base."""
    rows = list(csv.DictReader(io.StringIO(to_csv(finished.benchmark))))
    for result in finished.benchmark.results:
        mine = {(row["quantity"], row["task"], row["threads"]): row for row in rows if row["model"] == result.name}
        assert result.metrics is not None
        for task, values in result.metrics.items():
            for name, value in values.items():
                assert float(mine[name, task, ""]["value"]) == value
        for latency in result.latencies:
            row = mine["latency_p50", "", str(latency.threads)]
            assert float(row["value"]) == latency.p50_ms
            ratio = finished.benchmark.ratio(result, latency.point)
            assert float(row["relative_to_base"]) == ratio.median
        assert float(mine["file", "", ""]["value"]) == result.file_bytes


def test_each_step_says_what_it_gave_and_what_it_took(finished: RunReport) -> None:
    """From the parent that the hashes name; a gain of one task and a loss of another stand apart."""
    found = {(step.parent.name, step.child.name): step for step in steps(finished.benchmark)}
    assert list(found) == [("dense", "dense-int8"), ("dense", "pruned"), ("pruned", "pruned-int8")]
    pruned = found["dense", "pruned"]
    assert pruned.name == "prune + distill"
    assert "left accuracy +0.18 pt" in pruned.gave
    assert "sum MAE +1.6 %" in pruned.took
    assert any(re.fullmatch(r"latency 0\.3\dx, 1 thread", line) for line in pruned.gave)


def test_means_over_tasks_are_positive_where_tasks_became_better(finished: RunReport) -> None:
    """Of metrics that tasks share, and of all first metrics; an error that falls counts as a gain."""
    table = methods_table(finished.benchmark)
    assert table is not None
    means = {row[1].value: [cell.value for cell in row[3:]] for row in table.summary}
    accuracy = [(0.02 / 96.86 + 0.06 / 96.50) / 2, (0.18 / 96.86 + 0.28 / 96.50) / 2]
    assert means["accuracy"][:2] == [f"{100 * value:+.2f} %" for value in accuracy]
    first = (0.02 / 96.86 + 0.06 / 96.50 + 0.0013 / 0.5943) / 3
    assert means["first metric"][0] == f"{100 * first:+.2f} %"


def test_the_fastest_within_all_budgets_is_chosen(finished: RunReport) -> None:
    """One that is faster and missed a single budget is not."""
    best = chosen(finished.benchmark)
    assert best is not None
    assert best.name == "pruned"
    losing = finished.benchmark.result("pruned-int8")
    assert losing is not None
    assert [name for name, verdict in verdicts(finished.benchmark, losing).items() if not verdict.holds] == ["right"]


def test_a_model_that_lacks_a_task_with_a_budget_is_not_chosen(finished: RunReport) -> None:
    """However fast it is: nobody knows what it would have lost."""

    def without_sum(result: Result) -> Result:
        kept = {name: values for name, values in (result.metrics or {}).items() if name != "sum"}
        return msgspec.structs.replace(result, metrics=kept) if result.name == "pruned" else result

    results = tuple(map(without_sum, finished.benchmark.results))
    best = chosen(msgspec.structs.replace(finished.benchmark, results=results))
    assert best is not None
    assert best.name == "dense-int8"


def test_without_budgets_nothing_is_chosen(finished: RunReport) -> None:
    """There is nothing to choose by."""

    def unbounded(result: Result) -> Result:
        manifests = tuple(
            msgspec.structs.replace(manifest, tasks=without_budgets(manifest.tasks)) for manifest in result.manifests
        )
        return msgspec.structs.replace(result, manifests=manifests)

    results = tuple(map(unbounded, finished.benchmark.results))
    assert chosen(msgspec.structs.replace(finished.benchmark, results=results)) is None


def test_what_failed_and_what_is_noisy_is_told(finished: RunReport) -> None:
    """Beside the figures of those that did not fail."""
    failure = Failure(name="broken", paths=("broken.onnx",), reason="its process died of signal 11")
    conditions = Conditions(noise=("other work kept 1.8 of 2 cores busy",))
    benchmark = msgspec.structs.replace(finished.benchmark, failures=(failure,), conditions=conditions)
    text = bench_to_markdown("box", benchmark, picture=None)
    assert "**Warning: broken could not be measured: its process died of signal 11**" in text
    assert "**Warning: other work kept 1.8 of 2 cores busy**" in text
    assert "| dense |" in text


def test_the_parts_of_memory_add_up_to_the_peak(finished: RunReport) -> None:
    """With the arena on and with it off."""
    stacks = memory_stacks(finished.benchmark.results)
    assert list(stacks)[:2] == ["dense", "dense, arena off"]
    for result in finished.benchmark.results:
        for arena, name in ((True, result.name), (False, f"{result.name}, arena off")):
            (memory,) = result.with_arena(arena)
            assert sum(stacks[name].values()) * 2**20 == pytest.approx(memory.peak_rss_bytes)


@pytest.mark.parametrize("name", sorted(reference_recipes()))
def test_a_recipe_comes_back_from_a_report_as_it_was(name: str, tmp_path: Path) -> None:
    """As the name of a reference recipe, or, for any other, as TOML that loads as the same recipe."""
    from mtl_edge.provenance import canonical_json, recipe_body

    recipe = load_recipe(reference_recipes()[name])
    body = recipe_body(recipe)
    path = tmp_path / f"{name}.toml"
    path.write_text(recipe_toml(body), encoding="utf-8")
    tomllib.loads(path.read_text())
    assert canonical_json(recipe_body(load_recipe(path))) == canonical_json(body)


def test_a_reference_recipe_is_run_by_its_name(finished: RunReport) -> None:
    """And what made the models is installed in the versions that made them."""
    from mtl_edge.provenance import canonical_json, recipe_body

    body = canonical_json(recipe_body(load_recipe(reference_recipes()["hello-mlp"]))).decode()
    found = of_run("hello-mlp", body, finished.benchmark)
    assert found.commands[-1] == "mtl-edge run hello-mlp"
    assert found.recipe == ""
    assert "torch==2.13.0" in found.commands[0]
    other = of_run("hello-mlp", body.replace('"seed":0', '"seed":7'), finished.benchmark)
    assert other.commands[-1] == "mtl-edge run hello-mlp.toml"
    assert "seed = 7" in other.recipe
