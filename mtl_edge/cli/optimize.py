"""``optimize``: a faster graph that computes the same."""

from pathlib import Path

import click

from mtl_edge.cli.options import MODEL, Guarded
from mtl_edge.errors import needs_extra


@click.command(cls=Guarded, short_help="Make an fp32 graph faster, or an int8 one shorter.")
@click.argument("model", type=MODEL)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file to write.  [default: MODEL-optimized.onnx]",
)
@click.option(
    "--data",
    type=click.Path(exists=True, path_type=Path),
    help="Inputs to compute and to time with: an .npz, or a folder of .npy files.  [default: random ones]",
)
def optimize(model: Path, output: Path | None, data: Path | None) -> None:
    """Make the graph of MODEL, any fp32 .onnx, faster on this box, where it can be.

    Layers of several tasks that read the same tensor become one, and what does nothing goes; each change stays only
    where the whole network is clearly faster with it and its outputs are the same. Do this before quantize: of a model
    that is quantized already, by any tool, only conversions go that change no bit. Needs no torch.
    """
    with needs_extra("optimize"):
        from rich.console import Console

        from mtl_edge.optimize.file import optimize_file
        from mtl_edge.report.optimized import show_optimized

    show_optimized(
        optimize_file(model, output or model.with_name(f"{model.stem}-optimized.onnx"), data=data), Console()
    )
