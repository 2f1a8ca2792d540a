"""C++ programs load kits, and compute what Python computes."""

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import numpy as np
import pytest
from clients.conftest import Probe
from clients.cpp_kits import EVERY_KIND, KITS, REFERENCE, ROOT, ROWS_IN_GRAPH, RUNTIME, SEVERAL, STRICT, ask, headers
from clients.fetch import OTHER_RUNTIMES
from clients.tools import fetched, program
from onnx import load as load_onnx

from mtl_edge.artifact import Manifest
from mtl_edge.bench.results import Benchmark
from mtl_edge.kits.goldens import Goldens, golden_samples
from mtl_edge.preprocessing import RawPixels, Table, Tokens
from mtl_edge.runtime import manifest_of, open_session

pytestmark = pytest.mark.slow
SAMPLES = 5


@pytest.fixture(scope="module")
def python_client() -> Any:
    """The client of Python kits, which the others are measured by."""
    path = ROOT / "exporters" / "python" / "mtl_edge_client.py"
    spec = importlib.util.spec_from_file_location("mtl_edge_client", path)
    assert spec is not None
    assert spec.loader is not None
    module: ModuleType = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def manifest(kit: Path) -> Manifest:
    """What a kit's model says of itself."""
    return msgspec.json.decode((kit / "manifest.json").read_bytes(), type=Manifest)


# --- the same numbers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kit", [*KITS, ROWS_IN_GRAPH, SEVERAL])
def test_the_golden_vectors_are_met_to_the_last_bit(sanitized: Probe, kit: str) -> None:
    """On the box that wrote them, with a tolerance of 0; preprocessing included."""
    done = sanitized.ask(kit, sanitized.kits / kit, "check", 0)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("4 golden vectors")


@pytest.mark.parametrize("kit", KITS)
def test_outputs_and_answers_are_those_of_python(
    sanitized: Probe, python_client: Any, kit: str, tmp_path: Path
) -> None:
    """A batch's input and outputs have the same bits, fp32 outputs all but the last; answers are the same."""
    folder = sanitized.kits / kit
    session = open_session(folder / "model.onnx", threads=1)
    (source,) = manifest(folder).inputs
    raw = golden_samples([source], SAMPLES)[source.array]
    inputs = source.preprocessing.apply(raw)
    if isinstance(source.preprocessing, RawPixels):
        raw = inputs
    raw.tofile(tmp_path / "raw.bin")
    done = sanitized.ask(kit, folder, "run", tmp_path / "raw.bin", tmp_path / "out.bin")
    assert done.returncode == 0, done.stderr

    content = (tmp_path / "out.bin").read_bytes()
    assert content[: inputs.nbytes] == inputs.tobytes()
    outputs = np.frombuffer(content[inputs.nbytes :], np.float32)
    tasks = [task.name for task in manifest(folder).tasks]
    wanted = np.concatenate([array.ravel() for array in session.run(tasks, {source.name: inputs})])
    np.testing.assert_allclose(outputs, wanted, rtol=1e-6 if kit == EVERY_KIND else 0, atol=0)

    answers = [
        (name, *flat(answer))
        for sample in python_client.Model(folder / "model.onnx", threads=1).predict(raw)
        for name, answer in sample.items()
    ]
    printed = [line.split() for line in done.stdout.splitlines()]
    assert len(printed) == len(answers) == SAMPLES * len(tasks)
    for (name, *words), (expected_name, *numbers) in zip(printed, answers, strict=True):
        assert name == expected_name
        found = [float(word) for word in words if not word.isalpha()]
        assert found == pytest.approx(numbers, rel=1e-6 if kit == EVERY_KIND else 1e-12)


def flat(answer: Any) -> list[float]:
    """The numbers of an answer of the Python client, in the order in which the probe prints them."""
    match type(answer).__name__:
        case "Multilabel":
            yes = [float(label in answer.labels) for label in range(len(answer.probabilities))]
            return [*yes, *answer.probabilities]
        case "Segmentation":
            return [answer.labels.itemsize, *answer.labels.shape, *answer.labels.ravel()]
        case "DenseRegression":
            return [*answer.values.shape, *answer.values.ravel()]
        case _:
            values = [getattr(answer, name) for name in answer.__dataclass_fields__]
            return [float(number) for value in values for number in np.atleast_1d(value)]


