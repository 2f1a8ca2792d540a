"""``bench``: any models on this box."""

import re
from pathlib import Path
from typing import Any

import click

from mtl_edge.cli.options import EXISTING, Dim


class _Numbers(click.ParamType):  # type: ignore[type-arg]  # generic only since click 8.3
    """``1,2``: whole numbers above zero."""

    name = "N,N,…"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, tuple):
            return value
        if not re.fullmatch(r"[1-9]\d*(,[1-9]\d*)*", value):
            self.fail(f"must be whole numbers above zero with commas between, found {value!r}", param, ctx)
        return tuple(dict.fromkeys(map(int, value.split(","))))


@click.command()
@click.argument("models", nargs=-1, required=True, type=EXISTING)
@click.option("--against", type=EXISTING, help="What the others are compared to.  [default: the dense one]")
@click.option(
    "--data",
    type=click.Path(exists=True, path_type=Path),
    help="Test samples (an .npz, or a folder of .npy files) for every task's metrics; models need a manifest.",
)
@click.option("--threads", type=_Numbers(), default="1,2", show_default=True, help="Intra-op threads to measure with.")
@click.option("--batch", type=click.IntRange(1), default=1, show_default=True, help="Size of a symbolic first axis.")
@click.option("--dim", "dims", type=Dim(), multiple=True, help="Size of another symbolic axis, such as seq=128.")
@click.option("--rounds", type=click.IntRange(2), default=10, show_default=True, help="Interleaved rounds.")
@click.option("--seconds", type=click.FloatRange(0.01), default=0.2, show_default=True, help="Length of a turn.")
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Write all raw samples.")
def bench(
    models: tuple[Path, ...],
    against: Path | None,
    data: Path | None,
    threads: tuple[int, ...],
    batch: int,
    dims: tuple[tuple[str, int], ...],
    rounds: int,
    seconds: float,
    json_file: Path | None,
) -> None:
    """Measure MODELS (any .onnx) under ONNX Runtime on this CPU.

    Each model runs in fresh processes, in turn with the one that it is compared to. Inputs are random, of the shapes
    and dtypes that the graph names. Needs no torch.
    """
    import msgspec
    from rich.console import Console

    from mtl_edge.bench.contender import contenders
    from mtl_edge.bench.settings import Settings
    from mtl_edge.bench.suite import benchmark
    from mtl_edge.report.terminal import show
    from mtl_edge.storage import write_atomically

    settings = Settings(
        threads=threads,
        batches=(batch,),
        dims={name: (size,) for name, size in dims},
        rounds=rounds,
        round_seconds=seconds,
        data=data,
    )
    named = contenders((*([against] if against else []), *models))
    measured = benchmark(named, base=named[0] if against else None, settings=settings)
    show(measured, Console())
    if json_file is not None:
        write_atomically(json_file, msgspec.json.encode(measured))
        click.echo(f"samples  {json_file}")
