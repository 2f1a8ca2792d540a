"""A comparison of two sets of results: in the terminal, and as Markdown for pull requests."""

from rich.console import Console

from mtl_edge.report.compare import Change, Comparison
from mtl_edge.report.markdown import to_markdown_table
from mtl_edge.report.table import Cell, Table
from mtl_edge.report.terminal import show_table

_SHOUTED = ("better", "WORSE", "not judged")


def show_comparison(found: Comparison, console: Console) -> None:
    """Print what changed, model by model, and what that means."""
    show_table(comparison_table(found), console)
    for line in remarks(found):
        console.print(line, soft_wrap=True)
    console.print(summary(found), style="bold red" if found.regressions else "bold", soft_wrap=True)


def comparison_markdown(found: Comparison) -> str:
    """The same as Markdown."""
    table = comparison_table(found)
    lines = [f"# {table.title}", "", f"**{summary(found)}**", "", *to_markdown_table(table), ""]
    lines += [f"- {line}" for line in remarks(found)]
    return "\n".join(lines).rstrip() + "\n"


def comparison_table(found: Comparison) -> Table:
    """A row for each model, a column for each figure: what it is now, and its change."""
    changes = [change for change in found.changes if change.first]
    kinds = list(dict.fromkeys(change.what for change in changes))
    by_place = {(change.model, change.what): change for change in changes}
    rows = tuple(
        (Cell(model), *(_cell(by_place.get((model, kind))) for kind in kinds))
        for model in dict.fromkeys(change.model for change in changes)
    )
    columns = ("model", *(kind.replace(", ", "\n") for kind in kinds))
    return Table(f"{found.before} -> {found.after}", columns, rows)


def remarks(found: Comparison) -> list[str]:
    """What of the machines differs, and which models have no counterpart."""
    lines = [f"machine: {machine}" for machine in found.machines]
    for side, names in ((found.before, found.only_before), (found.after, found.only_after)):
        if names:
            lines.append(f"only in {side}: {', '.join(names)}")
    return lines


def summary(found: Comparison) -> str:
    """How many figures became worse, and which."""
    worse = found.regressions
    if not worse:
        return "no regressions"
    named = "; ".join(f"{change.model}: {change.what} {change.before} -> {change.after}" for change in worse)
    return f"{len(worse)} regression{'s' * (len(worse) > 1)}: {named}"


def _cell(change: Change | None) -> Cell:
    if change is None:
        return Cell("-")
    verdict = [change.verdict] if change.verdict in _SHOUTED else []
    return Cell(change.after, "\n".join([change.change, *verdict]), warning=change.verdict == "WORSE")
