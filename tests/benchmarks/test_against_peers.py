"""What the benchmark against peers makes of its figures."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from mtl_edge.bench.machine import this_machine
from mtl_edge.recipe import load_recipe
from mtl_edge.tasks import Multiclass, Regression
from mtl_edge.zoo.find import reference_recipes

FOLDER = Path(__file__).parents[2] / "benchmarks" / "against-peers"
NAMES = ("costs", "results", "goals", "tables", "ours")
BASE = {"kind": {"accuracy": 0.9}, "age": {"mae": 2.0}}
ROUNDS = 10


@pytest.fixture(scope="module", autouse=True)
def scripts() -> Iterator[None]:
    """The folder's scripts import each other by their names, which are nobody else's after these tests."""
    sys.path.insert(0, str(FOLDER))
    yield
    sys.path.remove(str(FOLDER))
    for name in NAMES:
        sys.modules.pop(name, None)


def script(name: str) -> ModuleType:
    """One of them."""
    return importlib.import_module(name)


def row(
    tool: str,
    ratio: float,
    *,
    loss: float = 0.0,
    kind: str = "int8",
    kib: float = 100,
    seconds: float = 3.0,
    mib: float = 100,
    setting: str = "default",
):  # type: ignore[no-untyped-def]
    """A model with this ratio of latencies, of which both tasks lose so much."""
    results, costs = script("results"), script("costs")
    metrics = {"kind": {"accuracy": 0.9 - loss / 100}, "age": {"mae": 2.0 * (1 + loss / 100)}}
    model = results.Model(
        metrics=metrics, latency_ms=(ratio,) * ROUNDS, base_ms=(1.0,) * ROUNDS, file_bytes=int(1024 * kib)
    )
    cost = costs.Cost(wall_seconds=seconds, cpu_seconds=seconds, peak_mib=mib)
    return results.Row(tool=tool, setting=setting, kind=kind, cost=cost, model=model)


def measured(*rows):  # type: ignore[no-untyped-def]
    """A network with these."""
    results = script("results")
    dense = results.Model(metrics=BASE, latency_ms=(1.0,) * ROUNDS, base_ms=(1.0,) * ROUNDS, file_bytes=409600)
    return results.Measured(
        network="net",
        date="2026-01-01",
        quick=False,
        machine=this_machine(),
        conditions=None,
        versions={},
        tasks=(
            Multiclass(name="kind", target="kind", classes=3),
            Regression(name="age", target="age"),
        ),
        samples=1000,
        dense=dense,
        rows=rows,
    )


def mets(found) -> list[bool | None]:  # type: ignore[no-untyped-def]
    """Which of the goals are met, in their order."""
    return [verdict.met for verdict in script("goals").verdicts(found)]


def test_goals_are_met_where_every_figure_says_so() -> None:
    """As fast in a third of the time; half the pruned peer's latency and size at its loss."""
    found = measured(
        row("mtl-edge", 0.4, seconds=1.0),
        row("peer", 0.4),
        row("slow peer", 0.9, seconds=0.1),
        row("mtl-edge", 0.1, kind="pruned", kib=20, loss=0.2, setting="recipe"),
        row("pruned peer", 0.2, kind="pruned", kib=40, loss=0.2),
    )
    assert mets(found) == [True] * 9


def test_each_goal_is_missed_by_its_own_figure() -> None:
    """More loss, more latency, more time, more memory; too slow, too large, too much loss, slower than fp32."""
    peers = (
        row("peer", 0.4),
        row("peer", 0.6, setting="another", seconds=1),
        row("pruned peer", 0.2, kind="pruned", kib=40, loss=1.0),
    )
    good = row("mtl-edge", 0.1, kind="pruned", kib=20)
    alone = {
        (0.3, 0.2, 1, 100): [False, True, True, True, True],
        (0.5, 0.0, 1, 100): [True, False, True, True, True],
        (0.4, 0.0, 1.1, 100): [True, True, False, True, True],
        (0.4, 0.0, 1.4, 100): [True, True, False, False, True],
        (0.4, 0.0, 1, 101): [True, True, True, True, False],
    }
    for (ratio, loss, seconds, mib), expected in alone.items():
        mine = row("mtl-edge", ratio, loss=loss, seconds=seconds, mib=mib)
        assert mets(measured(mine, good, *peers))[:5] == expected
    fine = row("mtl-edge", 0.4, seconds=1)
    bulky = row("mtl-edge", 0.12, kind="pruned", kib=21)
    assert mets(measured(fine, bulky, *peers))[5:] == [False, False, True, True]
    assert mets(measured(fine, bulky, row("mtl-edge", 0.1, kind="pruned", kib=90), *peers))[5:7] == [True, False]
    assert mets(measured(fine, row("mtl-edge", 0.09, kind="pruned", kib=90), good, *peers))[5:7] == [True, True]
    bad = row("mtl-edge", 0.05, kind="pruned", kib=5, loss=2.0)
    assert mets(measured(fine, bad, *peers))[5:] == [False, False, False, True]
    assert mets(measured(row("mtl-edge", 1.2), good, *peers))[-1] is False


