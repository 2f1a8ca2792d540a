"""The Kotlin client compiles against ONNX Runtime's library for Android, and computes on a JVM what Python computes.

The library's native code is for Android alone. So golden outputs stand in for the network, and all around it is run:
the seal, JSON, preprocessing, decoding, comparison. Of the kit, only what needs Android's own classes (``app/``) is not
compiled here.
"""

import json
import os
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clients.npm import KOTLIN, packages
from clients.tools import program
from clients.trials import (
    ENCODING,
    REFERENCE,
    ROWS,
    SMALL,
    TEXTS,
    assert_answers_are_those_of_python,
    assert_pictures_are_as_in_training,
    python_client,
    samples_in_python,
    write_kits,
)

from mtl_edge.artifact import MODEL_FILE

HERE = Path(__file__).parent
CLIENT = "mtl_edge/src/main/kotlin/mtledge"
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # a compiler on a busy box


@pytest.fixture(scope="module")
def kits(models: Path, pictures: list[np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Kits of all models."""
    folder = tmp_path_factory.mktemp("android")
    write_kits(models, "android", folder, pictures)
    return folder


@pytest.fixture(scope="module")
def compile_kotlin(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Compile some files and give the class path with them; every warning is an error."""
    java = program("java", install="apt-get install default-jre-headless")
    library = tmp_path_factory.mktemp("library")
    modules = packages(KOTLIN)
    with zipfile.ZipFile(next(modules.rglob("Plugins/Android/onnxruntime.aar"))) as archive:
        archive.extract("classes.jar", library)
    home = modules / "kotlin-compiler" / "lib"
    compiler = (
        f"{name}.jar"
        for name in (
            "kotlin-compiler",
            "kotlin-stdlib",
            "kotlin-script-runtime",
            "kotlin-reflect",
            "kotlinx-coroutines-core-jvm",
            "kotlin-daemon-client",
            "annotations-13.0",
        )
    )
    start = [java, "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx1g"]
    start += ["-cp", os.pathsep.join(str(home / name) for name in compiler)]
    start += ["org.jetbrains.kotlin.cli.jvm.K2JVMCompiler", "-no-stdlib", "-no-reflect", "-Werror"]

    def compiled(*sources: Path, using: str = "") -> "tuple[subprocess.CompletedProcess[str], str]":
        classes = tmp_path_factory.mktemp("classes")
        path = os.pathsep.join(filter(None, (str(home / "kotlin-stdlib.jar"), str(library / "classes.jar"), using)))
        command = [*start, "-cp", path, "-d", classes, *sources]
        done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
        return done, os.pathsep.join((path, str(classes)))

    return compiled


@pytest.fixture(scope="module")
def class_path(kits: Path, compile_kotlin: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The client and the views of three models, compiled."""
    views = tmp_path_factory.mktemp("views")
    for name in ("every-kind", "several", "table", "tokens", *ENCODING):
        package = name.replace("-", "")
        view = (kits / name / CLIENT / "Kit.kt").read_text()
        (views / f"{package}.kt").write_text(
            view.replace("package mtledge\n", f"package mtledge.{package}\n\nimport mtledge.*\n")
        )
    client = [path for path in sorted((kits / "int8" / CLIENT).glob("*.kt")) if path.name != "Kit.kt"]
    done, path = compile_kotlin(*client, *views.iterdir(), HERE / "Check.kt")
    assert done.returncode == 0, done.stderr
    return str(path)


@pytest.fixture(scope="module")
def found(kits: Path, class_path: str) -> dict[str, Any]:
    """What the client makes of each kit."""
    pairs = {
        name: f"{kits / name}:{kits / name / 'goldens'}" for name in (*REFERENCE, *SMALL, *ENCODING, "tampered-model")
    }
    for name in ("tampered-golden", "other-goldens"):
        pairs[name] = f"{kits / 'mnist-pairs'}:{kits / name / 'goldens'}"
    command = ["java", "-cp", class_path, "CheckKt", *pairs.values()]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    by_pair = json.loads(done.stdout)
    return {name: by_pair[pair] for name, pair in pairs.items()}


@pytest.mark.parametrize("name", [*REFERENCE, *SMALL, *ENCODING])
def test_preprocessing_and_decoding_are_those_of_the_python_client(
    found: dict[str, Any], kits: Path, name: str
) -> None:
    """Inputs agree with the golden vectors to 1e-5, and every kind of task has the same answers."""
    assert found[name]["check"] == 4
    assert_answers_are_those_of_python(kits / name, found[name]["answers"])


def test_rows_and_texts_are_encoded_as_in_training(found: dict[str, Any], kits: Path) -> None:
    """Whatever form numbers and categories have, and whatever is missing."""
    given = {"table": {"x": ROWS}, "tokens": {"x": TEXTS}, **{key: {"x": ROWS} for key in ENCODING}}
    for name, samples in {**given, "several": samples_in_python()}.items():
        inputs = python_client().Model(kits / name / MODEL_FILE).inputs
        wanted = {key: array for part in samples for key, array in inputs[part].feeds(samples[part]).items()}
        assert found[name]["encoded"].keys() == wanted.keys()
        for part, array in wanted.items():
            made = np.array(found[name]["encoded"][part], object if array.dtype == object else np.float64)
            np.testing.assert_array_equal(made.reshape(array.shape), array)


def test_rows_that_the_model_does_not_read_are_refused(found: dict[str, Any]) -> None:
    """The message names the row, the column and what was found."""
    assert found["table"]["wrong"][:3] == [
        "SampleException: row 0: must have the column 'the city', found age, class",
        "SampleException: row 0: 'age' must be a finite number, found 'old'",
        "SampleException: row 0: 'age' must be a finite number, found '1.0E39'",
    ]
    assert found["rows-in-graph"]["wrong"][:3] == found["table"]["wrong"][:3]
    assert found["several"]["wrong"][0] == "SampleException: the row: must be given, found image, note"
    assert found["int8"]["wrong"] == ["SampleException: x: dtype must be uint8, found float32"]


def test_pictures_become_samples_as_in_training(found: dict[str, Any], pictures: list[np.ndarray]) -> None:
    """In every pixel, resized or as bytes of its own size."""
    assert_pictures_are_as_in_training(found["int8"]["images"], found["int8"]["bytes"], pictures)


def test_what_was_changed_is_refused(found: dict[str, Any]) -> None:
    """A model or a golden vector with one bit flipped, and vectors of another model."""
    assert "the file was changed after export: SHA-256 must be" in found["tampered-model"]
    assert "ModelFileException: goldens: case 1: output 'sum': must be within" in found["tampered-golden"]["check"]
    assert "at [0, 0], found" in found["tampered-golden"]["check"]
    assert "goldens: must be of the model" in found["other-goldens"]["check"]


def test_types_know_the_tasks(class_path: str, compile_kotlin: Any, tmp_path: Path) -> None:
    """An app compiles with the names of tasks and columns; with a misspelt one it does not."""
    app = tmp_path / "App.kt"
    right = """
        fun total(kit: mtledge.table.Kit): Float =
            kit.predict(listOf(mtledge.table.Row(age = 41, the_city = "Bern", the_class = null))).first().total.value
        fun grade(kit: mtledge.everykind.Kit, raw: mtledge.NdArray): Int = kit.predict(raw).first().run {
            grade.rank + the_class.label + Ma_1.labels.size + ma_1_2.values.size
        }
        fun inGraph(kit: mtledge.rowsingraph.Kit): Float = kit.predict(
            listOf(mtledge.rowsingraph.Row(age = 41, the_city = "Bern", the_class = null))
        ).first().total.value
        fun several(kit: mtledge.several.Kit, image: mtledge.NdArray): Float = kit.predict(
            image = image,
            the_row = listOf(mtledge.several.The_rowRow(age = null, the_city = "Bern", the_class = 2)),
            note = listOf("my parcel"),
        ).first().total.value
        fun text(kit: mtledge.tokens.Kit): Float = kit.predict(listOf("my parcel", null)).first().total.value
    """
    app.write_text(right)
    done, _ = compile_kotlin(app, using=class_path)
    assert done.returncode == 0, done.stderr
    app.write_text(right.replace("total.value", "totl.value").replace("the_city", "the_town"))
    done, _ = compile_kotlin(app, using=class_path)
    assert "totl" in done.stderr
    assert "the_town" in done.stderr


def test_only_the_app_needs_classes_of_android(kits: Path) -> None:
    """So that all of the client is compiled and run in these tests."""
    kit = kits / "mnist-pairs"
    assert not [path for path in (kit / "mtl_edge").rglob("*.kt") if "import android" in path.read_text()]
    sources = {path.relative_to(kit).as_posix() for path in kit.rglob("*.kt")}
    readme = (kit / "README.md").read_text()
    assert all(path in readme for path in sources if not path.startswith("mtl_edge/"))
