"""Node and Chromium run the kits, and compute what Python computes."""

import base64
import functools
import json
import re
import shutil
import subprocess
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clients.npm import JAVASCRIPT, packages
from clients.small_models import every_kind
from clients.tools import program
from clients.trials import (
    ENCODING,
    REFERENCE,
    ROWS,
    SMALL,
    TEXTS,
    WRONG_ROWS,
    WRONG_SAMPLES,
    assert_answers_are_those_of_python,
    assert_pictures_are_as_in_training,
    golden_outputs,
    python_client,
    samples_in_python,
    write_kits,
)
from PIL import Image

from mtl_edge.artifact import MODEL_FILE
from mtl_edge.kits.kit import write_kit
from mtl_edge.runtime import manifest_of, open_session, predict

HERE = Path(__file__).parent
pytestmark = pytest.mark.slow
CHROMIUM = "apt-get install --no-install-recommends chromium"


@pytest.fixture(scope="module")
def node(models: Path, pictures: list[np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What Node answers, by kit."""
    program("node", install="apt-get install nodejs")
    folder = tmp_path_factory.mktemp("node")
    (folder / "node_modules").symlink_to(packages(JAVASCRIPT))
    write_kits(models, "node", folder, pictures)
    names = json.dumps(sorted(path.name for path in folder.iterdir() if path.is_dir() and path.name != "node_modules"))
    shutil.copy(HERE / "probe.js", folder / "probe.mjs")
    (folder / "main.mjs").write_text(
        f"""
        import {{ readFile }} from "node:fs/promises";
        import {{ probe }} from "./probe.mjs";
        const found = {{}};
        for (const name of {names}) {{
          const kit = await import(`./${{name}}/kit.js`);
          const request = JSON.parse(await readFile(new URL(`${{name}}/request.json`, import.meta.url)));
          found[name] = await probe(kit, request);
        }}
        console.log(JSON.stringify(found));
        """
    )
    done = subprocess.run(["node", "main.mjs"], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {"folder": folder, **json.loads(done.stdout)}


@pytest.fixture(scope="module")
def web(models: Path, pictures: list[np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What Chromium answers, by kit."""
    program("chromium", install=CHROMIUM)
    folder = tmp_path_factory.mktemp("web")
    write_kits(models, "web", folder, pictures)
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
          const kit = await import(`/${{name}}/kit.js`);
          const request = await (await fetch(`/${{name}}/request.json`)).json();
          found[name] = await probe(kit, request);
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
    subprocess.run([program("node", install="apt-get install nodejs"), "get_runtime.mjs"], cwd=kit, check=True)
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
    command = [program("chromium", install=CHROMIUM), *options, "--dump-dom", address]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(params=["node", "web"])
def answers(request: pytest.FixtureRequest) -> dict[str, Any]:
    """What a runtime of JavaScript answers, by kit."""
    return request.getfixturevalue(request.param)


@pytest.mark.parametrize("name", [*REFERENCE, *SMALL, *ENCODING])
def test_outputs_are_those_of_python(answers: dict[str, Any], name: str) -> None:
    """Equal for int8, within 1e-6 for fp32; of the reference models, part int8 and part float, within their bounds."""
    goldens, expected = golden_outputs(answers["folder"] / name)
    for case, outputs, golden in zip(goldens.cases, expected, answers[name]["goldens"], strict=True):
        for entry, output in zip(case.outputs, outputs, strict=True):
            found = golden["outputs"][entry.name]
            assert found["shape"] == list(entry.shape)
            apart = np.abs(np.array(found["data"], np.float64) - output.ravel()).max()
            bound = {"int8": 0, "every-kind": 0, "raw": 0, "tokens": 0}
            bound |= dict.fromkeys(("several", "table", *ENCODING), 1e-6 * np.abs(output).max())
            assert apart <= bound.get(name, entry.atol)


@pytest.mark.parametrize("name", [*REFERENCE, *SMALL, *ENCODING])
def test_self_checks_pass(answers: dict[str, Any], name: str) -> None:
    """All golden vectors agree."""
    assert answers[name]["check"] == 4


@pytest.mark.parametrize("name", [*REFERENCE, *SMALL, *ENCODING])
def test_answers_are_those_of_the_python_client(answers: dict[str, Any], name: str) -> None:
    """Every kind of task is decoded to the same labels, probabilities and values."""
    found = [golden["answers"] for golden in answers[name]["goldens"]]
    assert_answers_are_those_of_python(answers["folder"] / name, found)


def test_pictures_become_samples_as_in_training(answers: dict[str, Any], pictures: list[np.ndarray]) -> None:
    """In every pixel, resized or as bytes of its own size."""
    assert_pictures_are_as_in_training(answers["int8"]["images"], answers["int8"]["bytes"], pictures)


def test_rows_and_texts_are_encoded_as_in_training(answers: dict[str, Any]) -> None:
    """Whatever form numbers and categories have, and whatever is missing."""
    given = {"table": ROWS, "tokens": TEXTS, **dict.fromkeys(ENCODING, ROWS), "several": samples_in_python()}
    for name, samples in given.items():
        wanted = python_client().Model(answers["folder"] / name / MODEL_FILE).predict(samples)
        found = [float(answer["total"]["value"]) for answer in answers[name]["given"]]
        np.testing.assert_allclose(found, [answer["total"].value for answer in wanted], rtol=1e-6)
        assert answers[name]["empty"] == []


def test_samples_that_the_model_does_not_read_are_refused(answers: dict[str, Any]) -> None:
    """The message names the row, the column and what was found."""
    assert answers["table"]["wrong"] == [rule for _, rule in WRONG_ROWS]
    assert answers["rows-in-graph"]["wrong"] == [
        *(rule for _, rule in WRONG_ROWS[:-1]),
        "SampleError: x: samples must be a list of rows, found something else",
    ]
    assert answers["several"]["wrong"] == [rule for _, rule in WRONG_SAMPLES]
    assert answers["tokens"]["wrong"] == [
        "SampleError: x: samples must be in a list or an array, found one alone",
        "SampleError: samples must be texts, found 3",
    ]
    assert answers["int8"]["wrong"] == ["SampleError: x: sample 0: dtype must be uint8, found object"]


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
        ("rows-in-graph", "passed", ['name="the city"', "Lyon", 'data-task="total"']),
        (
            "several",
            "passed",
            ["<legend>image</legend>", "Drop an image", 'name="the city"', "a text", 'data-task="total"'],
        ),
        ("every-kind", "passed", ['data-kind="multilabel"', 'data-task="constructor"', 'data-kind="ordinal"']),
        ("in-graph", "passed", ["what the model sees: ", 'data-task="right"']),
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
    command = [program("node", install="apt-get install nodejs"), "serve.mjs", "0"]
    with subprocess.Popen(command, cwd=kit, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        page = _dom(server.stdout.readline().split()[1])
        server.terminate()
    assert f'data-check="{state}"' in page
    for part in shown:
        assert part in page


def test_a_chosen_picture_is_answered_as_python_answers_it(web: dict[str, Any], tmp_path: Path) -> None:
    """A picture of another size and shape, in colour, is read, turned to grey, resized, and its answers are shown."""
    driver = program("chromedriver", install="apt-get install chromium-driver")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait

    noise = np.random.default_rng(6).integers(0, 256, (50, 70, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    options = webdriver.ChromeOptions()
    options.binary_location = program("chromium", install=CHROMIUM)
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu"):
        options.add_argument(argument)
    browser = webdriver.Chrome(options=options, service=Service(driver))
    try:
        with _served(web["folder"]) as address:
            # the page's import map, which must come first, names the runtime beside the page
            shutil.copytree(web["folder"] / "ort", web["folder"] / "mnist-pairs" / "ort", dirs_exist_ok=True)
            browser.get(f"{address}mnist-pairs/index.html")
            wait = WebDriverWait(browser, 60)
            wait.until(lambda page: page.find_elements(By.CSS_SELECTOR, '#samples [aria-pressed="true"]'))
            wait.until(lambda page: page.find_elements(By.TAG_NAME, "article"))
            browser.execute_script('document.getElementById("results").replaceChildren()')
            browser.find_element(By.CSS_SELECTOR, "input[type=file]").send_keys(str(tmp_path / "noise.png"))
            wait.until(lambda page: len(page.find_elements(By.TAG_NAME, "article")) == 3)
            shown = {
                task: browser.find_element(By.CSS_SELECTOR, f'[data-task="{task}"] .headline').text
                for task in ("left", "right", "sum")
            }
            latency = browser.find_element(By.ID, "latency").text
    finally:
        browser.quit()
    grey = Image.fromarray(noise).convert("L").resize((36, 36), Image.Resampling.BILINEAR)
    session = open_session(web["folder"] / "mnist-pairs" / MODEL_FILE, exact=True)
    manifest = manifest_of(web["folder"] / "mnist-pairs" / MODEL_FILE, session)
    assert manifest is not None
    wanted = predict(session, manifest.inputs[0], np.asarray(grey)[None, None])
    assert shown["left"] == f"class {wanted['left'].argmax()}"
    assert shown["right"] == f"class {wanted['right'].argmax()}"
    assert float(shown["sum"]) == pytest.approx(float(wanted["sum"][0, 0]), rel=0.05)
    assert re.fullmatch(r"[\d.]+ ms", latency)


@pytest.mark.parametrize("destination", ["node", "web"])
def test_types_know_the_tasks(models: Path, tmp_path: Path, destination: str) -> None:
    """An app in strict TypeScript compiles, and so does the client; one with a misspelt task or column does not."""
    modules = packages(JAVASCRIPT)
    for name in ("every-kind", "rows-in-graph", "several", "table", "tokens"):
        write_kit(models / name / MODEL_FILE, destination, tmp_path / name)
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
        import * as rows from "./rows-in-graph/kit.js";
        import * as several from "./several/kit.js";
        const model = await openKit({ threads: 2 });
        const row: Row = { age: 41, "the city": "Bern", class: null };
        const [answers] = await model.predict([row]);
        const total: number = answers!.total.value;
        const [all] = await (await kind.openKit()).predict([new Float32Array(60)]);
        const place: kind.Segmentation = all!["Ma\u00df.\u00e9-1"];
        const grade: number = all!.grade.rank + all!.constructor.value + all!["class"].label + total;
        const text: number = (await (await tokens.openKit()).predict(["my parcel", null]))[0]!.total.value;
        const found: number = (await (await rows.openKit()).predict([row]))[0]!.total.value;
        const together: several.Samples = { image: [new Uint8Array(9)], "the row": [row], note: [null] };
        const sum: number = (await (await several.openKit()).predict(together))[0]!.total.value;
        export { sum, place, grade, text, found, imageSample };
    """
    (tmp_path / "package.json").write_text('{"type": "module"}')
    command = [
        program("node", install="apt-get install nodejs"),
        modules / "typescript" / "bin" / "tsc",
        "-p",
        tmp_path,
    ]

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
        "input": ("note: [null]", "notes: [null]"),
    }
    found = faults(**{name: app.replace(right, wrong) for name, (right, wrong) in mistakes.items()})
    assert all(any(f"{name}.ts(" in line for line in found) for name in mistakes), found
