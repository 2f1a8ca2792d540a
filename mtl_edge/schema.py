"""The JSON Schema of the manifest, for whoever reads one without this package."""

import re
from importlib.resources import files
from typing import Any

import msgspec

from mtl_edge.artifact import Manifest

SCHEMA_FILE = "manifest.schema.json"
_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_ANCHORS = ((r"\\A", "^"), (r"\\Z", "$"))
"""Of Python's regular expressions, which JSON Schema's have otherwise."""


def published_schema() -> str:
    """The schema as it stands in the package."""
    return (files("mtl_edge") / SCHEMA_FILE).read_text(encoding="utf-8")


def manifest_schema() -> str:
    """The schema as the types have it; a test holds the published one to it."""
    schema: dict[str, Any] = {"$schema": _DIALECT, "title": "mtl-edge manifest", **msgspec.json.schema(Manifest)}
    manifest = schema["$defs"]["Manifest"]
    manifest["properties"]["format"] = {"const": Manifest.__struct_defaults__[0]}
    manifest["required"] = ["format", *manifest["required"], "sha256"]  # which Python can fill in, and others cannot
    text = msgspec.json.format(msgspec.json.encode(_one_line(schema)), indent=2).decode()
    for python, schema_form in _ANCHORS:
        text = re.sub(re.escape(python), schema_form, text)
    return text + "\n"


def _one_line(value: Any) -> Any:
    """Descriptions are docstrings: lines that were broken for the source are joined."""
    match value:
        case {"description": str(words), **rest}:
            return {"description": " ".join(words.split()), **_one_line(rest)}
        case dict():
            return {key: _one_line(inner) for key, inner in value.items()}
        case list():
            return [_one_line(inner) for inner in value]
        case _:
            return value
