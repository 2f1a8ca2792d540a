"""``quantize``: any fp32 model in fewer bits."""

import sys
from pathlib import Path
from typing import Any

import click

from mtl_edge.cli.options import MODEL, Guarded, with_cache, with_method, with_rounding, with_samples, with_target
from mtl_edge.errors import DataError, needs_extra

_ONLY_STATIC = (
    "placement",
    "method",
    "equalize",
    "rounding",
    "correct_bias",
    "max_drop",
    "data",
    "guard",
    "finetune",
    "finetune_steps",
)


class _Pattern(click.ParamType):  # type: ignore[type-arg]  # generic only since click 8.3
    """``N:M`` or a share."""

    name = "N:M|SHARE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """What :func:`mtl_edge.compress.pattern.read_pattern` makes of it."""
        from mtl_edge.compress.pattern import read_pattern

        try:
            return read_pattern(value if ":" in value else float(value))
        except ValueError:
            self.fail(f"must be N:M such as 2:4, or a share above 0 and below 1, found {value!r}", param, ctx)


def _refuse_options(names: tuple[str, ...], form: str) -> None:
    """Options that a form would not follow."""
    context = click.get_current_context()
    for name in names:
        if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            raise DataError(f"quantize: --form {form} does not know --{name.replace('_', '-')}")


@click.command(cls=Guarded, short_help="Make static int8 of an fp32 model, or another form of it.")
@click.argument("model", type=MODEL)
@click.option(
    "--form",
    type=click.Choice(["static", "dynamic", "weights", "weights4", "fp16", "sparse"]),
    default="static",
    show_default=True,
    help="static: weights and activations in int8; dynamic: those of matrix products and LSTMs, with ranges found in "
    "every run; weights, weights4, fp16: weights alone, in 8, 4 or 16 bits; sparse: the least weights are zero, which "
    "saves size only.",
)
@click.option(
    "--pattern",
    type=_Pattern(),
    help="Of --form sparse: 2:4 for 2 of 4 neighbours that stay, or 0.8 for the share of all weights that leaves.  "
    "[default: 2:4]",
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
@with_target
@click.option(
    "--placement",
    type=click.Choice(["measured", "all"]),
    help="What goes to int8: as measured on this box, what is faster so; or all.  [default: measured, if it can be]",
)
@with_method
@with_samples
@click.option(
    "--batch",
    metavar="N",
    type=click.IntRange(1),
    default=32,
    show_default=True,
    help="Samples of one batch; fewer where what they compute would take much memory.",
)
@click.option(
    "--seed", metavar="N", type=click.IntRange(0), default=0, show_default=True, help="Of the samples that are drawn."
)
@with_cache
@click.option(
    "--equalize/--no-equalize",
    default=False,
    show_default=True,
    help="Scale channels between layers so that they are of like size.",
)
@with_rounding
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
    help="Labelled samples to judge --max-drop by, and to look for broken outputs with, for which they need no labels: "
    "an .npz, or a folder of .npy files.",
)
@click.option(
    "--guard/--no-guard",
    default=True,
    show_default=True,
    help="Look for outputs that int8 breaks, on samples that calibration did not see, and put guilty layers back into "
    "float; with --placement all only say it.",
)
@click.option(
    "--finetune",
    type=click.Choice(["never", "if-needed", "always"]),
    default="never",
    show_default=True,
    help="Train the int8 model on all samples of --calib, with MODEL as its teacher and with labels where there are "
    "some; if-needed: where a --max-drop is missed otherwise. Needs torch.",
)
@click.option(
    "--finetune-steps",
    metavar="N",
    type=click.IntRange(1),
    default=400,
    show_default=True,
    help="How long to train, at most.",
)
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Write all that was found.")
def quantize(
    model: Path,
    form: Any,
    pattern: Any,
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
    guard: bool,
    finetune: Any,
    finetune_steps: int,
    json_file: Path | None,
) -> None:
    """Quantize MODEL, any fp32 .onnx, to static int8 or to another form.

    Where the calibration data has labels of the model's tasks, samples are drawn so that every class is among them.
    What ONNX Runtime makes of the result is shown: what runs in int8, what stayed in float and why; and how fast it is
    on this box, which may be slower than fp32. Needs no torch, but to --finetune.

    The exit code is 1 where a task's loss is above its --max-drop in all that was tried; what comes nearest is written.
    """
    with needs_extra("quantize"):
        import msgspec
        from rich.console import Console

        from mtl_edge.quantize.convert import convert_file
        from mtl_edge.quantize.file import quantize_file
        from mtl_edge.quantize.forms import DEFAULT_PATTERN
        from mtl_edge.quantize.refinements import Refinements
        from mtl_edge.report.quantized import show_converted, show_quantized
        from mtl_edge.storage import cache_folder, write_atomically

    if form != "static":
        _refuse_options(_ONLY_STATIC if form == "dynamic" else (*_ONLY_STATIC, "target"), form)
        if form != "sparse":
            _refuse_options(("pattern",), form)
        converted = convert_file(
            model,
            output or model.with_name(f"{model.stem}-{form}.onnx"),
            form,
            measured_on=calib,
            target=target,
            pattern=pattern or DEFAULT_PATTERN,
            samples=samples,
            batch_size=batch,
            seed=seed,
        )
        show_converted(converted, Console())
        if json_file is not None:
            write_atomically(json_file, msgspec.json.encode(converted))
        return
    _refuse_options(("pattern",), form)
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
        finetune=finetune,
        finetune_steps=finetune_steps,
        guarding=guard,
    )
    show_quantized(found, Console())
    if json_file is not None:
        write_atomically(json_file, msgspec.json.encode(found))
    if found.budgets is not None and not all(spent.holds for spent in found.budgets.spent):
        sys.exit(1)
