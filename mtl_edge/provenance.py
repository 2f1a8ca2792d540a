"""What a result was made with: the source code that ran, the libraries that it called, the recipe in one form."""

from collections.abc import Iterable
from importlib.metadata import version
from importlib.resources import files
from importlib.resources.abc import Traversable

import msgspec

import mtl_edge
from mtl_edge.recipe import Recipe
from mtl_edge.storage import sha256_of


def recipe_body(recipe: Recipe) -> dict[str, object]:
    """A recipe as plain values, defaults included, without the place that it was read from."""
    body: dict[str, object] = msgspec.to_builtins(msgspec.structs.asdict(recipe) | {"folder": None})
    del body["folder"]
    return body


def canonical_json(value: object) -> bytes:
    """The one JSON text of a value: keys sorted."""
    return msgspec.json.encode(value, order="sorted")


def library_versions(libraries: Iterable[str]) -> dict[str, str]:
    """Installed versions, mtl-edge's own included."""
    return {"mtl-edge": mtl_edge.__version__, **{name: version(name) for name in libraries}}


def code_hash(places: Iterable[str]) -> str:
    """The hash of the source files of some modules and packages of mtl-edge, such as ``nets`` or ``runtime.py``."""
    package = files("mtl_edge")
    return sha256_of(*(content for place in places for content in _sources(package.joinpath(*place.split("/")))))


def _sources(place: Traversable) -> Iterable[bytes]:
    if place.is_file():
        if place.name.endswith(".py"):
            yield place.read_bytes()
        return
    for entry in sorted(place.iterdir(), key=lambda entry: entry.name):
        yield from _sources(entry)
