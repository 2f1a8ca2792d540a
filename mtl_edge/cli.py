"""The command line: one command per verb; what a command needs is imported in its body."""

import re
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click

from mtl_edge import __version__
from mtl_edge.errors import DataError, MtlEdgeError, needs_extra


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


class _Numbers(click.ParamType):  # type: ignore[type-arg]  # generic only since click 8.3
    """``1,2``: whole numbers above zero."""

    name = "N,N,…"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, tuple):
            return value
        if not re.fullmatch(r"[1-9]\d*(,[1-9]\d*)*", value):
            self.fail(f"must be whole numbers above zero with commas between, found {value!r}", param, ctx)
        return tuple(dict.fromkeys(map(int, value.split(","))))


class _Dim(click.ParamType):  # type: ignore[type-arg]
    """``name=size``."""

    name = "NAME=SIZE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, tuple):
            return value
        name, _, size = value.partition("=")
        if not name or not re.fullmatch(r"[1-9]\d*", size):
            self.fail(f"must be a dimension's name and size such as seq=128, found {value!r}", param, ctx)
        return name, int(size)


_existing = click.Path(exists=True, dir_okay=False, path_type=Path)
_calib = click.option(
    "--calib",
    type=click.Path(exists=True, path_type=Path),
    required=True,
    help="Samples to calibrate with (an .npz, or a folder of .npy files): an array for each input.",
)
_target = click.option(
    "--target",
    type=click.Choice(["x86-vnni", "x86-avx2", "arm64"]),
    help="Processor that will run it.  [default: this box's]",
)
_method = click.option(
    "--method",
    type=click.Choice(["minmax", "moving-average", "percentile", "entropy", "mse", "auto"]),
    default="mse",
    show_default=True,
    help="How ranges are taken from what calibration saw.",
)
_samples = click.option(
    "--samples", type=click.IntRange(1), default=512, show_default=True, help="How many to calibrate with."
)
_cache = click.option(
    "--cache/--no-cache",
    default=True,
    show_default=True,
    help="Keep what calibration saw and what was measured for the next time.",
)
_workdir = click.option(
    "--workdir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where to work and to put the results.  [default: runs/NAME]",
)


_ONLY_STATIC = ("placement", "method", "equalize", "rounding", "correct_bias", "max_drop", "data")


def _refuse_options(names: tuple[str, ...], form: str) -> None:
    """Options that a form would not follow."""
    context = click.get_current_context()
    for name in names:
        if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            raise DataError(f"quantize: --form {form} does not know --{name.replace('_', '-')}")


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="mtl-edge")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def main(debug: bool) -> None:
    """From data with several targets to one small, fast, verified .onnx, measured on the runtime that will run it."""


@main.command()
@click.argument("recipe")
@_workdir
def run(recipe: str, workdir: Path | None) -> None:
    """Train, compress, export and measure what RECIPE says.

    RECIPE is the name of a reference recipe, such as mnist-pairs, or the path of a recipe.toml. A run that was
    interrupted goes on where it stopped when the same command is given again.
    """
    from mtl_edge.progress import spinner

    with needs_extra("train"), spinner("loading torch"):
        from rich.console import Console

        from mtl_edge.pipeline import run as run_recipe
        from mtl_edge.recipe import load_recipe
        from mtl_edge.report.terminal import show_run
        from mtl_edge.zoo import find_recipe

    loaded = load_recipe(find_recipe(recipe))
    folder = workdir or Path("runs") / loaded.name
    report = run_recipe(loaded, folder)
    show_run(report, Console())
    click.echo(f"models  {folder / 'artifacts'}\nreport  {folder / 'report.html'}")


@main.command()
@click.argument("recipe")
@_workdir
@click.option("--single-task", is_flag=True, help="Train a network for each task alone, in place of one for all.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda", "mps"]), help="Instead of the recipe's.")
@click.option("--log-dir", type=click.Path(file_okay=False, path_type=Path), help="Write TensorBoard's files here.")
def train(recipe: str, workdir: Path | None, single_task: bool, device: str | None, log_dir: Path | None) -> None:
    """Train the dense network of RECIPE, and nothing more.

    RECIPE is as for run, which goes on from here in the same workdir. To train with several processes:
    torchrun --nproc-per-node N -m mtl_edge train RECIPE
    """
    from mtl_edge.progress import spinner

    with needs_extra("train"), spinner("loading torch"):
        import msgspec
        from rich.console import Console

        from mtl_edge.pipeline import train as train_dense
        from mtl_edge.recipe import load_recipe
        from mtl_edge.report.metrics import show_metrics
        from mtl_edge.zoo import find_recipe

    loaded = load_recipe(find_recipe(recipe))
    if device is not None:
        loaded = msgspec.structs.replace(loaded, train=msgspec.structs.replace(loaded.train, device=device))
    folder = workdir or Path("runs") / loaded.name
    for name, trained in train_dense(loaded, folder, log_dir=log_dir, single_task=single_task).items():
        show_metrics(name, trained.tasks, trained.metrics, Console())
        click.echo(f"weights  {trained.weights}")


