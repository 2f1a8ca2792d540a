"""``manifest``: what a model says of itself, and how one from elsewhere comes to say it."""

from pathlib import Path

import click

from mtl_edge.cli.options import EXISTING


@click.command(short_help="Print what a model says of itself.")
@click.argument("model", required=False, type=EXISTING)
@click.option("--schema", is_flag=True, help="Print the JSON Schema of manifests instead.")
@click.option("--init", is_flag=True, help="Print a first tasks.toml for a MODEL without a manifest, to be edited.")
@click.option("--tasks", type=EXISTING, help="Write a copy of MODEL with a manifest: this file says what outputs mean.")
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file to write, with --tasks.  [default: MODEL-described.onnx]",
)
def manifest(model: Path | None, schema: bool, init: bool, tasks: Path | None, output: Path | None) -> None:
    """Print the manifest inside MODEL, once it is known that the file is the one that was sealed; nothing is run.

    With --tasks, MODEL is any .onnx: a copy of it is given a manifest, so that all commands know its tasks. Needs no
    torch.
    """
    if schema + init + (tasks is not None) > 1 or schema == (model is not None):
        raise click.UsageError("give a MODEL, or one with --init or --tasks, or --schema")
    if output is not None and tasks is None:
        raise click.UsageError("-o is for --tasks")
    if model is None:
        from mtl_edge.schema import published_schema

        click.echo(published_schema(), nl=False)
    elif init:
        _print_starter(model)
    elif tasks is not None:
        _describe(model, tasks, output or model.with_name(f"{model.stem}-described.onnx"))
    else:
        _print_manifest(model)


def _print_manifest(model: Path) -> None:
    import msgspec

    from mtl_edge.artifact import METADATA_KEY, read_manifest
    from mtl_edge.errors import ModelError
    from mtl_edge.intake.structure import read_structure

    metadata = read_structure(model).metadata
    if read_manifest(model, metadata) is None:
        raise ModelError(f"{model}: must carry mtl-edge's manifest, found none: --init and --tasks give it one")
    click.echo(msgspec.json.format(metadata[METADATA_KEY], indent=2))


def _print_starter(model: Path) -> None:
    from mtl_edge.describe.starter import starter
    from mtl_edge.intake.admit import admit

    admit(model)
    click.echo(starter(model), nl=False)


def _describe(model: Path, tasks: Path, output: Path) -> None:
    from mtl_edge.errors import needs_extra
    from mtl_edge.intake.admit import admit

    with needs_extra("quantize"):
        from mtl_edge.describe.file import describe_file
    admit(model)
    made = describe_file(model, tasks, output)
    names = ", ".join(f"{task.name} ({task.__struct_config__.tag})" for task in made.manifest.tasks)
    click.echo(f"model    {output}")
    click.echo(f"tasks    {names}")
    for remark in made.remarks:
        click.echo(f"note     {remark}")
