"""``run`` and ``train``: what a recipe says."""

from pathlib import Path

import click

from mtl_edge.cli.options import with_workdir
from mtl_edge.errors import needs_extra


@click.command(short_help="Train, compress, export and measure what a recipe says.")
@click.argument("recipe")
@with_workdir
@click.pass_context
def run(ctx: click.Context, recipe: str, workdir: Path | None) -> None:
    """Train, compress, export and measure what RECIPE says.

    RECIPE is the name of a reference recipe, such as mnist-pairs, or the path of a recipe.toml. A run that was
    interrupted goes on where it stopped when the same command is given again. A pruned model or a student
    that is slower than the model it comes from is withheld, and the exit code is 1 then.
    """
    from mtl_edge.progress import spinner

    with needs_extra("train"), spinner("loading torch"):
        from rich.console import Console

        from mtl_edge.pipeline import run as run_recipe
        from mtl_edge.recipe import load_recipe
        from mtl_edge.report.finished import show_run
        from mtl_edge.zoo import find_recipe

    loaded = load_recipe(find_recipe(recipe))
    folder = workdir or Path("runs") / loaded.name
    report = run_recipe(loaded, folder)
    show_run(report, Console())
    click.echo(f"models  {folder / 'artifacts'}\nreport  {folder / 'report.html'}")
    if report.withheld:
        ctx.exit(1)


@click.command(short_help="Train the dense network of a recipe, and nothing more.")
@click.argument("recipe")
@with_workdir
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