def test_each_of_several_inputs_is_an_argument(sanitized: Probe, python_client: Any) -> None:
    """Pixels, rows and texts, all at once or in a batch; what does not fit is said of the input that it is of."""
    folder = sanitized.kits / SEVERAL
    done = sanitized.ask(SEVERAL, folder, "predict")
    assert done.returncode == 0, done.stderr
    samples = {
        "image": (7 * np.arange(18)).astype(np.uint8).reshape(2, 1, 3, 3),
        "the row": [{"age": 41.5, "the city": "Bern", "class": None}, {"age": -3, "the city": None, "class": 2}],
        "note": ["my parcel ISN'T here", ""],
    }
    wanted = [answer["total"].value for answer in python_client.Model(folder / "model.onnx").predict(samples)]
    *answers, none, notes, image, rows, width, sizes = done.stdout.splitlines()
    assert [float(line.split()[-1]) for line in answers] == pytest.approx([*wanted, *wanted], rel=1e-6)
    assert none == "0"
    assert notes == "samples: each input must have as many as the others, found 2, 2, 1"
    assert image == "input 'image': must hold a multiple of 9 values, of samples (1, 1, 3, 3), found 17"
    assert rows == "input 'the row': must hold 2 samples, which (2, 3) has, found 1"
    assert width == "input 'the row': the shape must be (any, 3), found (1, 4)"
    assert sizes == "samples: each input must have as many as the others, found 1, 2, 1"


@pytest.mark.parametrize("kit", ["mnist-pairs", EVERY_KIND])
def test_preprocessing_rounds_as_numpy_does_whatever_the_compiler_may_do(fused: Probe, kit: str) -> None:
    """Fused multiply-adds, where the processor has them, change nothing; nor do optimizations."""
    done = fused.ask(kit, fused.kits / kit, "check", 0)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("version", OTHER_RUNTIMES)
def test_one_binary_runs_with_other_versions_of_the_runtime(fused: Probe, version: str) -> None:
    """Built once, with headers of 1.21, it loads whatever version the environment names."""
    library = next(fetched(OTHER_RUNTIMES[version]).glob("onnxruntime/capi/libonnxruntime.so.*"))
    for kit in ("mnist-pairs", EVERY_KIND):
        environment = {"MTL_EDGE_ONNXRUNTIME": str(library)}
        done = fused.ask(kit, fused.kits / kit, "check", 0.1, env=environment)
        assert done.returncode == 0, done.stderr
        assert done.stdout == f"4 golden vectors, ONNX Runtime {version}\n"


def test_options_change_no_answer(fused: Probe) -> None:
    """Several threads, without spinning and without the arena."""
    done = fused.ask("fashion-scenes", fused.kits / "fashion-scenes", "threads", 0)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("kit", KITS)
def test_a_batch_allocates_nothing_after_its_first_run(fused: Probe, kit: str) -> None:
    """Preprocessing and decoding use the memory of the first run; only the runtime allocates."""
    done = fused.ask(kit, fused.kits / kit, "allocations")
    assert done.stdout == "0\n", done.stderr


# --- what goes wrong -------------------------------------------------------------------------------------------------


@pytest.fixture
def broken(sanitized: Probe, tmp_path: Path) -> Path:
    """A kit that may be damaged."""
    return Path(shutil.copytree(sanitized.kits / "mnist-pairs", tmp_path / "kit"))


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.9, 0.9999, 1.0])
def test_a_flipped_bit_anywhere_is_found(sanitized: Probe, broken: Path, share: float) -> None:
    """In the network, in the manifest, in the digits of the SHA-256, and in the last byte."""
    model = broken / "model.onnx"
    content = bytearray(model.read_bytes())
    content[round(share * (len(content) - 1))] ^= 1
    model.write_bytes(content)
    done = sanitized.ask("mnist-pairs", broken, "check", 1)
    assert done.returncode == 1
    sha256 = manifest(broken).sha256
    assert f"model.onnx: must be the file that was exported, with the SHA-256 {sha256}, found" in done.stderr


@pytest.mark.parametrize("size", [0, 1, 65, 66, 5000, -1])
def test_a_truncated_file_is_found(sanitized: Probe, broken: Path, size: int) -> None:
    """However little is left of it."""
    model = broken / "model.onnx"
    model.write_bytes(model.read_bytes()[:size])
    done = sanitized.ask("mnist-pairs", broken, "check", 1)
    assert done.returncode == 1
    assert "must be the file that was exported" in done.stderr


