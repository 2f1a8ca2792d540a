"""``zoo``: the reference recipes and their data."""

from pathlib import Path

import click

from mtl_edge.cli.options import EXISTING


@click.group(short_help="The reference recipes, and the data that they are trained on.")
def zoo() -> None:
    """The reference recipes, and the data that they are trained on."""


@zoo.command("list", short_help="Show the reference recipes, and whose data are on this machine.")
def zoo_list() -> None:
    """Show every reference recipe, and whether its data are on this machine."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from mtl_edge.zoo.listing import reference_entries

    table = Table(box=box.SIMPLE_HEAD)
    for column in ("recipe", "about", "data"):
        table.add_column(column, overflow="fold")
    for entry in reference_entries():
        table.add_row(entry.name, entry.about, entry.state)
    Console().print(table)


@zoo.command("fetch", short_help="Bring the data of a reference recipe to this machine.")
@click.argument("name")
@click.option("--from", "sources", type=EXISTING, multiple=True, help="A file to take it from: no network is needed.")
def zoo_fetch(name: str, sources: tuple[Path, ...]) -> None:
    """Bring the data of NAME, a reference recipe or its data set, to this machine.

    Without --from they are downloaded; what, from where, how large and under which licence is printed first. Every file
    is checked against its SHA-256.
    """
    from mtl_edge.progress import spinner
    from mtl_edge.zoo.cache import find_files
    from mtl_edge.zoo.fetch import fetch
    from mtl_edge.zoo.listing import needed_data_set

    data_set = needed_data_set(name)
    if data_set is None:
        click.echo(f"{name} needs nothing: its data come with mtl-edge")
    elif (folder := find_files(data_set)) is not None and not sources:
        click.echo(f"{data_set.name} is here already: {folder}")
    else:
        with spinner(f"fetching {data_set.name}"):
            fetch(data_set, click.echo, sources)
