"""From a model's file to a folder with its trunk and a head for each task, which give its outputs together."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

import msgspec

from mtl_edge.artifact import Manifest, ModelInput, child_of, seal
from mtl_edge.errors import ParityError, WorkdirError
from mtl_edge.intake.structure import structure_of
from mtl_edge.optimize.chain import CHAIN_FILE, Chain
from mtl_edge.optimize.difference import answers_of, largest_gap
from mtl_edge.optimize.split import Parts, split_graph
from mtl_edge.optimize.subset_file import TOLERANCE, Whole, manifest_of_subset, read_whole
from mtl_edge.preprocessing import Features
from mtl_edge.storage import sha256_of, sha256_of_file, write_folder

TRUNK_FILE = "trunk.onnx"
_HEADS = "heads"


class Split(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it: the folder, its ``chain.json``, the size of each part, and on how many samples it was tried."""

    folder: str
    chain: Chain
    bytes_before: int
    trunk_bytes: int
    head_bytes: dict[str, int]
    samples: int
    random: bool


def split_file(source: Path, folder: Path, *, data: Path | None = None) -> Split:
    """Write a model's trunk, a head for each task, and ``chain.json``, which says how they belong together.

    All of it is there, or nothing; before, the parts were run one after the other and compared with the whole.

    Args:
        source: an ``.onnx``, fp32 or int8.
        folder: what to write; it must be new or empty.
        data: what to compare on, an ``.npz`` or a folder of ``.npy`` files; None takes random inputs.

    Raises:
        ModelError: the model cannot be read, or its tasks share nothing.
        DataError: the data do not fit.
        ParityError: the chain's outputs are off by more than last bits.
        WorkdirError: something is in the folder, or it cannot be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise WorkdirError(f"{folder}: must be a new or empty folder, found something in it")
    whole = read_whole(source, data)
    parts = split_graph(whole.model, whole.tasks)
    gap = _gap(whole, parts)
    if gap > TOLERANCE:
        raise ParityError(
            f"{source}: outputs of trunk and heads must be the whole model's within {TOLERANCE:.0e} of their largest, "
            f"found {gap:.1e}"
        )
    heads = {task: f"{_HEADS}/{quote(task, safe='')}.onnx" for task in parts.heads}
    content = {TRUNK_FILE: _sealed(whole, parts.trunk, [], "trunk")}
    content |= {heads[task]: _sealed(whole, head, [task], "head") for task, head in parts.heads.items()}
    chain = Chain(
        source_sha256=sha256_of_file(source),
        trunk=TRUNK_FILE,
        heads=heads,
        files={name: sha256_of(part) for name, part in content.items()},
        largest_difference=gap,
    )
    record = msgspec.json.format(msgspec.json.encode(chain), indent=2) + b"\n"
    write_folder(folder, {**content, CHAIN_FILE: record})
    return Split(
        folder=str(folder),
        chain=chain,
        bytes_before=source.stat().st_size,
        trunk_bytes=len(content[TRUNK_FILE]),
        head_bytes={task: len(content[name]) for task, name in heads.items()},
        samples=whole.samples,
        random=whole.random,
    )


def _gap(whole: Whole, parts: Parts) -> float:
    """How far the outputs of the parts, one after the other, are from those of the whole."""
    expected = answers_of(whole.model, whole.batches)
    worst = 0.0
    for batch, features, answers in zip(whole.batches, answers_of(parts.trunk, whole.batches), expected, strict=True):
        found = dict(features)
        for head in parts.heads.values():
            found |= answers_of(head, [{**batch, **features}])[0]
        worst = max(worst, largest_gap(answers, found))
    return worst


def _sealed(whole: Whole, part: bytes, tasks: Sequence[str], kind: str) -> bytes:
    """A part with a manifest, if the whole has one."""
    if whole.manifest is None:
        return part
    content, _ = seal(part, _manifest(whole, whole.manifest, part, tasks, kind))
    return content


def _manifest(whole: Whole, parent: Manifest, part: bytes, tasks: Sequence[str], kind: str) -> Manifest:
    known: Mapping[str, ModelInput] = {item.name: item for item in parent.inputs}
    inputs = tuple(
        known[value.name]
        if value.name in known
        else ModelInput(
            name=value.name,
            dtype=value.dtype or "",
            shape=tuple(f"axis_{axis}" if size is None else size for axis, size in enumerate(value.shape or ())),
            preprocessing=Features(dtype=value.dtype or ""),
        )
        for value in structure_of(part).inputs
    )
    step = f"split {kind}{''.join(f' {task}' for task in tasks)}"
    named = child_of(parent, step.removeprefix("split ").replace(" ", "-"), step, parent.target)
    answering = manifest_of_subset(whole, parent, part, tasks, exact=False)
    return msgspec.structs.replace(
        answering, variant=named.variant, lineage=named.lineage, inputs=inputs, part="head" if tasks else "trunk"
    )
