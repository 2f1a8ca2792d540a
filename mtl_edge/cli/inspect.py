"""``inspect``: what a model is, and where its time goes."""

from pathlib import Path

import click

from mtl_edge.cli.options import MODEL, Dim, Guarded
from mtl_edge.errors import MissingExtraError, needs_extra


@click.command(cls=Guarded, short_help="Show what a model is, and with --profile where its time goes.")
@click.argument("model", type=MODEL)
@click.option("--profile", "timed", is_flag=True, help="Run it, too, and say where its time goes.")
@click.option(
    "--threads",
    metavar="N",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Intra-op threads to run it with.",
)
@click.option(
    "--batch", metavar="N", type=click.IntRange(1), default=1, show_default=True, help="Size of a symbolic first axis."
)
@click.option("--dim", "dims", type=Dim(), multiple=True, help="Size of another symbolic axis, such as seq=128.")
@click.option(
    "--seconds", metavar="N", type=click.FloatRange(0.01), default=3.0, show_default=True, help="How long to run it."
)
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Write all that was found.")
def inspect(
    model: Path,
    timed: bool,
    threads: int,
    batch: int,
    dims: tuple[tuple[str, tuple[int]], ...],
    seconds: float,
    json_file: Path | None,
) -> None:
    """Show what MODEL, any .onnx, is and what ONNX Runtime makes of it on this CPU.

    Its tasks and inputs, what can run it, what runs in int8, what stayed in float and why, and the size of each task
    and layer. With --profile also the time of each operator, layer and task, and what dropping a task would save,
    which is measured. Without a manifest each output is a task. Needs no torch.
    """
    import msgspec
    from rich.console import Console

    from mtl_edge.report.profile import show_profile
    from mtl_edge.storage import write_atomically

    console, found, profile = Console(), None, None
    try:
        with needs_extra("quantize"):
            from mtl_edge.profile.inspect import inspect
            from mtl_edge.report.inspected import show_inspection

        found = inspect(model)
        show_inspection(found, console, sizes=not timed)
    except MissingExtraError:
        if not timed:  # a profile by operator needs the runtime only
            raise
    if timed:
        from mtl_edge.profile.measure import profile as measure

        sizes = {name: size for name, (size,) in dims}
        profile = measure(model, batch=batch, dims=sizes, threads=threads, seconds=seconds)
        show_profile(profile, console)
    if json_file is not None:
        document = {"model": found, "profile": profile}
        write_atomically(json_file, msgspec.json.format(msgspec.json.encode(document), indent=1))
