"""Files that were made to do harm: one clear line, exit code 2, and nothing outside of the folder is touched."""

import os
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import psutil
import pytest
from click.testing import CliRunner
from onnx import TensorProto, helper, numpy_helper

from mtl_edge.cli import main
from mtl_edge.data.archive import unpack_npz
from mtl_edge.data.splits import load_samples
from mtl_edge.errors import DataError, ModelError
from mtl_edge.intake import probe as probing
from mtl_edge.intake.admit import admit
from mtl_edge.intake.limits import free_to_take
from mtl_edge.intake.probe import probe
from mtl_edge.intake.structure import read_structure, structure_of

Make = Callable[..., onnx.ModelProto]

COMMANDS = {
    "bench": [],
    "optimize": ["-o", "out.onnx"],
    "quantize": ["--calib", "samples.npz", "-o", "out.onnx"],
    "inspect": [],
    "damage": ["--calib", "samples.npz"],
    "export": ["--for", "python", "-o", "kit"],
    "subset": ["--tasks", "y", "-o", "out.onnx"],
    "verify": [],
    "manifest": [],
}
"""Every command that reads a model, with what else it must be given."""


def _fault(model: onnx.ModelProto, folder: Path) -> str:
    """Why a model is refused, without its path."""
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError) as caught:
        read_structure(path)
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix(f"{path}: ")


def _external(model: onnx.ModelProto, location: str, **entries: int) -> onnx.ModelProto:
    """The same with its weights in a file."""
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **entries}.items():
        tensor.external_data.add(key=key, value=str(value))
    return model


# --- what a file says ----------------------------------------------------------------------------------------------


def test_a_model_of_each_kind_is_read(make: Make, weighted: onnx.ModelProto) -> None:
    """Names, dtypes, open dimensions, operator sets and metadata, as the onnx package reads them."""
    weighted.metadata_props.add(key="author", value="somebody")
    found = structure_of(weighted.SerializeToString())
    assert (found.opset, found.ir_version, found.nodes) == (20, 9, 1)
    assert found.opsets == {"": 20, "mine": 1}
    assert [(item.name, item.dtype, item.shape) for item in found.inputs] == [("x", "float32", ("n", 4))]
    assert [(item.name, item.shape) for item in found.outputs] == [("y", None)]
    assert found.metadata == {"author": "somebody"}


@pytest.mark.parametrize("dtype", [f"{kind}int{bits}" for kind in ("", "u") for bits in (8, 16, 32, 64)] + ["bool"])
@pytest.mark.parametrize("raw", [True, False])
def test_constants_of_any_dtype_and_form_hold_what_they_declare(make: Make, dtype: str, raw: bool) -> None:
    """As raw bytes, or as a list of numbers."""
    values = np.array([0, 1, 1, 0, 1], dtype)
    kind = helper.np_dtype_to_tensor_dtype(values.dtype)
    data = values.tobytes() if raw else values.tolist()
    tensor = helper.make_tensor("c", kind, [5], data, raw=raw)
    structure_of(make([helper.make_node("Relu", ["x"], ["y"])], [tensor]).SerializeToString())


def test_a_file_that_is_cut_off_in_its_graph_is_refused(weighted: onnx.ModelProto) -> None:
    """Wherever that is."""
    content, graph = weighted.SerializeToString(), weighted.graph.SerializeToString()
    for end in range(content.index(graph) + len(graph)):
        with pytest.raises(ModelError):
            structure_of(content[:end])


@pytest.mark.parametrize("dims", [[1 << 40, 3], [1 << 62, 1 << 62], [-4, 3], [4, 4], [4, 2], [0, 3]])
def test_constants_that_do_not_hold_what_they_declare_are_refused(
    tmp_path: Path, weighted: onnx.ModelProto, dims: list[int]
) -> None:
    """Larger, smaller, negative, or beyond any memory: nothing of that size is ever asked for."""
    del weighted.graph.initializer[0].dims[:]
    weighted.graph.initializer[0].dims.extend(dims)
    assert _fault(weighted, tmp_path).startswith("tensor 'weights': must ")


@pytest.mark.parametrize("shape", [[1 << 20, 1 << 20], [1 << 62], [-1, 4]])
def test_inputs_beyond_any_memory_are_refused(tmp_path: Path, make: Make, shape: list[int]) -> None:
    """And negative ones."""
    model = make([helper.make_node("Relu", ["x"], ["y"])], shape=shape)
    assert _fault(model, tmp_path).startswith("input 'x' must have from 0 bytes to 2 GiB, found float32 [")


