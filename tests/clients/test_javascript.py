"""Node and Chromium run the kits, and compute what Python computes."""

import base64
import functools
import importlib.util
import json
import re
import shutil
import subprocess
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import numpy as np
import pytest
from clients.npm import JAVASCRIPT, packages, program
from clients.small_models import TABLE, TOKENS, every_kind, int8, sum_of
from PIL import Image

from mtl_edge.artifact import MODEL_FILE, write_artifact
from mtl_edge.kits.goldens import GOLDENS_FOLDER, Goldens
from mtl_edge.kits.kit import write_kit

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
REFERENCE = ("mnist-pairs", "adult-mmoe", "reviews", "fashion-scenes")  # pixels, a table, tokens, dense outputs
pytestmark = pytest.mark.slow
CHROMIUM = "apt-get install --no-install-recommends chromium"

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
IMAGES = ((40, 30, (1, 9, 12)), (7, 5, (3, 16, 16)), (12, 9, (3, 9, 12)), (33, 50, (1, 50, 20)))
"""Width and height of a picture, and channels, height and width of what the model reads."""


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    """Noise with an alpha of its own."""
    rng = np.random.default_rng(5)
    return [rng.integers(0, 256, (height, width, 4), np.uint8) for width, height, _ in IMAGES]


@pytest.fixture(scope="module")
def kits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models of all kinds, ``<name>/model.onnx``, and the reference ones."""
    folder = tmp_path_factory.mktemp("models")
    made = {"every-kind": every_kind(), "int8": int8(), "table": sum_of(TABLE, 3), "tokens": sum_of(TOKENS, 4)}
    for name, (model, manifest) in made.items():
        write_artifact(folder / name, model, manifest)
    for name in REFERENCE:
        shutil.copytree(ROOT / "models" / name, folder / name)
    return folder


def _write_kits(models: Path, destination: str, folder: Path, pictures: list[np.ndarray]) -> None:
    """A kit of each model, with what the probe is to try on it."""
    for model in sorted(models.iterdir()):
        kit = write_kit(model / MODEL_FILE, destination, folder / model.name).folder
        request: dict[str, object] = {}
        match model.name:
            case "table":
                request = {"samples": ROWS, "wrong": [samples for samples, _ in WRONG_ROWS]}
            case "tokens":
                request = {"samples": TEXTS, "wrong": ["my parcel", ["my", 3]]}
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


@pytest.fixture(scope="module")
def node(kits: Path, pictures: list[np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What Node answers, by kit."""
    program("node", "apt-get install nodejs")
    folder = tmp_path_factory.mktemp("node")
    (folder / "node_modules").symlink_to(packages(JAVASCRIPT))
    _write_kits(kits, "node", folder, pictures)
    names = json.dumps(sorted(path.name for path in folder.iterdir() if path.is_dir() and path.name != "node_modules"))
    shutil.copy(HERE / "probe.js", folder / "probe.mjs")
    (folder / "main.mjs").write_text(
        f"""
        import {{ readFile }} from "node:fs/promises";
        import {{ probe }} from "./probe.mjs";
        const found = {{}};
        for (const name of {names}) {{
          const {{ openKit, imageSample }} = await import(`./${{name}}/kit.js`);
          const request = JSON.parse(await readFile(new URL(`${{name}}/request.json`, import.meta.url)));
          found[name] = await probe(openKit, imageSample, {{}}, request);
        }}
        console.log(JSON.stringify(found));
        """
    )
    done = subprocess.run(["node", "main.mjs"], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {"folder": folder, **json.loads(done.stdout)}


@pytest.fixture(scope="module")
def web(kits: Path, pictures: list[np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What Chromium answers, by kit."""
    program("chromium", CHROMIUM)
    folder = tmp_path_factory.mktemp("web")
    _write_kits(kits, "web", folder, pictures)
    _with_runtime(folder / "mnist-pairs")
    shutil.move(folder / "mnist-pairs" / "ort", folder / "ort")
    names = json.dumps(sorted(path.name for path in folder.iterdir() if path.name != "ort"))
    shutil.copy(HERE / "probe.js", folder)
    (folder / "index.html").write_text(
        f"""<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,">
        <script type="importmap">{{"imports": {{"onnxruntime-web/wasm": "/ort/ort.wasm.bundle.min.mjs"}}}}</script>
        <pre id="found"></pre>
        <script type="module">
        import {{ probe }} from "./probe.js";
        const found = {{}};
        for (const name of {names}) {{
          const {{ openKit, imageSample }} = await import(`/${{name}}/kit.js`);
          const request = await (await fetch(`/${{name}}/request.json`)).json();
          found[name] = await probe(openKit, imageSample, {{}}, request);
        }}
        document.getElementById("found").textContent = btoa(unescape(encodeURIComponent(JSON.stringify(found))));
        </script>"""
    )
    with _served(folder) as address:
        page = _dom(address)
    found = re.search(r'<pre id="found">([\w+/=]*)</pre>', page)
    assert found, page
    return {"folder": folder, **json.loads(base64.b64decode(found[1]))}


def _with_runtime(kit: Path) -> None:
    """What ``npm install`` does in a web kit."""
    (kit / "node_modules").symlink_to(packages(JAVASCRIPT))
    subprocess.run([program("node", "apt-get install nodejs"), "get_runtime.mjs"], cwd=kit, check=True)
    (kit / "node_modules").unlink()


class _served:  # noqa: N801
    """A folder, served to this machine, as a context that gives its address."""

    def __init__(self, folder: Path) -> None:
        class Handler(SimpleHTTPRequestHandler):
            extensions_map = {**SimpleHTTPRequestHandler.extensions_map, ".wasm": "application/wasm"}  # noqa: RUF012

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=folder))

    def __enter__(self) -> str:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return f"http://localhost:{self._server.server_port}/"

    def __exit__(self, *args: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def _dom(address: str) -> str:
    """A page once its scripts are through."""
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=60000"]
    command = [program("chromium", CHROMIUM), *options, "--dump-dom", address]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(params=["node", "web"])
def answers(request: pytest.FixtureRequest) -> dict[str, Any]:
    """What a runtime of JavaScript answers, by kit."""
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def python() -> ModuleType:
    """The Python client, which is the reference."""
    path = ROOT / "exporters" / "python" / "mtl_edge_client.py"
    spec = importlib.util.spec_from_file_location("mtl_edge_client", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _cases(kit: Path) -> tuple[Goldens, list[list[np.ndarray]]]:
    """The golden vectors, and the outputs of each case."""
    goldens = msgspec.json.decode((kit / GOLDENS_FOLDER / "goldens.json").read_bytes(), type=Goldens)
    read = [
        [np.fromfile(kit / GOLDENS_FOLDER / entry.file, entry.dtype).reshape(entry.shape) for entry in case.outputs]
        for case in goldens.cases
    ]
    return goldens, read


@pytest.mark.parametrize("name", [*REFERENCE, "every-kind", "int8", "table", "tokens"])
def test_outputs_are_those_of_python(answers: dict[str, Any], name: str) -> None:
    """Equal for int8, within 1e-6 for fp32; of the reference models, part int8 and part float, within their bounds."""
    goldens, expected = _cases(answers["folder"] / name)
    for case, outputs, golden in zip(goldens.cases, expected, answers[name]["goldens"], strict=True):
        for entry, output in zip(case.outputs, outputs, strict=True):
            found = golden["outputs"][entry.name]
            assert found["shape"] == list(entry.shape)
            apart = np.abs(np.array(found["data"], np.float64) - output.ravel()).max()
            bound = {"int8": 0, "every-kind": 0, "tokens": 0, "table": 1e-6 * np.abs(output).max()}
            assert apart <= bound.get(name, entry.atol)


@pytest.mark.parametrize("name", [*REFERENCE, "every-kind", "int8", "table", "tokens"])
def test_self_checks_pass(answers: dict[str, Any], name: str) -> None:
    """All golden vectors agree."""
    assert answers[name]["check"] == 4


@pytest.mark.parametrize("name", [*REFERENCE, "every-kind"])
def test_answers_are_those_of_the_python_client(answers: dict[str, Any], python: Any, name: str) -> None:
    """Every kind of task is decoded to the same labels, probabilities and values."""
    kit = answers["folder"] / name
    goldens, expected = _cases(kit)
    kinds = python.Model(kit / MODEL_FILE).tasks
    for case, outputs, golden in zip(goldens.cases, expected, answers[name]["goldens"], strict=True):
        (found,) = golden["answers"]
        assert list(found) == list(kinds)
        for entry, output in zip(case.outputs, outputs, strict=True):
            (wanted,) = python._DECODERS[kinds[entry.name]](output)
            answer = found[entry.name]
            assert answer["kind"] == kinds[entry.name]
            for field, value in vars(wanted).items():
                got = np.array(answer[field], np.float64).ravel()
                if field in ("label", "labels", "rank", "yes"):
                    flips = np.mean(got != np.array(value, np.float64).ravel()) if np.size(value) else 0
                    assert flips <= (0.02 if np.ndim(value) == 2 else 0)  # pixels between two classes
                else:
                    np.testing.assert_allclose(got, np.array(value, np.float64).ravel(), rtol=1e-6, atol=entry.atol)


def test_rows_and_texts_are_encoded_as_in_training(answers: dict[str, Any], python: Any) -> None:
    """Whatever form numbers and categories have, and whatever is missing."""
    for name, samples in (("table", ROWS), ("tokens", TEXTS)):
        wanted = python.Model(answers["folder"] / name / MODEL_FILE).predict(samples)
        found = [float(answer["total"]["value"]) for answer in answers[name]["given"]]
        np.testing.assert_allclose(found, [answer["total"].value for answer in wanted], rtol=1e-6)
        assert answers[name]["empty"] == []


def test_samples_that_the_model_does_not_read_are_refused(answers: dict[str, Any]) -> None:
    """The message names the row, the column and what was found."""
    assert answers["table"]["wrong"] == [rule for _, rule in WRONG_ROWS]
    assert answers["tokens"]["wrong"] == [
        "SampleError: x: samples must be in a list or an array, found one alone",
        "SampleError: samples must be texts, found 3",
    ]
    assert answers["int8"]["wrong"] == ["SampleError: x: sample 0: dtype must be uint8, found object"]


def test_pictures_become_samples_as_in_training(answers: dict[str, Any], pictures: list[np.ndarray]) -> None:
    """Every pixel is the one that Pillow computes from the same picture, larger or smaller, grey or in colour."""
    for found, picture, (_, _, (channels, height, width)) in zip(
        answers["int8"]["images"], pictures, IMAGES, strict=True
    ):
        image = Image.fromarray(picture).convert("L" if channels == 1 else "RGB")
        wanted = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))
        wanted = wanted.reshape(height, width, channels).transpose(2, 0, 1)
        np.testing.assert_array_equal(np.array(found).reshape(wanted.shape), wanted)


def test_what_was_changed_is_refused(answers: dict[str, Any]) -> None:
    """A model with one bit flipped does not load; a golden vector with one is named with its place and value."""
    assert "the file was changed after export: SHA-256 must be" in answers["tampered-model"]["fault"]
    assert re.search(
        r"ModelFileError: goldens: case 1: output 'sum': must be within \S+ of \S+ at \(0, 0\), found ",
        str(answers["tampered-golden"]["check"]),
    )
    assert "goldens: must be of the model" in answers["other-goldens"]["fault"]


def test_the_readme_of_the_node_kit_is_true(node: dict[str, Any]) -> None:
    """Its second command checks the model and prints the answers of every task."""
    readme = (node["folder"] / "mnist-pairs" / "README.md").read_text()
    assert "npm install\nnode example.mjs\n" in readme
    kit = node["folder"] / "every-kind"
    done = subprocess.run(["node", "example.mjs"], cwd=kit, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(
        "small dense: 4 golden vectors agree on this machine\nreads x, float32 (batch, 3, 4, 5)"
    )
    for task in every_kind()[1].tasks:
        assert f"\n  {task.name}: " in done.stdout
    tampered = node["folder"] / "tampered-golden"
    refused = subprocess.run(["node", "example.mjs"], cwd=tampered, capture_output=True, text=True, check=False)
    assert refused.returncode != 0
    assert "case 1: output 'sum'" in refused.stderr


@pytest.mark.parametrize(
    ("name", "state", "shown"),
    [
        (
            "fashion-scenes",
            "passed",
            ["verified: 4 golden vectors agree", 'data-task="depth"', "<canvas", "Drop an image"],
        ),
        ("adult-mmoe", "passed", ['name="educational-num"', "Self-emp-not-inc", "--share:"]),
        ("every-kind", "passed", ['data-kind="multilabel"', 'data-task="constructor"', 'data-kind="ordinal"']),
        ("tampered-golden", "failed", ["This model must not be used here", "case 1: output 'sum'"]),
    ],
)
def test_the_page_checks_itself_and_answers(
    web: dict[str, Any], name: str, state: str, shown: list[str], tmp_path: Path
) -> None:
    """Served by the kit's own server, it shows each task's answer to a sample, or why the model must not be used."""
    kit = shutil.copytree(web["folder"] / name, tmp_path / name)
    shutil.copytree(web["folder"] / "ort", kit / "ort")
    readme = (kit / "README.md").read_text()
    assert "npm install\nnpm start\n" in readme
    assert json.loads((kit / "package.json").read_text())["scripts"]["start"] == "node serve.mjs"
    command = [program("node", "apt-get install nodejs"), "serve.mjs", "0"]
    with subprocess.Popen(command, cwd=kit, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        page = _dom(server.stdout.readline().split()[1])
        server.terminate()
    assert f'data-check="{state}"' in page
    for part in shown:
        assert part in page


@pytest.mark.parametrize("destination", ["node", "web"])
def test_types_know_the_tasks(kits: Path, tmp_path: Path, destination: str) -> None:
    """An app in strict TypeScript compiles, and so does the client; one with a misspelt task or column does not."""
    modules = packages(JAVASCRIPT)
    for name in ("every-kind", "table", "tokens"):
        write_kit(kits / name / MODEL_FILE, destination, tmp_path / name)
    (tmp_path / "node_modules").symlink_to(modules)
    library = json.dumps(["es2022", "dom", "dom.iterable"])
    (tmp_path / "tsconfig.json").write_text(
        f"""{{
          "compilerOptions": {{
            "noEmit": true, "strict": true, "allowJs": true, "checkJs": true, "skipLibCheck": true, "target": "es2022",
            "module": "nodenext", "lib": {library}, "types": ["node"], "noUncheckedIndexedAccess": true,
            "allowImportingTsExtensions": true
          }},
          "include": ["*.ts", "*/kit.js", "*/kit.d.ts", "*/mtl_edge/*", "*/browser.js"]
        }}"""
    )
    app = """
        import { openKit, imageSample, type Row } from "./table/kit.js";
        import * as kind from "./every-kind/kit.js";
        import * as tokens from "./tokens/kit.js";
        const model = await openKit({ threads: 2 });
        const row: Row = { age: 41, "the city": "Bern", class: null };
        const [answers] = await model.predict([row]);
        const total: number = answers!.total.value;
        const [all] = await (await kind.openKit()).predict([new Float32Array(60)]);
        const place: kind.Segmentation = all!["Ma\u00df.\u00e9-1"];
        const grade: number = all!.grade.rank + all!.constructor.value + all!["class"].label + total;
        const text: number = (await (await tokens.openKit()).predict(["my parcel", null]))[0]!.total.value;
        export { place, grade, text, imageSample };
    """
    (tmp_path / "package.json").write_text('{"type": "module"}')
    command = [program("node", "apt-get install nodejs"), modules / "typescript" / "bin" / "tsc", "-p", tmp_path]

    def faults(**apps: str) -> set[str]:
        for name, text in apps.items():
            (tmp_path / f"{name}.ts").write_text(text)
        done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
        return {line for line in done.stdout.splitlines() if not line.startswith(" ")}

    assert faults(app=app) == set()
    mistakes = {
        "answer": ("total.value", "totl.value"),
        "column": ('"the city"', '"the town"'),
        "field": (".rank", ".label"),
    }
    found = faults(**{name: app.replace(right, wrong) for name, (right, wrong) in mistakes.items()})
    assert all(any(f"{name}.ts(" in line for line in found) for name in mistakes), found
