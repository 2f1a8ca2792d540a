"""The tables of README.md."""

from collections.abc import Iterable, Sequence

import goals as promised
from results import Measured, Point, Row, frontier

START, END = "<!-- measured -->\n", "<!-- end -->\n"


def inserted(readme: str, text: str) -> str:
    """The page with other tables between its marks."""
    before, _, rest = readme.partition(START)
    _, _, after = rest.partition(END)
    return f"{before}{START}\n{text}\n{END}{after}"


def page(found: Sequence[Measured]) -> str:
    """The goals of all networks, then of each network every tool and the frontier."""
    parts = [_of_goals(found), f"Peers: {', '.join(found[0].versions.values())}."] if found else []
    for measured in found:
        parts += [f"### {measured.network}", _caption(measured), _of_tools(measured)]
        parts += [f"![Loss of the worst task against latency]({measured.network}.svg)"]
        parts += ["All that no other model beats in latency without losing more:", _of_frontier(measured)]
        parts += [_of_errors(measured)]
    return "\n\n".join(part for part in parts if part) + "\n"


def goals(found: Sequence[Measured]) -> str:
    """The goals as lines for a terminal."""
    return "\n".join(
        f"{measured.network:<24} {word(verdict.met):<8} {verdict.goal}: {verdict.why}"
        for measured in found
        for verdict in promised.verdicts(measured)
    )


def word(met: bool | None) -> str:
    """``met``, ``NOT MET``, or ``unknown``."""
    return "unknown" if met is None else "met" if met else "NOT MET"


def _of_goals(found: Sequence[Measured]) -> str:
    rows = [
        [measured.network, verdict.goal, word(verdict.met), verdict.why]
        for measured in found
        for verdict in promised.verdicts(measured)
    ]
    return _table(["network", "goal", "", "figures"], rows)


def _caption(measured: Measured) -> str:
    machine = measured.machine
    metrics = ", ".join(
        f"{task.name} {task.metrics[0].title} {task.metrics[0].format(value)}"
        for task in measured.tasks
        for value in [measured.dense.metrics[task.name][task.metrics[0].name]]
    )
    median = sorted(measured.dense.latency_ms)[len(measured.dense.latency_ms) // 2]
    trial = " **A trial: the network is hardly trained, and nothing follows from it.**" if measured.quick else ""
    runtime = machine.versions["onnxruntime"]
    return (
        f"{machine.cpu}, {machine.cores} cores ({', '.join(machine.isa)}), ONNX Runtime {runtime}, {measured.date}; "
        f"{measured.samples:,} test samples. Dense fp32: {metrics}; {median:.3f} ms, "
        f"{measured.dense.file_bytes / 1024:.0f} KiB.{trial}"
    )


def _of_tools(measured: Measured) -> str:
    """Each tool's default and its best; all of ours and of the pruned ones."""
    chosen: list[Point] = []
    points = measured.points()
    for tool in dict.fromkeys(point.row.tool for point in points):
        mine = [point for point in points if point.row.tool == tool]
        best = promised.best(mine)
        chosen += [
            point
            for point in mine
            if point.row.ours or point.row.kind == "pruned" or point.row.setting == "default" or point is best
        ]
    return _table(_columns(measured), [_cells(point, measured) for point in chosen])


def _of_frontier(measured: Measured) -> str:
    return _table(_columns(measured), [_cells(point, measured) for point in frontier(measured.points())])


def _of_errors(measured: Measured) -> str:
    failed = [row for row in measured.rows if row.error]
    if not failed:
        return ""
    return "What did not work:\n\n" + "\n".join(f"- {row.name}: `{_plain(row)}`" for row in failed)


def _plain(row: Row) -> str:
    return row.error.replace("`", "'")


def _columns(measured: Measured) -> list[str]:
    return ["tool", *(task.name for task in measured.tasks), "latency", "file", "tool's time", "CPU", "peak memory"]


def _cells(point: Point, measured: Measured) -> list[str]:
    """One model: each task's metric with its change, the ratio of latencies with its interval, and what it took."""
    metrics, before, cost = point.model.metrics, measured.dense.metrics, point.row.cost
    tasks = []
    for task in measured.tasks:
        metric = task.metrics[0]
        value, base = metrics[task.name][metric.name], before[task.name][metric.name]
        tasks.append(f"{metric.format(value)} ({metric.change(value, base)})")
    ratio = point.ratio
    took = [f"{cost.wall_seconds:.1f} s", f"{cost.cpu_seconds:.1f} s", f"{cost.peak_mib:.0f} MiB"] if cost else [""] * 3
    name = f"**{point.row.name}**" if point.row.ours else point.row.name
    latency = f"{ratio.median:.2f}x ({ratio.low:.2f} to {ratio.high:.2f})"
    return [name, *tasks, latency, f"{point.model.file_bytes / 1024:.0f} KiB", *took]


def _table(columns: Iterable[str], rows: Iterable[Sequence[str]]) -> str:
    names = list(columns)
    lines = [names, ["---", *["---:"] * (len(names) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
