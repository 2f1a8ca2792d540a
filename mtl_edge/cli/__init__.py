"""The command line: one module per command; what a command needs is imported in its body, so that help is quick."""

from typing import Any

import click

from mtl_edge import __version__
from mtl_edge.cli.bench import bench
from mtl_edge.cli.compare import compare
from mtl_edge.cli.damage import damage
from mtl_edge.cli.export import export
from mtl_edge.cli.inspect import inspect
from mtl_edge.cli.manifest import manifest
from mtl_edge.cli.optimize import optimize
from mtl_edge.cli.quantize import quantize
from mtl_edge.cli.recipes import run, train
from mtl_edge.cli.report import report
from mtl_edge.cli.sign import keygen, sign
from mtl_edge.cli.subset import subset
from mtl_edge.cli.verify import verify
from mtl_edge.cli.zoo import zoo
from mtl_edge.errors import MtlEdgeError


class _Group(click.Group):
    """Errors that are the user's to mend are one line and exit code 2; tracebacks only with ``--debug``."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except MtlEdgeError as error:
            if ctx.params.get("debug"):
                raise
            click.echo(f"mtl-edge: error: {error}", err=True)
            ctx.exit(2)
        except KeyboardInterrupt:
            click.echo("mtl-edge: interrupted; the same command goes on with the stage that was not finished", err=True)
            ctx.exit(130)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="mtl-edge")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def main(debug: bool) -> None:
    """From data with several targets to one small, fast, verified .onnx, measured on the runtime that will run it."""


_COMMANDS = (
    run,
    train,
    bench,
    compare,
    report,
    inspect,
    optimize,
    quantize,
    damage,
    subset,
    export,
    manifest,
    keygen,
    sign,
    verify,
    zoo,
)

for command in _COMMANDS:
    main.add_command(command)
