"""``subset``: some tasks of a model, or its trunk and its heads."""

from pathlib import Path

import click

from mtl_edge.cli.options import MODEL, Guarded
from mtl_edge.errors import needs_extra


@click.command(cls=Guarded, short_help="Keep some tasks of a model, or part it into trunk and heads.")
@click.argument("model", type=MODEL)
@click.option(
    "--tasks",
    metavar="TASK,TASK,…",
    help="The tasks to keep, with commas between; of a model without a manifest, its outputs.",
)
@click.option("--split", is_flag=True, help="Write the trunk and a head for each task instead.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="The file to write, or the folder with --split.  [default: MODEL-TASKS.onnx, or MODEL-split]",
)
@click.option(
    "--data",
    type=click.Path(exists=True, path_type=Path),
    help="Inputs to compare outputs on: an .npz, or a folder of .npy files.  [default: random ones]",
)
@click.option("--measure/--no-measure", default=True, show_default=True, help="Say what each task costs, in ms and MB.")
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Write what was found.")
def subset(
    model: Path,
    tasks: str | None,
    split: bool,
    output: Path | None,
    data: Path | None,
    measure: bool,
    json_file: Path | None,
) -> None:
    """Keep some tasks of MODEL, any .onnx, fp32 or int8: what only the others need is gone.

    Outputs are compared with the whole model's before anything is written, and are equal to the bit; only where a
    float layer sums in another order last bits may move, and it is said by how much. Needs no torch.
    """
    with needs_extra("quantize"):
        import msgspec
        from rich.console import Console

        from mtl_edge.optimize.marginal import measure_costs
        from mtl_edge.optimize.split_file import split_file
        from mtl_edge.optimize.subset_file import read_whole, subset_file
        from mtl_edge.report.subset import show_costs, show_split, show_subset
        from mtl_edge.storage import write_atomically
    if split == (tasks is not None):
        raise click.UsageError("give --tasks, or --split")
    console = Console()
    result: dict[str, object] = {}
    if tasks is None:
        parts = split_file(model, output or model.with_name(f"{model.stem}-split"), data=data)
        show_split(parts, console)
        result["split"] = parts
    else:
        names = [name.strip() for name in tasks.split(",") if name.strip()]
        found = subset_file(model, names, output or model.with_name(f"{model.stem}-{'+'.join(names)}.onnx"), data=data)
        show_subset(found, console)
        result["subset"] = found
    if measure:
        costs = measure_costs(read_whole(model, data))
        show_costs(costs, console)
        result["costs"] = costs
    if json_file is not None:
        write_atomically(json_file, msgspec.json.format(msgspec.json.encode(result), indent=1))
