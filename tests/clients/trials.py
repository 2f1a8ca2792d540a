"""What clients in all languages are tried on, and what is to come of it."""

import importlib.util
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import numpy as np
from click.testing import CliRunner
from clients.small_models import TABLE, TOKENS, every_kind, int8, raw, several, sum_of
from PIL import Image

from mtl_edge.artifact import MODEL_FILE, write_artifact
from mtl_edge.cli import main
from mtl_edge.export.preprocess import preprocess_in_graph
from mtl_edge.kits.goldens import GOLDENS_FOLDER, Goldens
from mtl_edge.kits.kit import write_kit

ROOT = Path(__file__).parents[2]
REFERENCE = ("mnist-pairs", "adult-mmoe", "reviews", "fashion-scenes")  # pixels, a table, tokens, dense outputs
SMALL = ("every-kind", "in-graph", "int8", "raw", "several", "table", "tokens")
ENCODING = ("categories-in-graph", "rows-in-graph")
"""Models whose graphs encode rows: of categories alone, and of numbers too."""

ROWS = [
    {"age": 41.5, "the city": "Bern", "class": 2},
    {"age": " -3e0 ", "the city": None, "class": 0.5},
    {"age": None, "the city": "Oslo", "class": True},
    {"age": "", "the city": "", "class": "1"},
]
WRONG_ROWS = [
    ([{"age": 1, "class": 1}], 'SampleError: row 0: must have the column "the city", found age, class'),
    ([{**ROWS[0], "age": "old"}], 'SampleError: row 0: "age" must be a finite number, found "old"'),
    ([{**ROWS[0], "age": 1e39}], 'SampleError: row 0: "age" must be a finite number, found 1e+39'),
    (ROWS[0], "SampleError: x: samples must be in a list or an array, found one alone"),
]
TEXTS = ["My parcel ISN'T here, my dear!", "", None, "parcel?", "\u00e9t\u00e9 my"]
SAMPLES = {"image": [[*range(9)], [*range(247, 256)]], "the row": ROWS[:2], "note": TEXTS[:2]}
"""Two samples of a model that reads several things."""
WRONG_SAMPLES = [
    (
        {"image": [], "note": []},
        "SampleError: samples must be by the names of inputs, image, the row, note, found image, note",
    ),
    (
        {**SAMPLES, "note": ["my"]},
        "SampleError: each input must have as many samples as the others, found image 2, the row 2, note 1",
    ),
    ([], "SampleError: samples must be by the names of inputs, image, the row, note, found something else"),
]
IMAGES = ((40, 30, (1, 9, 12)), (7, 5, (3, 16, 16)), (12, 9, (3, 9, 12)), (33, 50, (1, 50, 20)))
"""Width and height of a picture, and channels, height and width of what the model reads."""


def pictures() -> list[np.ndarray]:
    """Noise with an alpha of its own."""
    rng = np.random.default_rng(5)
    return [rng.integers(0, 256, (height, width, 4), np.uint8) for width, height, _ in IMAGES]


def write_models(folder: Path) -> None:
    """Models of all kinds, ``<name>/model.onnx``, and the reference ones."""
    made = {
        "every-kind": every_kind(),
        "int8": int8(),
        "raw": raw(),
        "several": several(),
        "table": sum_of(TABLE, 3),
        "tokens": sum_of(TOKENS, 4),
    }
    for name, table in zip(ENCODING, (msgspec.structs.replace(TABLE, columns=TABLE.columns[1:]), TABLE), strict=True):
        model, manifest = sum_of(table, len(table.columns))
        encoding, inputs = preprocess_in_graph(model, manifest.inputs[0])
        made[name] = encoding, msgspec.structs.replace(manifest, inputs=inputs)
    for name, (model, manifest) in made.items():
        write_artifact(folder / name, model, manifest)
    whole = ["export", str(ROOT / "models" / "mnist-pairs" / MODEL_FILE), "--preprocess", "--decode"]
    done = CliRunner().invoke(main, [*whole, "-o", str(folder / "in-graph")])
    assert done.exit_code == 0, done.output
    for name in REFERENCE:
        shutil.copytree(ROOT / "models" / name, folder / name)


