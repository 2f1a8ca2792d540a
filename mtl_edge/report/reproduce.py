"""How to get a report's figures again: the versions, the recipe, the commands."""

import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import msgspec

from mtl_edge.bench.results import Benchmark
from mtl_edge.provenance import canonical_json, recipe_body
from mtl_edge.recipe import load_recipe
from mtl_edge.zoo import find_recipe
from mtl_edge.zoo.find import reference_recipes

_EXTRA = "train"
_INSTALLED = ("mtl-edge", "torch", "torch-pruning", "onnx", "onnxscript", "onnxruntime", "numpy", "scikit-learn")


@dataclass(frozen=True)
class Reproduction:
    """Commands, one a line; and the recipe as TOML, where it is not a reference recipe as it comes with mtl-edge."""

    commands: tuple[str, ...]
    recipe: str


def of_run(name: str, recipe: str, benchmark: Benchmark) -> Reproduction:
    """Install what made it, and run the recipe.

    Args:
        name: of the recipe.
        recipe: its JSON, defaults included.
        benchmark: what was measured.
    """
    body = msgspec.json.decode(recipe)
    reference = name in reference_recipes() and _is_reference(name, body)
    command = f"mtl-edge run {shlex.quote(name if reference else f'{name}.toml')}"
    return Reproduction((install(benchmark), command), "" if reference else recipe_toml(body))


def of_benchmark(benchmark: Benchmark) -> Reproduction:
    """Install the same versions, and measure the same files; where samples were, only the one who had them knows."""
    base, points = benchmark.base_result, benchmark.points
    paths = dict.fromkeys(path for result in benchmark.results for path in result.paths)
    options = ["--against", *base.paths] if len(base.paths) == 1 else []
    options += ["--threads", _listed(point.threads for point in points)]
    options += ["--batch", _listed(point.batch for point in points)]
    for name in dict(points[0].dims):
        options += ["--dim", f"{name}={_listed(dict(point.dims)[name] for point in points)}"]
    options += ["--rounds", str(len(benchmark.results[-1].latencies[0].rounds_ms))]
    options += ["--data", "SAMPLES"] if base.metrics else []
    return Reproduction((install(benchmark), shlex.join(["mtl-edge", "bench", *paths, *options])), "")


def install(benchmark: Benchmark) -> str:
    """The pip command with the versions that made the models, or that measured them."""
    made = next((manifest.versions for result in benchmark.results for manifest in result.manifests), {})
    known = {**made, **benchmark.machine.versions}
    extra = f"[{_EXTRA}]" if "torch" in known else ""
    named = [
        f"{package}{extra if package == 'mtl-edge' else ''}=={known[package].partition('+')[0]}"
        for package in _INSTALLED
        if package in known
    ]
    return shlex.join(["pip", "install", *named])


def recipe_toml(body: dict[str, Any]) -> str:
    """A recipe's JSON as the TOML that loads as the same recipe."""
    import tomli_w

    given = {key: value for key, value in _without_nulls(body).items() if key not in ("name", "tasks")}
    given["tasks"] = {
        task["name"]: {key: value for key, value in task.items() if key != "name"}
        for task in _without_nulls(body)["tasks"]
    }
    given["net"] = _net_toml(given["net"])
    match given.get("compress"):
        case {"student": {"net": net} as student}:
            student["net"] = _net_toml(net)
    return tomli_w.dumps(given)


def _net_toml(net: dict[str, Any]) -> dict[str, Any]:
    """A net of the user's in the short form that a recipe has for it; others as they are."""
    match net:
        case {"trunk": "python:module", "factory": factory}:
            return {"module": f"python:{factory}"}
        case {"trunk": "python:", "factory": factory, **others}:
            return {"trunk": f"python:{factory}", **others}
        case _:
            return net


def _listed(numbers: Iterable[int]) -> str:
    return ",".join(map(str, dict.fromkeys(numbers)))


def _is_reference(name: str, body: dict[str, Any]) -> bool:
    return canonical_json(recipe_body(load_recipe(find_recipe(name)))) == canonical_json(body)


def _without_nulls(value: Any) -> Any:
    """TOML knows no null; a key that is absent has its default."""
    match value:
        case dict():
            return {key: _without_nulls(item) for key, item in value.items() if item is not None}
        case list() | tuple():
            return [_without_nulls(item) for item in value]
        case _:
            return value
