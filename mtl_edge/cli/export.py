"""``export``: a model in other forms, or as a folder for the place that it goes to."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mtl_edge.cli.graph_options import with_graph_options
from mtl_edge.errors import DataError, ModelError, needs_extra
from mtl_edge.kits.destinations import DESTINATIONS

if TYPE_CHECKING:
    from mtl_edge.export.folder import ExportOptions, Source

_OF_MODULES = ("examples", "weights", "allow_pickle", "tasks")
_OF_GRAPHS = ("preprocess", "pixels", "decode", "opset", "batch", "for_runtime")


@click.command(short_help="Write a folder for an app, or a model in another form.")
@click.argument("source")
@click.option(
    "--for",
    "destination",
    type=click.Choice(DESTINATIONS),
    help="Write a kit for this place: a folder with all that an app needs.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="The folder to write.  [default: VARIANT-DESTINATION, or VARIANT-export, beside the model's folder]",
)
@click.option(
    "--data",
    type=click.Path(exists=True, path_type=Path),
    help="Raw samples (an .npz, or a folder of .npy files) for the golden vectors of a kit and for comparisons; with "
    "labels, tasks are compared, too.  [default: random ones]",
)
@click.option(
    "--goldens", metavar="N", type=click.IntRange(1), default=4, show_default=True, help="How many golden vectors."
)
@click.option("--overwrite", is_flag=True, help="Replace what was exported before.")
@with_graph_options
def export(
    source: str,
    destination: str | None,
    output: Path | None,
    data: Path | None,
    goldens: int,
    overwrite: bool,
    **options: Any,
) -> None:
    """Write SOURCE in the form that a place needs.

    SOURCE is an .onnx, or pkg.mod:factory, a torch.nn.Module of your own, found from here or installed. Each form is
    compared to the one before; an .onnx needs no torch.

    With --for, a model with a manifest becomes a kit, and a network with --tasks, too: the model, its manifest, golden
    vectors, a client that verifies the model on the device before it is used, an example, and a README with the
    commands to build and run it.
    """
    is_file = Path(source).is_file()
    name = Path(source).absolute().parent.name if is_file else source.rpartition(":")[2].lower()
    beside = Path(source).absolute().parent.parent if is_file else Path()
    folder = output or beside / f"{name}-{destination or 'export'}"
    if is_file:
        from mtl_edge.intake.admit import admit

        admit(Path(source))
    if destination is not None and is_file and not any(map(_was_given, options)):
        _write_kit(Path(source), destination, folder, data, goldens, overwrite)
        return
    with needs_extra("quantize"):
        from rich.console import Console

        from mtl_edge.export.folder import export_folder
        from mtl_edge.report.exported import show_exported

    written = _export_options(options, data, overwrite)
    model = _source(source, is_file, options)
    if destination is None:
        show_exported(export_folder(model, folder, written), folder, Console())
        return
    with tempfile.TemporaryDirectory(prefix="mtl-edge-") as scratch:
        made = Path(scratch) / name
        found = export_folder(model, made, written)
        if extra := [file for file in found.files if file.endswith((".ort", ".data"))]:
            raise DataError(f"export: a kit (--for) has one file of the model, found {extra[0]} beside it")
        _write_kit(made / "model.onnx", destination, folder, data, goldens, overwrite)
        show_exported(found, folder, Console())


def _was_given(option: str) -> bool:
    source = click.get_current_context().get_parameter_source(option)
    return source is click.core.ParameterSource.COMMANDLINE


def _export_options(options: dict[str, Any], data: Path | None, overwrite: bool) -> "ExportOptions":
    from mtl_edge.export.folder import ExportOptions
    from mtl_edge.export.graph_steps import GraphOptions

    return ExportOptions(
        graph=GraphOptions(**{name: options[name] for name in _OF_GRAPHS}),
        **{name: options[name] for name in options if name not in (*_OF_GRAPHS, *_OF_MODULES)},
        data=data,
        overwrite=overwrite,
    )


def _source(source: str, is_file: bool, options: dict[str, Any]) -> "Source":
    from mtl_edge.export.folder import Source, read_model

    if is_file:
        if given := [name for name in _OF_MODULES if _was_given(name)]:
            flag = given[0].removesuffix("s") if given[0] == "examples" else given[0].replace("_", "-")
            raise DataError(f"export: --{flag} is for a network, pkg.mod:factory, found the file {source}")
        return read_model(Path(source))
    if ":" not in source or source.endswith(".onnx"):
        raise ModelError(f"{source}: must be an .onnx file or pkg.mod:factory, found neither")
    from mtl_edge.progress import spinner

    with needs_extra("train"), spinner("loading torch"):
        from mtl_edge.export.examples import read_examples
        from mtl_edge.export.own_module import export_module
        from mtl_edge.export.to_onnx import OPSET

    with spinner("export"):
        made = export_module(
            source,
            read_examples(options["examples"]),
            folder=Path(),
            weights=options["weights"],
            allow_pickle=options["allow_pickle"],
            batch=options["batch"] if isinstance(options["batch"], int) else None,
            opset=max(options["opset"] or OPSET, OPSET),
        )
    if options["tasks"] is None:
        return Source(made.model, None, feeds=made.inputs, hops=(made.parity,))
    from mtl_edge.describe.description import read_description
    from mtl_edge.describe.file import describe

    described = describe(made.model, read_description(options["tasks"]), name=source.rpartition(":")[2].lower())
    for remark in described.remarks:
        click.echo(f"note     {remark}")
    return Source(described.model, described.manifest, hops=(made.parity,))


def _write_kit(model: Path, destination: str, folder: Path, data: Path | None, goldens: int, overwrite: bool) -> None:
    from mtl_edge.kits.kit import write_kit

    kit = write_kit(model, destination, folder, data=data, goldens=goldens, overwrite=overwrite)
    click.echo(f"kit      {kit.folder}, {len(kit.files)} files; {kit.folder / 'README.md'} says how to use it")
    for remark in kit.remarks:
        click.secho(f"Warning: {remark}", fg="yellow", err=True)
