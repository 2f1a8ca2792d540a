"""``model.hpp`` of a C++ kit: what the manifest says of one model, as types and constants of the language.

So the client needs no JSON. Names of tasks and columns become identifiers, whatever they hold; where they are wanted as
they are, they stand in string literals, of which every byte beyond plain letters is escaped.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from string import Template

import numpy as np

from mtl_edge import __version__
from mtl_edge.artifact import Manifest, ModelInput
from mtl_edge.errors import ModelError
from mtl_edge.kits.arguments import Argument, RowsInGraph, arguments, row_type
from mtl_edge.kits.cpp_names import identifiers, literal
from mtl_edge.kits.goldens import GoldenCase, Goldens
from mtl_edge.preprocessing import (
    Features,
    NumericColumn,
    Pixels,
    RawCategories,
    RawNumbers,
    RawPixels,
    Table,
    Tokens,
)
from mtl_edge.preprocessing.tokens import FIRST_WORD
from mtl_edge.tasks import (
    Binary,
    DenseRegression,
    Multiclass,
    Multilabel,
    Ordinal,
    Regression,
    Segmentation,
    Task,
)

_RAW_TYPES = {
    "float32": "float",
    "float64": "double",
    **{f"{sign}int{bits}": f"std::{sign}int{bits}_t" for sign in ("", "u") for bits in (8, 16, 32, 64)},
}

_KIT = """\
// The kit's own name for its model, for code that is the same in every kit.
#pragma once

#include "model.hpp"

namespace kit = {};
"""

_READ = Template("""\

struct $struct {
  static constexpr const char* kInput = $input;
  static constexpr const char* kInputType = $dtype;

  /// Whether the graph reads numbers, and which texts.
  static constexpr bool kNumbers = $numbers;
  static constexpr mtl_edge::Texts kTexts{$texts};

  /// The shape of the input; -1 is a size of your choice, the first one the number of samples.
  static constexpr std::array<std::int64_t, $rank> kShape{{$shape}};

$members
};
""")

_PIXELS = Template("""\
  using Raw = $raw;
  using Value = float;
  static constexpr bool kEncodes = false;

  static constexpr mtl_edge::Pixels<$channels> kPixels{{{$factor}}, {{$offset}}};

  static void preprocess(const Raw* raw, Value* out, const std::array<std::int64_t, $rank>& shape) noexcept {
    std::size_t count = 1;
    for (std::size_t axis = 2; axis < shape.size(); ++axis) count *= static_cast<std::size_t>(shape[axis]);
    kPixels.apply(raw, out, static_cast<std::size_t>(shape[0]) * $channels, count);
  }""")

_COPIED = Template("""\
  static void preprocess(const Raw* raw, Value* out, const std::array<std::int64_t, $rank>& shape) noexcept {
    std::copy_n(raw, mtl_edge::detail::count(shape), out);
  }""")

_AS_THEY_ARE = Template("""\
  using Raw = $raw;
  using Value = Raw;
  static constexpr bool kEncodes = false;

$preprocess""")

_ROW = Template("""
/// A sample: what is not set is missing, and a category that the model does not know counts as missing.
struct $row {
$members
};
""")

_TABLE = Template("""\
  using Raw = float;
  using Value = float;
  using Sample = $row;
  static constexpr bool kEncodes = true;

$codes

  static mtl_edge::Result<void> encode(const $row& row, [[maybe_unused]] std::size_t index, Raw* out) {
$columns
    return {};
  }

$preprocess""")

_NUMBER = Template("""\
    out[$at] = row.$field;
    if (auto done = mtl_edge::detail::finite(out[$at], index, $name); !done) return done;""")

_TOKENS = Template("""\
  using Raw = std::int64_t;
  using Value = std::int64_t;
  using Sample = std::string_view;
  static constexpr bool kEncodes = true;

$codes

  static mtl_edge::Result<void> encode(std::string_view text, std::size_t, Raw* out) noexcept {
    mtl_edge::encode_text<$longest>(kWords, text, out, $length);
    return {};
  }

$preprocess""")


_ENCODED_IN_GRAPH = Template("""\
  using Raw = float;
  using Value = float;
  using Sample = $row;
  static constexpr bool kEncodes = true;

  static mtl_edge::Result<void> encode(const $row&$name, [[maybe_unused]] std::size_t index, $out) {
$columns
    return {};
  }

  /// Categories as the graph reads them.
  static std::array<std::string_view, $texts> texts(const $row& row) noexcept { return {{$fields}}; }