def test_another_model_is_found(sanitized: Probe, broken: Path) -> None:
    """A file that is whole, but not the one that the program was built for."""
    shutil.copy(sanitized.kits / "reviews" / "model.onnx", broken)
    done = sanitized.ask("mnist-pairs", broken, "check", 1)
    assert done.returncode == 1
    assert f"found {manifest(sanitized.kits / 'reviews').sha256}" in done.stderr


def test_a_golden_vector_that_differs_is_found(sanitized: Probe, broken: Path) -> None:
    """The message names case, output, place, what was wanted and what was found."""
    goldens = msgspec.json.decode((broken / "goldens" / "goldens.json").read_bytes(), type=Goldens)
    output = goldens.cases[1].outputs[0]
    values = np.fromfile(broken / "goldens" / output.file, "<f4")
    found = values[3]
    values[3] += 3 * output.atol
    values.tofile(broken / "goldens" / output.file)
    done = sanitized.ask("mnist-pairs", broken, "check", 1)
    assert done.returncode == 1
    assert f"case 1: output 'left': must be within {output.atol:g} of {values[3]:.9g} at (0, 3)" in done.stderr
    assert done.stderr.endswith(f"found {found:.9g}\n")


@pytest.mark.parametrize("part", ["raw", "inputs", "outputs"])
@pytest.mark.parametrize("size", [None, 0, -1])
def test_golden_vectors_that_cannot_be_read_are_found(
    sanitized: Probe, broken: Path, part: str, size: int | None
) -> None:
    """A missing file, an empty one, one that was cut off."""
    goldens = msgspec.json.decode((broken / "goldens" / "goldens.json").read_bytes(), type=Goldens)
    path = broken / "goldens" / getattr(goldens.cases[2], part)[0].file
    content = path.read_bytes()
    path.unlink()
    if size is not None:
        path.write_bytes(content[:size])
    done = sanitized.ask("mnist-pairs", broken, "check", 1)
    assert done.returncode == 1
    rule = "cannot be read" if size is None else f"must have {len(content)} bytes"
    assert f"{path}: {rule}" in done.stderr


@pytest.mark.parametrize(("kit", "values", "shape"), [("mnist-pairs", 1296, "1, 36, 36"), ("reviews", 112, "112")])
def test_samples_of_another_shape_are_an_error_value(sanitized: Probe, kit: str, values: int, shape: str) -> None:
    """Too few values, another axis, no sample at all or more than memory holds: place, rule, found."""
    done = sanitized.ask(kit, sanitized.kits / kit, "misuse")
    assert done.returncode == 0, done.stderr
    name = manifest(sanitized.kits / kit).inputs[0].name
    first, second, axis, none, many, empty, options = done.stdout.splitlines()
    assert first.startswith(f"input '{name}': must hold a multiple of {values} values, of samples (1, {shape})")
    assert first.endswith(f"found {values - 1}")
    assert second == f"input '{name}': must hold {values} values, which (1, {shape}) has, found {values - 1}"
    for line in (axis, none, many):
        assert line.startswith(f"input '{name}': the shape must be (any, {shape}), found (")
    assert empty == "0"
    assert options.endswith("no error") or "the options must be valid" in options


OLD_RUNTIME = """
#include <onnxruntime_c_api.h>
static const OrtApi* none(uint32_t) noexcept { return nullptr; }
static const char* version() noexcept { return "1.16.3"; }
const OrtApiBase* ORT_API_CALL OrtGetApiBase() noexcept {
  static const OrtApiBase base{none, version};
  return &base;
}
"""