@main.command()
@click.argument("models", nargs=-1, required=True, type=_existing)
@click.option("--against", type=_existing, help="What the others are compared to.  [default: the dense one]")
@click.option(
    "--data",
    type=click.Path(exists=True, path_type=Path),
    help="Test samples (an .npz, or a folder of .npy files) for every task's metrics; models need a manifest.",
)
@click.option("--threads", type=_Numbers(), default="1,2", show_default=True, help="Intra-op threads to measure with.")
@click.option("--batch", type=click.IntRange(1), default=1, show_default=True, help="Size of a symbolic first axis.")
@click.option("--dim", "dims", type=_Dim(), multiple=True, help="Size of another symbolic axis, such as seq=128.")
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

    from mtl_edge.bench.suite import Settings, benchmark, contenders
    from mtl_edge.report.terminal import show
    from mtl_edge.storage import write_atomically

    settings = Settings(threads=threads, batch=batch, dims=dict(dims), rounds=rounds, round_seconds=seconds, data=data)
    named = contenders((*([against] if against else []), *models))
    measured = benchmark(named, base=named[0] if against else None, settings=settings)
    show(measured, Console())
    if json_file is not None:
        write_atomically(json_file, msgspec.json.encode(measured))
        click.echo(f"samples  {json_file}")