def test_nodes_that_wait_for_each_other_are_refused(tmp_path: Path, make: Make) -> None:
    """The circle is shown."""
    nodes = [
        helper.make_node("Add", ["x", "back"], ["there"], name="first"),
        helper.make_node("Relu", ["there"], ["back"], name="second"),
        helper.make_node("Relu", ["there"], ["y"], name="third"),
    ]
    assert _fault(make(nodes), tmp_path) == "nodes must not wait for each other, found first -> second -> first"


def test_a_circle_through_the_body_of_a_branch_is_refused(tmp_path: Path, make: Make) -> None:
    """What a body reads from around it counts as read by its node."""
    out = helper.make_tensor_value_info("inner", TensorProto.FLOAT, None)
    body = helper.make_graph([helper.make_node("Relu", ["later"], ["inner"])], "body", [], [out])
    nodes = [
        helper.make_node("If", ["flag"], ["y"], name="branch", then_branch=body, else_branch=body),
        helper.make_node("Relu", ["y"], ["later"], name="after"),
    ]
    flag = numpy_helper.from_array(np.array(True), "flag")
    assert "branch -> after -> branch" in _fault(make(nodes, [flag]), tmp_path)


def test_graphs_within_graphs_without_end_are_refused(tmp_path: Path) -> None:
    """The reader does not go down for ever; protobuf's own writer refuses to make such a file."""
    graph = _field(12, _field(1, b"y"))
    for _ in range(500):
        graph = _field(1, _field(5, _field(6, graph))) + _field(12, _field(1, b"y"))
    path = tmp_path / "deep.onnx"
    path.write_bytes(_field(7, graph))
    with pytest.raises(ModelError, match="graphs must be within each other at most 32 deep, found more"):
        read_structure(path)


def _field(number: int, content: bytes) -> bytes:
    """A message within a message, in protobuf's wire format."""
    length, rest = bytearray(), len(content)
    while rest > 0x7F:
        length.append(rest & 0x7F | 0x80)
        rest >>= 7
    return bytes([number << 3 | 2, *length, rest]) + content