@pytest.fixture(scope="module")
def old_runtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library that gives no functions of version 17."""
    folder = tmp_path_factory.mktemp("old")
    (folder / "old.cpp").write_text(OLD_RUNTIME)
    compiler = program("g++", install="apt-get install g++")
    command = [compiler, "-shared", "-fPIC", "-isystem", headers(), "old.cpp", "-o", "libold.so"]
    subprocess.run([*map(str, command)], cwd=folder, check=True)
    return folder / "libold.so"


def test_a_runtime_that_is_too_old_is_an_error_value(fused: Probe, old_runtime: Path) -> None:
    """A header that is newer than the library is no crash."""
    done = fused.ask("reviews", fused.kits / "reviews", "check", 1, env={"MTL_EDGE_ONNXRUNTIME": str(old_runtime)})
    assert done.returncode == 1
    assert done.stderr.endswith("libold.so: ONNX Runtime must be 1.17 or later, found 1.16.3\n")


@pytest.mark.parametrize(
    ("library", "found"), [("/nowhere/libonnxruntime.so", "No such file"), ("libm.so.6", "symbol")]
)
def test_a_runtime_that_is_none_is_an_error_value(fused: Probe, library: str, found: str) -> None:
    """What is not there, and what is something else."""
    done = fused.ask("reviews", fused.kits / "reviews", "check", 1, env={"MTL_EDGE_ONNXRUNTIME": library})
    assert done.returncode == 1
    assert f"{library}: must be ONNX Runtime" in done.stderr
    assert found in done.stderr


# --- texts, rows, hashes ---------------------------------------------------------------------------------------------


def test_texts_become_the_ids_that_python_makes_of_them(sanitized: Probe) -> None:
    """Cut at the same places, whatever letters of the world's scripts stand in them."""
    folder = sanitized.kits / "reviews"
    tokens = manifest(folder).inputs[0].preprocessing
    assert isinstance(tokens, Tokens)
    letters = [chr(code) for code in range(1, 0x110000) if not 0xD800 <= code < 0xE000 and chr(code) not in "\n\r"]
    rng = np.random.default_rng(0)
    words = [*tokens.vocabulary[::97], "x" * 300, "it's", "I\u0130t", "\u212aing", "I", "DRESS"]
    cased = [letter for letter in letters if letter.lower() != letter or ord(letter) < 999]
    texts = [f"the{letter}dress{letter}i{letter}" for letter in cased]
    texts += ["".join(f"{words[at]}{letters[at * 7]}" for at in rng.integers(0, len(words), 40)) for _ in range(20)]
    texts += ["the dress " * 100, "", " ", "a"]
    done = sanitized.ask("reviews", folder, "encode", input="\n".join(texts) + "\n")
    assert done.returncode == 0, done.stderr
    found = [[int(number) for number in line.split()] for line in done.stdout.splitlines()]
    np.testing.assert_array_equal(found, tokens.encode(texts))


def test_rows_become_the_numbers_that_python_makes_of_them(sanitized: Probe) -> None:
    """Known, unknown and missing categories; a missing number is NaN, an infinite one an error that names it."""
    folder = sanitized.kits / "adult"
    table = manifest(folder).inputs[0].preprocessing
    assert isinstance(table, Table)
    rows = [("41.5", "Private"), ("", "Never-worked"), ("-3", ""), ("17", "private"), ("1e39", "?"), ("3", "?")]
    done = sanitized.ask("adult", folder, "encode", input="\n".join("|".join(row) for row in rows) + "\n")
    assert done.returncode == 0, done.stderr
    wanted = {column.name: np.full(len(rows), np.nan) for column in table.columns}
    wanted["age"] = np.array([float(age or "nan") for age, _ in rows])
    wanted["workclass"] = np.array([work or None for _, work in rows], object)
    lines = done.stdout.splitlines()
    assert lines.pop(4) == "row 4: 'age' must be a finite number, found inf"
    found = [[float(number) for number in line.split()] for line in lines]
    np.testing.assert_array_equal(found, np.delete(table.encode(wanted)[:, :2], 4, axis=0))


def test_rows_that_the_graph_encodes_get_the_answers_that_python_gives(sanitized: Probe, python_client: Any) -> None:
    """Numbers and texts are an input each; what is missing or unknown, and letters of any script, are as in Python."""
    folder = sanitized.kits / ROWS_IN_GRAPH
    rows = [("41.5", "Private"), ("", "Never-worked"), ("-3", ""), ("17", "größe 🦀, longer than a short string")]
    done = sanitized.ask(ROWS_IN_GRAPH, folder, "predict", input="".join(f"{age}|{work}\n" for age, work in rows))
    assert done.returncode == 0, done.stderr
    *printed, wrong = done.stdout.splitlines()
    model = python_client.Model(folder / "model.onnx", threads=1)
    columns = model.input.preprocessing.columns
    wanted = model.predict([{**dict.fromkeys(columns), "age": age or None, "workclass": work} for age, work in rows])
    expected = [(name, *flat(answer)) for sample in wanted for name, answer in sample.items()]
    assert len(printed) == len(expected)
    for line, (name, *numbers) in zip(printed, expected, strict=True):
        assert line.split()[0] == name
        assert [float(word) for word in line.split()[1:] if not word.isalpha()] == pytest.approx(numbers, rel=1e-12)
    texts = sum(known is not None for known in columns.values())
    assert wrong == f"input 'person.categories': must hold {4 * texts} texts, found 1"

    infinite = sanitized.ask(ROWS_IN_GRAPH, folder, "predict", input="1|?\n1e39|?\n")
    assert infinite.stdout == "row 1: 'age' must be a finite number, found inf\n"


