"""``bench``: any models on this box."""

import re
from pathlib import Path
from typing import Any

import click

from mtl_edge.cli.boxes import with_boxes
from mtl_edge.cli.options import EXISTING, Dims

_PICTURES = (".svg", ".png", ".html")
_ANY = click.Path(exists=True, path_type=Path)


class _Numbers(click.ParamType):  # type: ignore[type-arg]  # generic only since click 8.3
    """``1,2``: whole numbers above zero."""

    name = "N,N,…"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, tuple):
            return value
        if not re.fullmatch(r"[1-9]\d*(,[1-9]\d*)*", value):
            self.fail(f"must be whole numbers above zero with commas between, found {value!r}", param, ctx)
        return tuple(dict.fromkeys(map(int, value.split(","))))


class _Picture(click.Path):
    """A file whose ending names a form of picture."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        path = Path(str(super().convert(value, param, ctx)))
        if path.suffix.lower() not in _PICTURES:
            self.fail(f"must end in {', '.join(_PICTURES)}, found {str(path)!r}", param, ctx)
        return path


@click.command(short_help="Measure latency, start, memory, size and metrics of models.")
@click.argument("models", nargs=-1, required=True, type=_ANY)
@click.option("--against", type=EXISTING, help="What the others are compared to.  [default: the dense one]")
@click.option(
    "--data",
    type=_ANY,
    help="Test samples (an .npz, or a folder of .npy files) for every task's metrics; models need a manifest.",
)
@click.option("--threads", type=_Numbers(), default="1,2", show_default=True, help="Intra-op threads to measure with.")
@click.option(
    "--batch", "batches", type=_Numbers(), default="1", show_default=True, help="Sizes of a symbolic first axis."
)
@click.option("--dim", "dims", type=Dims(), multiple=True, help="Sizes of another symbolic axis, such as seq=64,128.")
@click.option(
    "--rounds", metavar="N", type=click.IntRange(2), default=10, show_default=True, help="Interleaved rounds."
)
@click.option(
    "--seconds",
    metavar="N",
    type=click.FloatRange(0.01),
    default=0.2,
    show_default=True,
    help="Least length of a turn.",
)
@click.option(
    "--runs", metavar="N", type=click.IntRange(1), default=5, show_default=True, help="Least number of runs of a turn."
)
@click.option(
    "--duration",
    metavar="N",
    type=click.FloatRange(0.1),
    default=None,
    help="Soak: rounds go on for so many seconds at each point.",
)
@click.option(
    "--scenario",
    type=click.Choice(["latency", "single-stream", "offline", "server"]),
    default="latency",
    show_default=True,
    help="As in MLPerf: tails of one stream, throughput, or the rate of chance arrivals that --bound-ms allows.",
)
@click.option(
    "--bound-ms",
    metavar="N",
    type=click.FloatRange(0, min_open=True),
    help="server: the latency that queries may have, waiting included.",
)
@click.option(
    "--percentile",
    metavar="N",
    type=click.FloatRange(50, 99.9),
    default=99,
    show_default=True,
    help="server: the percentile of queries that must keep it.",
)
@click.option(
    "--rate",
    metavar="N",
    type=click.FloatRange(0, min_open=True),
    help="server: try this many queries a second.  [default: find it]",
)
@click.option(
    "--cold-starts",
    metavar="N",
    type=click.IntRange(1),
    default=5,
    show_default=True,
    help="Fresh processes for load and first run.",
)
@click.option(
    "--memory-repeats",
    metavar="N",
    type=click.IntRange(0),
    default=3,
    show_default=True,
    help="Fresh processes for memory, each with the runtime's arena on, and off.",
)
@click.option(
    "--timeout",
    metavar="N",
    type=click.FloatRange(1),
    default=300,
    show_default=True,
    help="Seconds without an answer until a process is stopped.",
)
@click.option(
    "--memory-limit",
    type=click.FloatRange(0, min_open=True),
    help="GiB that a process may allocate (Linux).  [default: nine tenths of what is free]",
)
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Write all raw samples.")
@click.option(
    "--plot", "plot_file", type=_Picture(dir_okay=False, path_type=Path), help="Draw latencies: .svg, .png or .html."
)
@with_boxes
@click.pass_context
def bench(
    ctx: click.Context,
    /,
    models: tuple[Path, ...],
    against: Path | None,
    data: Path | None,
    threads: tuple[int, ...],
    batches: tuple[int, ...],
    dims: tuple[tuple[str, tuple[int, ...]], ...],
    rounds: int,
    seconds: float,
    runs: int,
    duration: float | None,
    scenario: str,
    bound_ms: float | None,
    percentile: float,
    rate: float | None,
    cold_starts: int,
    memory_repeats: int,
    timeout: float,
    memory_limit: float | None,
    json_file: Path | None,
    plot_file: Path | None,
    **boxes: Any,
) -> None:
    """Measure MODELS (any .onnx, or folders of them) under ONNX Runtime on this CPU, or on others (--on).

    Each model runs in fresh processes, in turn with the one that it is compared to. Inputs are random, of the shapes
    and dtypes that the graph names. Of several models, one that fails is a line of the result, and the exit code is 1.
    With folders and --json, a benchmark that was interrupted goes on when the same command is given again. Needs no
    torch.
    """
    from mtl_edge.bench.ahead import first_look
    from mtl_edge.intake.limits import free_to_take

    elsewhere, many = bool(boxes["on"] or boxes["hosts"]), any(path.is_dir() for path in models)
    if scenario == "server" and bound_ms is None:
        raise click.UsageError("--scenario server needs --bound-ms", ctx)
    if plot_file is not None and many:
        raise click.UsageError("--plot draws models, not folders of them", ctx)
    memory_limit_bytes = None if memory_limit is None else int(memory_limit * 2**30)
    if not elsewhere and not many:
        ctx.with_resource(
            first_look(
                against or models[0],
                timeout_s=timeout,
                memory_limit=memory_limit_bytes or free_to_take(),
                threads=1 if data is None else 0,
                batch=batches[0],
                dims={name: sizes[0] for name, sizes in dims},
            )
        )

    from mtl_edge.bench.settings import SCENARIOS, Settings
    from mtl_edge.cli.benching import bench_folders, bench_models
    from mtl_edge.cli.boxes import bench_boxes

    settings = Settings(
        threads=threads,
        batches=batches,
        dims=dict(dims),
        rounds=rounds,
        round_seconds=seconds,
        round_runs=runs,
        duration_s=duration or 0.0,
        cold_starts=cold_starts,
        memory_repeats=memory_repeats,
        scenario=next(known for known in SCENARIOS if known == scenario),
        bound_ms=bound_ms or 0.0,
        bound_share=percentile,
        rate_per_s=rate,
        data=data,
        timeout_s=timeout,
        memory_limit_bytes=memory_limit_bytes,
        keep_going=len(models) > 1 or models[0].is_dir(),
    )
    if elsewhere:
        if plot_file is not None:
            raise click.UsageError("--plot draws what is measured here, not --on other boxes", ctx)
        failed = bench_boxes(models, against, settings, json_file, **boxes)
    elif many:
        failed = bench_folders(models, against, settings, json_file)
    else:
        failed = bench_models(models, against, settings, json_file, plot_file)
    if failed:
        ctx.exit(1)