@pytest.mark.parametrize(
    "location",
    ["../secret.bin", "/etc/passwd", "a/../../secret.bin", "..", "", "..\\secret.bin", "C:\\secret.bin", "\\\\box\\s"],
)
def test_weights_outside_of_the_folder_are_refused(
    tmp_path: Path, weighted: onnx.ModelProto, location: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By their name alone: the file is not even looked at."""
    (tmp_path / "secret.bin").write_bytes(bytes(48))
    (tmp_path / "models" / "a").mkdir(parents=True)
    monkeypatch.setattr(Path, "resolve", None)
    fault = _fault(_external(weighted, location), tmp_path / "models")
    assert fault == f"tensor 'weights': its bytes must be in a file within the model's folder, found {location!r}"


def test_weights_behind_a_link_out_of_the_folder_are_refused(tmp_path: Path, weighted: onnx.ModelProto) -> None:
    """A link to a file, and a folder that is one."""
    (tmp_path / "models").mkdir()
    (tmp_path / "secret.bin").write_bytes(bytes(48))
    (tmp_path / "models" / "weights.bin").symlink_to(tmp_path / "secret.bin")
    (tmp_path / "models" / "sub").symlink_to(tmp_path)
    for location in ("weights.bin", "sub/secret.bin"):
        model = onnx.ModelProto.FromString(weighted.SerializeToString())
        assert "found a link out of it" in _fault(_external(model, location), tmp_path / "models")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_weights_that_are_no_file_are_refused(tmp_path: Path, weighted: onnx.ModelProto) -> None:
    """Reading a pipe would wait for ever."""
    os.mkfifo(tmp_path / "weights.bin")
    assert _fault(_external(weighted, "weights.bin"), tmp_path).endswith("'weights.bin', which is no file")


@pytest.mark.parametrize(
    "entries", [{"offset": 8}, {"length": 1 << 40}, {"offset": 1 << 62}, {"offset": -4}, {"length": 4}]
)
def test_weights_beyond_the_end_of_their_file_are_refused(
    tmp_path: Path, weighted: onnx.ModelProto, entries: dict[str, int]
) -> None:
    """Offset and length are those of the file, and the length is the tensor's."""
    (tmp_path / "weights.bin").write_bytes(bytes(48))
    assert "must" in _fault(_external(weighted, "weights.bin", **entries), tmp_path)


def test_weights_beside_the_model_are_fine(tmp_path: Path, weighted: onnx.ModelProto) -> None:
    """That is how large models come."""
    (tmp_path / "weights.bin").write_bytes(bytes(64))
    path = tmp_path / "model.onnx"
    path.write_bytes(_external(weighted, "weights.bin", offset=16, length=48).SerializeToString())
    assert admit(path).external == ("weights.bin",)


# --- what it does to the runtime -----------------------------------------------------------------------------------


def _probe(model: onnx.ModelProto, folder: Path) -> str:
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    read_structure(path)
    with pytest.raises(ModelError) as caught:
        probe(path, path.stat().st_size)
    return str(caught.value).removeprefix(f"{path}: ")


def test_a_model_that_never_ends_is_stopped(tmp_path: Path, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """In its own process."""
    monkeypatch.setattr(probing, "_SECONDS", 4)
    kinds = {"i": TensorProto.INT64, "go": TensorProto.BOOL, "v": TensorProto.FLOAT}
    ins = [helper.make_tensor_value_info(name, kind, [] if name != "v" else None) for name, kind in kinds.items()]
    outs = [
        helper.make_tensor_value_info(f"{name}.out", kinds[name], [] if name != "v" else None) for name in ["go", "v"]
    ]
    body = helper.make_graph([helper.make_node("Identity", [n], [f"{n}.out"]) for n in ("go", "v")], "body", ins, outs)
    loop = helper.make_node("Loop", ["", "true", "x"], ["y"], body=body)
    fault = _probe(make([loop], [numpy_helper.from_array(np.array(True), "true")]), tmp_path)
    assert fault == "running it must take less than 4 s, found no end: its process was stopped"


@pytest.mark.skipif(sys.platform != "linux", reason="memory is bounded on Linux only")
@pytest.mark.parametrize("bytes_wanted", [1 << 35, 1 << 50])
def test_a_model_that_takes_all_memory_is_refused(tmp_path: Path, make: Make, bytes_wanted: int) -> None:
    """A hundred bytes of file may not ask for what the box has not."""
    size = numpy_helper.from_array(np.array([bytes_wanted // 4]), "size")
    nodes = [
        helper.make_node("ConstantOfShape", ["size"], ["huge"]),
        helper.make_node("ReduceSum", ["huge"], ["sum"], keepdims=0),
        helper.make_node("Add", ["x", "sum"], ["y"]),
    ]
    assert _probe(make(nodes, [size]), tmp_path).startswith("must run in the memory that it may take, found: ")


def test_memory_is_bounded_by_the_files_size_and_by_what_is_free() -> None:
    """A large model may take more; none may take all."""
    gib = 1 << 30
    assert probing.limits_for(0, 64 * gib) == 4 * gib
    assert probing.limits_for(gib, 64 * gib) == 20 * gib
    assert probing.limits_for(gib, 2 * gib) == 2 * gib
    assert 0 < free_to_take() < psutil.virtual_memory().total


@pytest.mark.parametrize(
    ("dies", "line"),
    [
        (
            "os.kill(os.getpid(), signal.SIGSEGV)",
            "loading it must not bring ONNX Runtime down, found SIGSEGV: its process died",
        ),
        (
            "print('loaded', flush=True); os.abort()",
            "running it must not bring ONNX Runtime down, found SIGABRT: its process died",
        ),
        ("sys.exit(3)", "loading it must not bring ONNX Runtime down, found exit code 3"),
        ("raise KeyboardInterrupt", "loading it must not bring ONNX Runtime down, found "),
    ],
)
def test_a_crash_stays_in_its_process(
    tmp_path: Path, weighted: onnx.ModelProto, monkeypatch: pytest.MonkeyPatch, dies: str, line: str
) -> None:
    """It is reported in one line, with how far the model came."""
    script = tmp_path / "dies.py"
    script.write_text(f"import os, signal, sys\n{dies}\n")
    monkeypatch.setattr(probing, "_COMMAND", (sys.executable, str(script)))
    assert _probe(weighted, tmp_path).startswith(line)


def test_models_that_one_has_made_need_no_trial(
    tmp_path: Path, weighted: onnx.ModelProto, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An environment variable says so; what the file says is still checked."""
    monkeypatch.setattr(probing, "_COMMAND", ("nothing of that name",))
    monkeypatch.setenv(probing.TRUST, "1")
    (tmp_path / "model.onnx").write_bytes(weighted.SerializeToString())
    admit(tmp_path / "model.onnx")
    (tmp_path / "model.onnx").write_bytes(b"junk")
    with pytest.raises(ModelError):
        admit(tmp_path / "model.onnx")


# --- whatever command reads it -------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_refuses_a_hostile_model_in_one_line(
    command: str, tmp_path: Path, weighted: onnx.ModelProto, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is written, and the file outside is neither read nor changed."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    (tmp_path / "secret.bin").write_bytes(bytes(48))
    os.utime(tmp_path / "secret.bin", (0, 0))
    np.savez("samples.npz", x=np.zeros((4, 4), np.float32))
    Path("model.onnx").write_bytes(_external(weighted, "../secret.bin").SerializeToString())
    result = CliRunner().invoke(main, [command, "model.onnx", *COMMANDS[command]])
    assert result.exit_code == 2, result.output
    (line,) = result.stderr.strip().splitlines()
    assert line.startswith("mtl-edge: error: model.onnx: tensor 'weights': its bytes must be in a file within")
    assert {path.name for path in folder.iterdir()} == {"samples.npz", "model.onnx"}
    assert (tmp_path / "secret.bin").stat().st_atime == 0


def test_every_command_that_reads_a_model_is_tried() -> None:
    """A new one is found by the name of its argument."""
    reading = {
        name for name, command in main.commands.items() if any(p.name in ("model", "models") for p in command.params)
    }
    assert reading | {"export", "verify"} == set(COMMANDS)  # which take other things as well


# --- archives of samples -------------------------------------------------------------------------------------------


def test_an_archive_that_would_fill_the_disk_is_refused(tmp_path: Path) -> None:
    """Ten gigabytes of zeros in ten megabytes; nothing is unpacked."""
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", bytes(1 << 20))
    _claim(path, 10 << 30)
    with pytest.raises(DataError, match=r"bomb\.npz: arrays above 1 GiB must have at most 100 times"):
        load_samples(path)


def test_an_archive_with_two_arrays_of_one_name_is_refused(tmp_path: Path) -> None:
    """Readers would not agree on which one is meant."""
    path = tmp_path / "twice.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", b"")
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("x.npy", b"")
    with pytest.raises(DataError, match="each of its own name, found two of one name"):
        load_samples(path)


@pytest.mark.parametrize("name", ["../outside.npy", "/outside.npy", "a/b.npy"])
def test_names_of_arrays_are_no_paths(tmp_path: Path, name: str, weighted: onnx.ModelProto) -> None:
    """Nothing is written outside of the scratch folder."""
    np.savez(tmp_path / "good.npz", x=np.zeros((4, 4), np.float32))
    with zipfile.ZipFile(tmp_path / "good.npz") as good, zipfile.ZipFile(tmp_path / "bad.npz", "w") as bad:
        bad.writestr(name, good.read("x.npy"))
    found = unpack_npz(tmp_path / "bad.npz", tmp_path / "scratch")
    assert len(found.arrays) == 1
    assert [path.parent for path in tmp_path.rglob("*outside*") if path.is_file()] in ([], [tmp_path / "scratch"])


@pytest.mark.parametrize("shape", ["(1099511627776, 1099511627776)", "(-1, 4)", "(4611686018427387904,)"])
def test_arrays_that_declare_more_than_they_hold_are_refused(tmp_path: Path, shape: str) -> None:
    """In an archive and as a file."""
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    content = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + bytes(64)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "x.npy").write_bytes(content)
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("x.npy", content)
    for path in (tmp_path / "folder", tmp_path / "x.npz"):
        with pytest.raises(DataError, match="is not a readable"):
            load_samples(path)


def _claim(path: Path, size: int) -> None:
    """Let the archive's directory say that its member is of this size, in the extra field for large ones."""
    content = bytearray(path.read_bytes())
    entry = content.rindex(b"PK\x01\x02")
    extra = b"\x01\x00\x08\x00" + size.to_bytes(8, "little")
    content[entry + 24 : entry + 28] = b"\xff" * 4
    content[entry + 30 : entry + 32] = len(extra).to_bytes(2, "little")
    name_end = entry + 46 + int.from_bytes(content[entry + 28 : entry + 30], "little")
    content[name_end:name_end] = extra
    end = content.rindex(b"PK\x05\x06")
    length = int.from_bytes(content[end + 12 : end + 16], "little") + len(extra)
    content[end + 12 : end + 16] = length.to_bytes(4, "little")
    path.write_bytes(content)
