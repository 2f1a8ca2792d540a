"""The command line: one module per command; what a command needs is imported in its body, so that help is quick."""

import click

from mtl_edge import __version__
from mtl_edge.cli.bench import bench
from mtl_edge.cli.compare import compare
from mtl_edge.cli.damage import damage
from mtl_edge.cli.export import export
from mtl_edge.cli.group import Group
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


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="mtl-edge")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def main(debug: bool) -> None:
    """From data with several targets to one small, fast, verified .onnx, measured on the runtime that will run it."""


main.add_subject("From a recipe", run, train, zoo)
main.add_subject("Any .onnx", bench, inspect, optimize, quantize, damage, subset, export)
main.add_subject("What was measured", report, compare)
main.add_subject("What a model is, and who made it", manifest, verify, keygen, sign)