def test_texts_of_golden_vectors_that_cannot_be_read_are_found(sanitized: Probe, tmp_path: Path) -> None:
    """A file that was cut off within a text."""
    kit = shutil.copytree(sanitized.kits / ROWS_IN_GRAPH, tmp_path / "kit")
    (array,) = (
        array
        for array in msgspec.json.decode((kit / "goldens" / "goldens.json").read_bytes(), type=Goldens).cases[2].raw
        if array.dtype == "string"
    )
    path = kit / "goldens" / array.file
    path.write_bytes(path.read_bytes()[:-1])
    done = sanitized.ask(ROWS_IN_GRAPH, kit, "check", 1)
    assert done.returncode == 1
    columns = array.shape[1]
    assert f"{path}: must have {columns} texts, a zero byte behind each, found {columns - 1}" in done.stderr


def test_hashes_are_those_of_sha256(sanitized: Probe) -> None:
    """Around the sizes at which a block ends."""
    for size in (0, 1, 55, 56, 63, 64, 65, 119, 120, 128, 1000):
        text = "a" * (size - 1) + "b" * (size > 0)
        assert sanitized.ask("sha256", input=text).stdout.strip() == hashlib.sha256(text.encode()).hexdigest()


# --- the kit as its README uses it -----------------------------------------------------------------------------------


def commands(page: Path) -> list[str]:
    """What a page's blocks of commands say, one text each."""
    return [block.split("```")[0] for block in page.read_text().split("```sh\n")[1:]]