$preprocess""")

_NOTHING = """\
  static void preprocess(const Raw*, Value*, const std::array<std::int64_t, 2>&) noexcept {}"""


@dataclass(frozen=True)
class _Read:
    """What is generated for the kind of input: part of its struct, and what stands before."""

    members: str
    row: str = ""
    numbers: bool = True
    texts: str = '"", 0'


def generate_cpp(manifest: Manifest, goldens: Goldens) -> dict[str, str]:
    """The generated headers, by their names.

    Raises:
        ModelError: raw samples are of a dtype that C++17 has no type for, or the model reads something else.
    """
    namespace = identifiers([manifest.name])[0]
    fields = identifiers(task.name for task in manifest.tasks)
    tasks = list(zip(manifest.tasks, fields, strict=True))
    read = arguments(manifest.inputs)
    names = identifiers(item.name for item in read)
    rows = ["Row"] if len(read) == 1 else identifiers(map(row_type, names))
    generated = [_read(item, row) for item, row in zip(read, rows, strict=True)]
    by_name = {item.name: item for item in manifest.inputs}
    sources = [by_name[_graph_name(item)] for item in read]
    header = Template((files("mtl_edge.kits") / "model.hpp.in").read_text("utf-8")).substitute(
        namespace=namespace,
        members=_lines(f"  mtl_edge::{_answer(task)} {field};" for task, field in tasks),
        calls=_lines(f"  f({literal(task.name)}, answers.{field});" for task, field in tasks),
        rows="".join(item.row for item in generated),
        reads="".join(map(_struct, names, sources, generated)),
        base=f" : reads::{names[0]}" if len(read) == 1 else "",
        inputs=", ".join(f"reads::{name}" for name in names),
        name=literal(manifest.name),
        variant=literal(manifest.variant),
        sha256=literal(manifest.sha256),
        version=literal(__version__),
        rank=max(len(source.shape) for source in sources),
        arguments=len(read),
        tasks=len(tasks),
        outputs=_lines(
            f"      {{{literal(task.name)}, {task.width}, {str(task.dense).lower()}}}," for task, _ in tasks
        ),
        decodes=_lines(f"    answers.{field}.read(logits[{at}]);" for at, field in enumerate(fields)),
        cases=len(goldens.cases),
        goldens=_lines(f"      {_golden(case, read, manifest.tasks)}," for case in goldens.cases),
    )
    return {"model.hpp": header, "kit.hpp": _KIT.format(namespace)}


def _answer(task: Task) -> str:
    """The client's type of a task's answer."""
    match task:
        case Multiclass():
            return "Multiclass"
        case Binary():
            return "Binary"
        case Multilabel():
            return f"Multilabel<{task.classes}>"
        case Ordinal():
            return f"Ordinal<{task.classes}>"
        case Regression():
            return "Regression"
        case Segmentation():
            return f"Segmentation<std::{np.min_scalar_type(task.classes - 1)}_t>"
        case DenseRegression():
            return "DenseRegression"


def _graph_name(item: Argument) -> str:
    """The graph's input that an argument's shape is of; of rows that is the numbers, if there are any."""
    return item.inputs[0] if isinstance(item, RowsInGraph) else item.name


def _struct(name: str, source: ModelInput, generated: _Read) -> str:
    return _READ.substitute(
        struct=name,
        input=literal(source.name),
        dtype=literal(source.dtype),
        numbers=str(generated.numbers).lower(),
        texts=generated.texts,
        rank=len(source.shape),
        shape=", ".join(str(size) if isinstance(size, int) else "-1" for size in source.shape),
        members=generated.members,
    )


def _read(source: Argument, row: str) -> _Read:
    if isinstance(source, RowsInGraph):
        return _rows(source, row)
    match source.preprocessing:
        case Pixels() as pixels:
            return _pixels(source, pixels)
        case RawPixels():
            copied = _COPIED.substitute(rank=len(source.shape))
            return _Read(_AS_THEY_ARE.substitute(raw=_raw_type(source), preprocess=copied))
        case Table() as table:
            return _table(table, row)
        case Tokens() as tokens:
            longest = max((len(word.encode()) for word in tokens.vocabulary), default=1)
            codes = _codes("kWords", tokens.vocabulary, first=FIRST_WORD)
            copied = _COPIED.substitute(rank=2)
            return _Read(_TOKENS.substitute(codes=codes, longest=longest, length=tokens.length, preprocess=copied))
        case RawNumbers() | RawCategories() | Features():
            kind = source.preprocessing.__struct_config__.tag
            raise ModelError(
                f"{source.name}: the input of a C++ kit must be of pixels, a table or tokens, found {kind}"
            )


def _raw_type(source: ModelInput) -> str:
    """The type of raw samples."""
    name = source.preprocessing.raw_dtype
    if name not in _RAW_TYPES:
        raise ModelError(f"{source.name}: raw samples of a C++ kit must be {', '.join(_RAW_TYPES)}, found {name}")
    return _RAW_TYPES[name]


def _pixels(source: ModelInput, pixels: Pixels) -> _Read:
    std = np.asarray(pixels.std, np.float32)
    factor, offset = np.float32(pixels.scale) / std, np.asarray(pixels.mean, np.float32) / std
    return _Read(
        _PIXELS.substitute(
            raw=_raw_type(source),
            channels=len(std),
            rank=len(source.shape),
            factor=_floats(factor),
            offset=_floats(offset),
        )
    )


def _table(table: Table, row: str) -> _Read:
    members, codes, columns = [], [], []
    names = identifiers(column.name for column in table.columns)
    for at, (column, field) in enumerate(zip(table.columns, names, strict=True)):
        if isinstance(column, NumericColumn):
            members.append(f"  float {field} = std::numeric_limits<float>::quiet_NaN();")
            columns.append(_NUMBER.substitute(at=at, field=field, name=literal(column.name)))
        else:
            members.append(f"  std::string_view {field};")
            codes.append(_codes(f"kCategories{at}", column.categories, first=1))
            columns.append(f"    out[{at}] = kCategories{at}.number_of(row.{field});")
    return _Read(
        _TABLE.substitute(row=row, codes=_lines(codes), columns=_lines(columns), preprocess=_COPIED.substitute(rank=2)),
        row=_ROW.substitute(row=row, members=_lines(members)),
    )


def _rows(rows: RowsInGraph, row: str) -> _Read:
    fields = dict(zip(rows.columns, identifiers(rows.columns), strict=True))
    members = [
        f"  std::string_view {field};"
        if name in rows.texts
        else f"  float {field} = std::numeric_limits<float>::quiet_NaN();"
        for name, field in fields.items()
    ]
    columns = [
        _NUMBER.substitute(at=at, field=fields[name], name=literal(name)) for at, name in enumerate(rows.numbers)
    ]
    return _Read(
        _ENCODED_IN_GRAPH.substitute(
            row=row,
            name=" row" if rows.numbers else "",
            out="Raw* out" if rows.numbers else "Raw*",
            columns=_lines(columns),
            texts=len(rows.texts),
            fields=", ".join(f"row.{fields[name]}" for name in rows.texts),
            preprocess=_COPIED.substitute(rank=2) if rows.numbers else _NOTHING,
        ),
        row=_ROW.substitute(row=row, members=_lines(members)),
        numbers=bool(rows.numbers),
        texts=f"{literal(rows.texts_input)}, {len(rows.texts)}",
    )


def _codes(constant: str, names: Sequence[str], *, first: int) -> str:
    """A table of names and their numbers, in the order of their bytes."""
    numbered = sorted((name.encode("utf-8", "surrogatepass"), name, number) for number, name in enumerate(names, first))
    entries = _lines(f"      {{{{{literal(name)}, {len(octets)}}}, {number}}}," for octets, name, number in numbered)
    return f"  static constexpr mtl_edge::Codes<{len(names)}> {constant}{{{{{{\n{entries}\n  }}}}}};"


def _golden(case: GoldenCase, read: Sequence[Argument], tasks: Sequence[Task]) -> str:
    shapes = {array.name: array.shape for array in case.inputs}
    rank = max(len(shapes[_graph_name(item)]) for item in read)
    inputs = ", ".join(_golden_input(case, item, shapes[_graph_name(item)], rank) for item in read)
    by_name = {output.name: output for output in case.outputs}
    wanted = [by_name[task.name] for task in tasks]
    outputs = ", ".join(f"{{{literal(output.file)}, {output.atol!r}}}" for output in wanted)
    return f"{{{{{{{inputs}}}}}, {{{{{outputs}}}}}}}"


def _golden_input(case: GoldenCase, item: Argument, shape: Sequence[int], rank: int) -> str:
    raw, inputs = ({array.name: literal(array.file) for array in part} for part in (case.raw, case.inputs))
    numbers, texts = (item.numbers_input, item.texts_input) if isinstance(item, RowsInGraph) else (item.name, None)
    padded = ", ".join(map(str, [*shape, *[0] * (rank - len(shape))]))
    files = ["nullptr", "nullptr"] if numbers is None else [raw[numbers], inputs[numbers]]
    files += [] if texts is None else [raw[texts]]
    return f"{{{{{{{padded}}}}}, {', '.join(files)}}}"


def _floats(values: np.ndarray) -> str:
    """Literals that give the same bits: the shortest decimals that no other float is nearer to."""
    return ", ".join(f"{np.format_float_scientific(value, trim='-')}f" for value in values)


def _lines(parts: Iterable[str]) -> str:
    return "\n".join(parts)
