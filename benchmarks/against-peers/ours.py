"""mtl-edge itself, by its command line: int8 alone, and whole recipes with what prunes, distils and quantizes."""

import os
import re
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from costs import Cost, ToolError, run

from mtl_edge.artifact import MODEL_FILE
from mtl_edge.recipe import load_recipe
from mtl_edge.storage import cache_folder, write_atomically
from mtl_edge.zoo.catalogue import DATA_SETS

if TYPE_CHECKING:
    from networks import Network

_FRAGMENTS = Path(__file__).parent / "recipes"
INT8: dict[str, tuple[str, ...]] = {
    "default": (),
    "all in int8": ("--placement", "all"),
    "all in int8, plain": (
        *("--placement", "all", "--method", "minmax"),
        *("--rounding", "nearest", "--no-correct-bias", "--no-guard"),
    ),
}
_BENCH = "[bench]\nthreads = [1]\nrounds = 2\nround_seconds = 0.01\ncold_starts = 1\n"
"""A recipe ends with a benchmark; this one hardly takes time, since all are measured together later."""


def recipes(network: str) -> dict[str, Path]:
    """Name -> the tables of compression of a network's recipes."""
    return {path.stem: path for path in sorted((_FRAGMENTS / network).glob("*.toml"))}


def quantize(network: "Network", setting: str, out: Path, *, limit_s: float) -> Cost:
    """What ``mtl-edge quantize`` makes of the dense network, as if for the first time on this box."""
    out.mkdir(parents=True, exist_ok=True)
    command = [
        *(sys.executable, "-m", "mtl_edge", "quantize", str(network.model)),
        *("--calib", str(network.data("calib")), "--output", str(out / MODEL_FILE), "--no-cache", *INT8[setting]),
    ]
    return run(command, log=out / "log.txt", limit_s=limit_s)


def follow(network: "Network", name: str, out: Path, *, limit_s: float, quick: bool = False) -> Cost:
    """What ``mtl-edge run`` makes of a recipe: all that follows the training of the dense network, and nothing before.

    Its working folder and its cache are new, but for the data and the training.
    """
    workdir = out / "run"
    shutil.rmtree(workdir, ignore_errors=True)
    _begin(network, workdir)
    cache = workdir / "cache"
    cache.mkdir()
    for data_set in DATA_SETS:
        if (fetched := cache_folder() / data_set.name).exists():
            (cache / data_set.name).symlink_to(fetched)
    recipe = workdir / f"{network.name}.toml"
    base = (network.folder / "recipe.toml").read_text(encoding="utf-8")
    compression = recipes(network.name)[name].read_text(encoding="utf-8")
    if quick:
        compression = re.sub(r"(?m)^epochs = .*$", "epochs = 1", compression)
    write_atomically(recipe, composed(base, compression).encode())
    command = [sys.executable, "-m", "mtl_edge", "run", str(recipe), "--workdir", str(workdir)]
    cost = run(command, log=out / "log.txt", limit_s=limit_s, env={"MTL_EDGE_CACHE": str(cache)})
    variant = load_recipe(recipe).compress.variants[-1]  # the last one is what a recipe is for
    result = workdir / "artifacts" / variant / MODEL_FILE
    if not result.exists():
        raise ToolError(f"{variant} is withheld, because it is slower than what it was made of")
    shutil.copy(result, out / MODEL_FILE)
    return cost


def composed(base: str, compression: str) -> str:
    """A recipe's text with other tables of compression."""
    kept, skipped = [], False
    for line in base.splitlines():
        if line.startswith("["):
            skipped = line.startswith(("[compress", "[bench"))
        if not skipped:
            kept.append(line)
    return "\n".join([*kept, "", compression, _BENCH])


def _begin(network: "Network", folder: Path) -> None:
    """Give a working folder what the network has already: its data and its training, but nothing that follows."""
    for name in ("data", "train"):
        for stage in (network.folder / "stages").glob(f"{name}-*"):
            shutil.copytree(stage, folder / "stages" / stage.name, copy_function=os.link, dirs_exist_ok=True)