def shell(script: str, folder: Path, environment: dict[str, str]) -> str:
    """What a shell prints that is given some commands."""
    done = subprocess.run(
        ["sh", "-ec", script], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def environment() -> dict[str, str]:
    """Where the headers and the runtime are, as a developer would say it."""
    return {**os.environ, "OnnxRuntimeHeaders_ROOT": str(headers()), "MTL_EDGE_ONNXRUNTIME": str(RUNTIME)}


@pytest.fixture(scope="module")
def built(cpp_kits: Path, environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A kit whose README's commands were given, and what the example printed."""
    program("cmake", install="apt-get install cmake")
    kit = Path(shutil.copytree(cpp_kits / "mnist-pairs", tmp_path_factory.mktemp("built") / "kit"))
    build_and_run, _ = commands(kit / "README.md")
    return kit, shell(build_and_run, kit, {**environment, "CXXFLAGS": " ".join(STRICT)})


def test_the_example_prints_what_python_answers(built: tuple[Path, str], python_client: Any) -> None:
    """The two commands of the README build it without a warning, and it verifies the model before it answers."""
    kit, printed = built
    (source,) = manifest(kit).inputs
    samples = python_client.Model(kit / "model.onnx").predict(golden_samples([source], 4)[source.array])
    lines = [
        f"sample {index}: " + ", ".join(f"{task} {answer}" for task, answer in sample.items())
        for index, sample in enumerate(samples)
    ]
    said = printed.splitlines()
    verified = "mnist-pairs pruned-int8: 4 golden vectors agree on this device"
    first = next(at for at, line in enumerate(said) if line.startswith(verified))
    assert said[first + 1 :] == lines


def test_the_example_reads_samples_of_its_user(built: tuple[Path, str], python_client: Any, tmp_path: Path) -> None:
    """A file of raw samples; one that was cut off is an error."""
    kit, _ = built
    (raw,) = golden_samples(manifest(kit).inputs, 7).values()
    raw.tofile(tmp_path / "raw.bin")
    done = ask([kit / "build" / "example", tmp_path / "raw.bin"], cwd=kit)
    answers = python_client.Model(kit / "model.onnx").predict(raw)
    assert [line.rpartition("sum ")[2] for line in done.stdout.splitlines()[1:]] == [str(a["sum"]) for a in answers]
    (tmp_path / "raw.bin").write_bytes(raw.tobytes()[:-1])
    done = ask([kit / "build" / "example", tmp_path / "raw.bin"], cwd=kit)
    assert done.returncode == 1
    assert "raw.bin: must hold whole samples of 1296 bytes" in done.stderr


def test_the_example_does_not_use_a_model_that_was_changed(built: tuple[Path, str], tmp_path: Path) -> None:
    """It ends before it answers anything."""
    kit = Path(shutil.copytree(built[0], tmp_path / "kit"))
    model = load_onnx(kit / "model.onnx")
    model.producer_name = "somebody else"
    (kit / "model.onnx").write_bytes(model.SerializeToString())
    done = ask([kit / "build" / "example"], cwd=kit)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: model.onnx: must be the file that was exported")


def test_the_benchmark_writes_what_mtl_edge_bench_writes(built: tuple[Path, str]) -> None:
    """Its JSON is a benchmark of mtl-edge: every field, raw samples by round, the manifest."""
    kit, _ = built
    settings = ["--threads", "1,2", "--rounds", "3", "--seconds", "0.02", "--cold-starts", "2", "--json", "bench.json"]
    done = ask([kit / "build" / "mtl_edge_bench", *settings], cwd=kit)
    assert done.returncode == 0, done.stderr
    benchmark = msgspec.json.decode((kit / "bench.json").read_bytes(), type=Benchmark)
    assert benchmark.threads == (1, 2)
    assert benchmark.machine.versions["onnxruntime"] == RUNTIME.name.partition(".so.")[2]
    (result,) = benchmark.results
    session = open_session(kit / "model.onnx")
    assert result.manifests == (manifest_of(kit / "model.onnx", session),)
    assert (result.name, result.inputs) == ("pruned-int8", "image float32[1,1,36,36]")
    assert result.file_bytes == (kit / "model.onnx").stat().st_size
    assert len(result.cold_starts) == 2
    assert all(start.peak_rss_bytes > start.runtime_rss_bytes > 1e6 for start in result.cold_starts)
    assert result.load_ms > 0
    for latency in result.latencies:
        assert len(latency.rounds_ms) == 3
        assert all(len(samples) >= 5 and min(samples) > 0 for samples in latency.rounds_ms)
        assert latency.round_ratios == pytest.approx([1, 1, 1], rel=1e-3)


def test_the_benchmark_says_what_is_wrong(built: tuple[Path, str]) -> None:
    """An option that is none, and a model that is none, in one line."""
    kit, _ = built
    done = ask([kit / "build" / "mtl_edge_bench", "--thread", "1"], cwd=kit)
    assert done.returncode == 2
    assert done.stderr.startswith("error: --thread: must be --model, --threads")
    done = ask([kit / "build" / "mtl_edge_bench", "--model", "kit.json"], cwd=kit)
    assert done.returncode == 1
    assert "kit.json: must be the file that was exported" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_five_minute_path_works(environment: dict[str, str], tmp_path: Path) -> None:
    """Each command of docs/cpp.md, in its order, but for what installs packages; the program that it shows compiles."""
    export, install, build_and_run, own = commands(ROOT / "docs" / "cpp.md")
    assert "apt-get install" in install
    (tmp_path / "models").symlink_to(ROOT / "models")
    bin_folder = Path(sys.executable).parent
    there = {**environment, "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    assert "kit      kit" in shell(export, tmp_path, there)
    source = (ROOT / "docs" / "cpp.md").read_text().split("```cpp\n")[1].split("```")[0]
    (tmp_path / "kit" / "app.cpp").write_text(source)
    there["CPLUS_INCLUDE_PATH"] = str(headers())
    assert shell(own, tmp_path, there) == "8 (100.0 %)\n"
    readme, _ = commands(tmp_path / "kit" / "README.md")  # another test gives these commands
    assert build_and_run.strip() == " && ".join(["cd kit", *readme.split("\n")[:-1]])


def test_reference_kits_read_all_that_networks_read() -> None:
    """Pixels, rows and texts are among the kits of these tests."""
    kinds = {type(manifest_of(path, open_session(path)).inputs[0].preprocessing) for path in models()}  # type: ignore[union-attr]
    assert len(kinds) == 3


def models() -> list[Path]:
    """The models of the reference kits."""
    return [ROOT / "models" / name / "model.onnx" for name in REFERENCE]