@main.command()
@click.argument("model", type=_existing)
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
    where the whole network is clearly faster with it and its outputs are the same. Do this before quantize. Needs no
    torch.
    """
    with needs_extra("optimize"):
        from rich.console import Console

        from mtl_edge.optimize.file import optimize_file
        from mtl_edge.report.optimized import show_optimized

    show_optimized(
        optimize_file(model, output or model.with_name(f"{model.stem}-optimized.onnx"), data=data), Console()
    )


@main.command()
@click.argument("model", type=_existing)
@click.option(
    "--form",
    type=click.Choice(["static", "dynamic", "weights", "weights4", "fp16"]),
    default="static",
    show_default=True,
    help="static: weights and activations in int8; dynamic: those of matrix products and LSTMs, with ranges found in "
    "every run; weights, weights4, fp16: weights alone, in 8, 4 or 16 bits.",
)
@click.option(
    "--calib",
    type=click.Path(exists=True, path_type=Path),
    help="Samples (an .npz, or a folder of .npy files), an array for each input: static is calibrated with them, the "
    "other forms are measured on them.  [required for static]",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file to write.  [default: MODEL-int8.onnx, or MODEL-FORM.onnx]",
)
@_target
@click.option(
    "--placement",
    type=click.Choice(["measured", "all"]),
    help="What goes to int8: as measured on this box, what is faster so; or all.  [default: measured, if it can be]",
)
@_method
@_samples
@click.option("--batch", type=click.IntRange(1), default=32, show_default=True, help="Samples of one batch.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the samples that are drawn.")
@_cache
@click.option(
    "--equalize/--no-equalize",
    default=False,
    show_default=True,
    help="Scale channels between layers so that they are of like size.",
)
@click.option(
    "--rounding",
    type=click.Choice(["nearest", "compensated"]),
    default="compensated",
    show_default=True,
    help="Of weights: each to its nearest, or so that their errors make up for each other on what calibration saw.",
)
@click.option(
    "--correct-bias/--no-correct-bias",
    default=True,
    show_default=True,
    help="Take off the shift of layers' means that rounding causes.",
)
@click.option(
    "--max-drop",
    multiple=True,
    metavar="TASK=DROP",
    help="How much worse than fp32 a task may become, as in left=0.5pt or count=2%: guilty layers stay in float.  "
    "[several times]",
)
@click.option(
    "--data",
    type=click.Path(exists=True, path_type=Path),
    help="Labelled samples to judge --max-drop by: an .npz, or a folder of .npy files.",
)
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Write all that was found.")
def quantize(
    model: Path,
    form: Any,
    calib: Path | None,
    output: Path | None,
    target: Any,
    placement: Any,
    method: Any,
    samples: int,
    batch: int,
    seed: int,
    cache: bool,
    equalize: bool,
    rounding: Any,
    correct_bias: bool,
    max_drop: tuple[str, ...],
    data: Path | None,
    json_file: Path | None,
) -> None:
    """Quantize MODEL, any fp32 .onnx, to static int8 or to another form.

    Where the calibration data has labels of the model's tasks, samples are drawn so that every class is among them.
    What ONNX Runtime makes of the result is shown: what runs in int8, what stayed in float and why; and how fast it is
    on this box, which may be slower than fp32. Needs no torch.

    The exit code is 1 where a task's loss is above its --max-drop in all that was tried; what comes nearest is written.
    """
    with needs_extra("quantize"):
        import msgspec
        from rich.console import Console

        from mtl_edge.quantize.convert import convert_file
        from mtl_edge.quantize.file import quantize_file
        from mtl_edge.quantize.refinements import Refinements
        from mtl_edge.report.quantized import show_converted, show_quantized
        from mtl_edge.storage import cache_folder, write_atomically

    if form != "static":
        _refuse_options(_ONLY_STATIC if form == "dynamic" else (*_ONLY_STATIC, "target"), form)
        converted = convert_file(
            model,
            output or model.with_name(f"{model.stem}-{form}.onnx"),
            form,
            measured_on=calib,
            target=target,
            samples=samples,
            batch_size=batch,
            seed=seed,
        )
        show_converted(converted, Console())
        if json_file is not None:
            write_atomically(json_file, msgspec.json.encode(converted))
        return
    if calib is None:
        raise DataError("quantize: --form static must have samples to calibrate with (--calib), found none")
    found = quantize_file(
        model,
        calib,
        output or model.with_name(f"{model.stem}-int8.onnx"),
        method=method,
        target=target,
        placement=placement,
        samples=samples,
        batch_size=batch,
        seed=seed,
        cache=cache_folder() if cache else None,
        max_drop=max_drop,
        labelled=data,
        refinements=Refinements(equalize=equalize, rounding=rounding, correct_bias=correct_bias),
    )
    show_quantized(found, Console())
    if json_file is not None:
        write_atomically(json_file, msgspec.json.encode(found))
    if found.budgets is not None and not all(spent.holds for spent in found.budgets.spent):
        sys.exit(1)


@main.command()
@click.argument("model", type=_existing)
@_calib
@click.option(
    "--data",
    type=click.Path(exists=True, path_type=Path),
    help="Labelled samples, likewise: with them each task's metrics are computed, too.",
)
@click.option(
    "--exact", type=click.IntRange(1), default=5, show_default=True, help="Of how many layers, the worst by noise."
)
@click.option("--all", "every", is_flag=True, help="Compute the metrics of every layer.")
@click.option(
    "--by",
    type=click.Choice(["layer", "part"]),
    default="layer",
    show_default=True,
    help="What is quantized alone: each layer; or the trunk, what some tasks share, and each head.",
)
@_target
@_method
@_samples
@_cache
@click.option("--picture", type=click.Path(dir_okay=False, path_type=Path), help="Draw a heat map, an .svg.")
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Write all that was found.")
def damage(
    model: Path,
    calib: Path,
    data: Path | None,
    exact: int,
    every: bool,
    by: Any,
    target: Any,
    method: Any,
    samples: int,
    cache: bool,
    picture: Path | None,
    json_file: Path | None,
) -> None:
    """Find out which layer of MODEL, any fp32 .onnx, hurts which output in int8.

    Each layer is quantized alone, and all but that one. What was measured is kept, so that a run that was interrupted
    goes on when it is started again. Needs no torch.
    """
    with needs_extra("quantize"):
        import msgspec
        from rich.console import Console

        from mtl_edge.quantize.damage import measure_damage
        from mtl_edge.quantize.source import arrays_of, calibrated_source
        from mtl_edge.quantize.target import this_target
        from mtl_edge.report.damage import damage_svg, show_damage
        from mtl_edge.storage import cache_folder, write_atomically
    if picture is not None:
        with needs_extra("report"):
            import altair  # noqa: F401 - at once, not after all layers have been measured
            import vl_convert  # noqa: F401
    kept = cache_folder() if cache else None
    with (
        calibrated_source(
            model, calib, samples=samples, batch_size=32, seed=0, folder=kept and kept / "calibration"
        ) as source,
        arrays_of(data) if data is not None else nullcontext() as test,
    ):
        found = measure_damage(
            model,
            source,
            target=target or this_target(),
            method=method,
            test=test,
            exact=None if every else exact,
            by=by,
            folder=kept and kept / "damage",
        )
    show_damage(found, source.manifest.tasks if source.manifest is not None else (), Console())
    if picture is not None:
        write_atomically(picture, damage_svg(found))
    if json_file is not None:
        write_atomically(json_file, msgspec.json.format(msgspec.json.encode(found), indent=1))


@main.group()
def zoo() -> None:
    """The reference recipes, and the data that they are trained on."""


@zoo.command("list")
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


@zoo.command("fetch")
@click.argument("name")
@click.option("--from", "sources", type=_existing, multiple=True, help="A file to take it from: no network is needed.")
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