def write_kits(models: Path, destination: str, folder: Path, pictures: list[np.ndarray]) -> None:
    """A kit of each model, with what the probe is to try on it."""
    for model in sorted(models.iterdir()):
        kit = write_kit(model / MODEL_FILE, destination, folder / model.name).folder
        request: dict[str, object] = {}
        match model.name:
            case "table" | "rows-in-graph" | "categories-in-graph":
                request = {"samples": ROWS, "wrong": [samples for samples, _ in WRONG_ROWS]}
            case "tokens":
                request = {"samples": TEXTS, "wrong": ["my parcel", ["my", 3]]}
            case "several":
                request = {"samples": SAMPLES, "wrong": [samples for samples, _ in WRONG_SAMPLES]}
            case "int8":
                images = [
                    {"data": image.ravel().tolist(), "width": width, "height": height, "shape": shape}
                    for image, (width, height, shape) in zip(pictures, IMAGES, strict=True)
                ]
                request = {"images": images, "wrong": [[[1, 2]]]}
        (kit / "request.json").write_text(json.dumps(request))
    for name, part in (("tampered-model", MODEL_FILE), ("tampered-golden", f"{GOLDENS_FOLDER}/1-output-2.bin")):
        kit = shutil.copytree(folder / "mnist-pairs", folder / name)
        content = bytearray((kit / part).read_bytes())
        content[2 if part != MODEL_FILE else len(content) // 2] ^= 64
        (kit / part).write_bytes(content)
    shutil.copytree(folder / "mnist-pairs", folder / "other-goldens")
    shutil.copytree(folder / "int8" / GOLDENS_FOLDER, folder / "other-goldens" / GOLDENS_FOLDER, dirs_exist_ok=True)


def python_client() -> ModuleType:
    """The Python client, which is the reference."""
    path = ROOT / "exporters" / "python" / "mtl_edge_client.py"
    spec = importlib.util.spec_from_file_location("mtl_edge_client", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def samples_in_python() -> dict[str, Any]:
    """The two samples of several things, for the Python client."""
    return {**SAMPLES, "image": np.array(SAMPLES["image"], np.uint8).reshape(2, 1, 3, 3)}


def golden_outputs(kit: Path) -> tuple[Goldens, list[list[np.ndarray]]]:
    """The golden vectors, and the outputs of each case."""
    goldens = msgspec.json.decode((kit / GOLDENS_FOLDER / "goldens.json").read_bytes(), type=Goldens)
    read = [
        [np.fromfile(kit / GOLDENS_FOLDER / entry.file, entry.dtype).reshape(entry.shape) for entry in case.outputs]
        for case in goldens.cases
    ]
    return goldens, read


def assert_answers_are_those_of_python(kit: Path, found: list[list[Mapping[str, Any]]]) -> None:
    """A client decodes each golden vector's outputs to the same labels, probabilities and values.

    Args:
        kit: its folder.
        found: for each golden vector, the answers of its samples, task name -> field -> value.
    """
    python = python_client()
    goldens, expected = golden_outputs(kit)
    kinds = python.Model(kit / MODEL_FILE).tasks
    for case, outputs, samples in zip(goldens.cases, expected, found, strict=True):
        (answers,) = samples
        assert list(answers) == list(kinds)
        for entry, output in zip(case.outputs, outputs, strict=True):
            if entry.name not in kinds:  # an answer that the graph gives by itself
                continue
            (wanted,) = python._DECODERS[kinds[entry.name]](output)
            for field, value in vars(wanted).items():
                got, right = (np.array(item, np.float64).ravel() for item in (answers[entry.name][field], value))
                if field in ("label", "labels", "rank", "yes"):
                    assert len(got) == len(right)
                    # pixels between two classes
                    assert (got != right).sum() <= (0.02 * right.size if np.ndim(value) == 2 else 0)
                else:
                    np.testing.assert_allclose(got, right, rtol=1e-6, atol=entry.atol)


def assert_pictures_are_as_in_training(
    found: list[list[float]], unsized: list[list[float]], given: list[np.ndarray]
) -> None:
    """Every pixel is the one that Pillow computes from the same picture, larger or smaller, grey or in colour."""
    for pixels, whole, picture, (_, _, (channels, height, width)) in zip(found, unsized, given, IMAGES, strict=True):
        image = Image.fromarray(picture).convert("L" if channels == 1 else "RGB")
        resized = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))
        wanted = resized.reshape(height, width, channels).transpose(2, 0, 1)
        np.testing.assert_array_equal(np.array(pixels).reshape(wanted.shape), wanted)
        np.testing.assert_array_equal(whole, np.asarray(image).ravel())
