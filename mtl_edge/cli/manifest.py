"""``manifest``: what a model says of itself."""

from pathlib import Path

import click

from mtl_edge.cli.options import EXISTING


@click.command(short_help="Print what a model says of itself.")
@click.argument("model", required=False, type=EXISTING)
@click.option("--schema", is_flag=True, help="Print the JSON Schema of manifests instead.")
def manifest(model: Path | None, schema: bool) -> None:
    """Print the manifest inside MODEL, once it is known that the file is the one that was sealed.

    Nothing is run.
    """
    import msgspec

    from mtl_edge.artifact import METADATA_KEY, read_manifest
    from mtl_edge.errors import ModelError
    from mtl_edge.intake.structure import read_structure
    from mtl_edge.schema import published_schema

    if schema == (model is not None):
        raise click.UsageError("give a MODEL, or --schema")
    if model is None:
        click.echo(published_schema(), nl=False)
        return
    metadata = read_structure(model).metadata
    if read_manifest(model, metadata) is None:
        raise ModelError(f"{model}: must carry mtl-edge's manifest, found none")
    click.echo(msgspec.json.format(metadata[METADATA_KEY], indent=2))
