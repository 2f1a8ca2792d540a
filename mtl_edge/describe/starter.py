"""A first ``tasks.toml`` for a graph: what its shapes allow, with questions where they leave it open."""

import json
import re
from pathlib import Path

from mtl_edge.errors import ModelError
from mtl_edge.intake.structure import Structure, read_structure
from mtl_edge.runtime import open_session
from mtl_edge.tasks.base import TASK_NAME

_PIXELS = """\
# [{table}]{space}# without this table, the array goes in as it is
# raw_dtype = "uint8"                # what your data hold
# scale = 0.00392156862745098        # 1/255; the network reads (raw * scale - mean) / std
# mean = [{mean}]
# std = [{std}]
"""


def starter(path: Path) -> str:
    """The text of a ``tasks.toml`` that is to be edited.

    Raises:
        ModelError: the model cannot be read, or an output cannot be that of a task.
    """
    structure = read_structure(path)
    session = open_session(path)
    shapes = {item.name: tuple(item.shape) for item in session.get_outputs()}
    parts = [
        f"# What the outputs of {path.name} mean: check each kind. Outputs are logits, or numbers in their unit.\n"
    ]
    for index, (output, shape) in enumerate(shapes.items()):
        name = output if re.fullmatch(TASK_NAME, output) else f"task_{index}"
        lines = [f"[tasks.{_key(name)}]", *_guess(path, output, shape)]
        if name != output:
            lines.append(f"output = {json.dumps(output)}")
        lines.append(f"target = {json.dumps(name)}  # the data's array of labels")
        parts.append("\n".join(lines) + "\n")
    parts.extend(_inputs(structure))
    return "\n".join(parts)


def _guess(path: Path, output: str, shape: tuple[int | str | None, ...]) -> list[str]:
    match shape:
        case (_,) | (_, 1):
            return ['kind = "regression"  # or "binary", if it is the logit of yes', '# unit = "years"']
        case (_, int(width)):
            return [
                f'kind = "multiclass"  # or "multilabel"; "ordinal", with classes = {width + 1}',
                f"classes = {width}",
                "# class_names = […]",
                '# max_drop = "0.5pt"  # what int8 may cost',
            ]
        case (_, _, _) | (_, 1, _, _):
            return ['kind = "dense-regression"', '# unit = "metres"']
        case (_, int(width), _, _):
            return ['kind = "segmentation"', f"classes = {width}", "# class_names = […]"]
        case _:
            raise ModelError(f"{path}: output {output!r}: no kind of task has the shape {list(shape)}")


def _inputs(structure: Structure) -> list[str]:
    parts = []
    for value in structure.inputs:
        table = "input" if len(structure.inputs) == 1 else f"inputs.{_key(value.name)}"
        sizes = value.shape or ()
        channels = sizes[1] if len(sizes) > 2 and isinstance(sizes[1], int) and sizes[1] <= 4 else 1
        mean, std = (", ".join([value] * channels) for value in ("0.0", "1.0"))
        parts.append(_PIXELS.format(table=table, space=" " * max(33 - len(table), 2), mean=mean, std=std))
    return parts


def _key(name: str) -> str:
    """A TOML key; one with a dot needs quotes."""
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name)
