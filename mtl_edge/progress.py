"""How long steps tell how far they are: a bar in a terminal, silence in a pipe."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

console = Console(stderr=True)
"""Where progress and remarks go; standard output is for results."""


class Bar:
    """One step under way, of a known number of units."""

    def __init__(self, progress: Progress, title: str, total: int, done: int) -> None:
        self._progress = progress
        self._task = progress.add_task(title, total=total, completed=done, note="")

    def advance(self, note: str | None = None) -> None:
        """One more unit is done; ``note`` says how it stands, such as the current losses."""
        if note is None:
            self._progress.update(self._task, advance=1)
        else:
            self._progress.update(self._task, advance=1, note=note)


@contextmanager
def spinner(title: str) -> Iterator[None]:
    """Show that a step of unknown length is under way."""
    if console.is_terminal:
        with console.status(title):
            yield
    else:
        yield


@contextmanager
def progress_bar(title: str, total: int, done: int = 0) -> Iterator[Bar]:
    """Show a bar while a step runs; it disappears when the step is done. ``done`` units were done before.

    Example::

        with progress_bar("train", total=epochs) as bar:
            for epoch in range(epochs):
                bar.advance(f"loss {train(epoch):.3f}")
    """
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
        TextColumn("eta"),
        TimeRemainingColumn(),
        TextColumn("[dim]{task.fields[note]}"),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        yield Bar(progress, title, total, done)