def test_nothing_is_said_of_what_was_not_measured() -> None:
    """A peer that failed leaves goals open, and stands below the tables with its error."""
    results, tables = script("results"), script("tables")
    failed = results.Row(tool="peer", setting="default", kind="int8", error="Duplicate `cat`")
    found = measured(row("mtl-edge", 0.4), failed)
    assert mets(found) == [None] * 8 + [True]
    assert "- peer, default: `Duplicate 'cat'`" in tables.page([found])


def test_the_frontier_has_only_what_no_other_beats() -> None:
    """From the fastest to the one that loses least; of two that are equal, one."""
    points = measured(
        row("a", 0.2, loss=1.0), row("b", 0.3, loss=1.5), row("c", 0.4, loss=0.1), row("d", 0.5, loss=0.1)
    ).points()
    assert [point.row.tool for point in script("results").frontier(points)] == ["a", "c"]


def test_losses_are_points_of_shares_and_per_cent_of_errors() -> None:
    """The worst of them counts, and gains are negative."""
    (point,) = measured(row("a", 0.2, loss=1.5)).points()
    assert point.losses == pytest.approx({"kind": 1.5, "age": 1.5})
    (point,) = measured(row("a", 0.2, loss=-0.5)).points()
    assert point.worst == pytest.approx(-0.5)


def test_tables_stand_between_their_marks() -> None:
    """Whatever was there before is replaced, and nothing else."""
    tables = script("tables")
    page = f"before\n{tables.START}old\n{tables.END}after\n"
    assert tables.inserted(page, "new\n") == f"before\n{tables.START}\nnew\n\n{tables.END}after\n"
    assert "**mtl-edge, default**" in tables.page([measured(row("mtl-edge", 0.4), row("peer", 0.5))])


def test_a_tool_that_fails_says_its_last_line_and_one_that_hangs_is_stopped(tmp_path: Path) -> None:
    """Both are errors of one line; what works has a cost."""
    costs = script("costs")
    log = tmp_path / "log.txt"
    with pytest.raises(costs.ToolError, match="ValueError: no such layer"):
        costs.run([sys.executable, "-c", "raise ValueError('no such layer')"], log=log, limit_s=60)
    with pytest.raises(costs.ToolError, match="stopped after 0 s"):
        costs.run([sys.executable, "-c", "import time; time.sleep(60)"], log=log, limit_s=0.3)
    mine = bytearray(256 << 20)  # which is not the tool's
    cost = costs.run([sys.executable, "-c", "x = bytearray(64 << 20)"], log=log, limit_s=60)
    del mine
    assert 64 < cost.peak_mib < 256
    assert cost.cpu_seconds > 0


def test_a_recipe_changes_nothing_but_its_compression() -> None:
    """Tables of compression and of the benchmark are replaced, whatever follows them."""
    base = '[net]\ntrunk = "mlp"\n[compress]\nprune = { ratio = 0.5 }\n[bench]\nrounds = 9\n[train]\nepochs = 3\n'
    text = script("ours").composed(base, '[compress.prune]\ntarget = "0.5x latency"\n')
    assert "ratio" not in text
    assert "rounds = 9" not in text
    assert text.startswith('[net]\ntrunk = "mlp"\n[train]\nepochs = 3\n')
    assert 'target = "0.5x latency"' in text


@pytest.mark.parametrize("network", ["fashion-pairs", "fashion-pairs-mobilenet", "adult-mmoe"])
def test_every_recipe_of_a_network_can_be_read(tmp_path: Path, network: str) -> None:
    """There is more than one point of a frontier, and each ends with an int8 model of what was made smaller."""
    ours = script("ours")
    recipes = ours.recipes(network)
    assert "half" in recipes
    assert len(recipes) > 2
    for name, file in recipes.items():
        base = reference_recipes()[network].read_text(encoding="utf-8")
        (tmp_path / f"{network}.toml").write_text(
            ours.composed(base, file.read_text(encoding="utf-8")), encoding="utf-8"
        )
        recipe = load_recipe(tmp_path / f"{network}.toml")
        assert recipe.compress.variants[-1].endswith("-int8")
        assert ("student" in recipe.compress.variants) == name.endswith("student")
