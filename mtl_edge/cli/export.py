"""``export``: a model as a folder for the place that it goes to."""

from pathlib import Path

import click

from mtl_edge.cli.options import EXISTING
from mtl_edge.kits.destinations import DESTINATIONS


@click.command()
@click.argument("model", type=EXISTING)
@click.option(
    "--for",
    "destination",
    type=click.Choice(DESTINATIONS),
    required=True,
    help="Where it goes.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="The folder to write.  [default: VARIANT-DESTINATION beside the model's folder]",
)
@click.option(
    "--data",
    type=click.Path(exists=True, path_type=Path),
    help="Raw samples (an .npz, or a folder of .npy files) for the golden vectors.  [default: random ones]",
)
@click.option("--goldens", type=click.IntRange(1), default=4, show_default=True, help="How many golden vectors.")
@click.option("--overwrite", is_flag=True, help="Replace a kit that is there.")
def export(
    model: Path, destination: str, output: Path | None, data: Path | None, goldens: int, overwrite: bool
) -> None:
    """Write a kit of MODEL, an .onnx that mtl-edge made: a folder with all that an app needs.

    It holds the model, its manifest, golden vectors, a client that verifies the model on the device before it is used,
    an example, and a README with the commands to build and run it. Needs no torch.
    """
    from mtl_edge.kits.kit import write_kit

    folder = output or model.parent.with_name(f"{model.parent.name}-{destination}")
    kit = write_kit(model, destination, folder, data=data, goldens=goldens, overwrite=overwrite)
    click.echo(f"kit      {kit.folder}, {len(kit.files)} files; {kit.folder / 'README.md'} says how to use it")
