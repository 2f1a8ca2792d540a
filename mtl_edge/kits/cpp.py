"""``model.hpp`` of a C++ kit: what the manifest says of one model, as types and constants of the language.

So the client needs no JSON. Names of tasks and columns become identifiers, whatever they hold; where they are wanted as
they are, they stand in string literals, of which every byte beyond plain letters is escaped.
"""

import re
from collections.abc import Iterable, Sequence

import numpy as np

from mtl_edge import __version__
from mtl_edge.artifact import Manifest, ModelInput
from mtl_edge.errors import ModelError
from mtl_edge.kits.goldens import GoldenCase, Goldens
from mtl_edge.preprocessing import NumericColumn, Pixels, Table, Tokens
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
    "bool": "std::uint8_t",
    "float32": "float",
    "float64": "double",
    **{f"{sign}int{bits}": f"std::{sign}int{bits}_t" for sign in ("", "u") for bits in (8, 16, 32, 64)},
}

_TAKEN = frozenset(
    [
        "alignas",
        "alignof",
        "and",
        "and_eq",
        "asm",
        "auto",
        "bitand",
        "bitor",
        "bool",
        "break",
        "case",
        "catch",
        "char",
        "char8_t",
        "char16_t",
        "char32_t",
        "class",
        "compl",
        "concept",
        "const",
        "consteval",
        "constexpr",
        "constinit",
        "const_cast",
        "continue",
        "co_await",
        "co_return",
        "co_yield",
        "decltype",
        "default",
        "delete",
        "do",
        "double",
        "dynamic_cast",
        "else",
        "enum",
        "explicit",
        "export",
        "extern",
        "false",
        "float",
        "for",
        "friend",
        "goto",
        "if",
        "inline",
        "int",
        "long",
        "mutable",
        "namespace",
        "new",
        "noexcept",
        "not",
        "not_eq",
        "nullptr",
        "operator",
        "or",
        "or_eq",
        "private",
        "protected",
        "public",
        "register",
        "reinterpret_cast",
        "requires",
        "return",
        "short",
        "signed",
        "sizeof",
        "static",
        "static_assert",
        "static_cast",
        "struct",
        "switch",
        "template",
        "this",
        "thread_local",
        "throw",
        "true",
        "try",
        "typedef",
        "typeid",
        "typename",
        "union",
        "unsigned",
        "using",
        "virtual",
        "void",
        "volatile",
        "wchar_t",
        "while",
        "xor",
        "xor_eq",
        "near",
        "far",
        "interface",
        "small",
        "linux",
        "unix",
        "errno",
        "assert",
        "major",
        "minor",
        "stdin",
        "stdout",
        "stderr",
        "signals",
        "slots",
        "emit",
        "foreach",
        "forever",
        "std",
        "mtl_edge",
        "kit",
        "main",
        "Answers",
        "Row",
        "Model",
        "Batch",
        "Spec",
        "answers",
        "f",
    ]
)
"""Keywords, macros in lower case that some system's headers define, and the generated code's own names."""


def generate_cpp(manifest: Manifest, goldens: Goldens) -> dict[str, str]:
    """The generated headers, by their names.

    Raises:
        ModelError: raw samples are of a dtype that C++17 has no type for, or the model has several inputs.
    """
    namespace = identifiers([manifest.name])[0]
    return {
        "model.hpp": _model(manifest, goldens, namespace),
        "kit.hpp": f"// The kit's own name for its model, for code that is the same in every kit.\n#pragma once\n\n"
        f'#include "model.hpp"\n\nnamespace kit = {namespace};\n',
    }


def identifiers(names: Iterable[str]) -> list[str]:
    """One C++ identifier for each name: valid, reserved by nobody, no macro's, and different from all others."""
    found: list[str] = []
    for name in names:
        plain = re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_") or "unnamed"
        if plain[0].isdigit():
            plain = f"n{plain}"
        if plain in _TAKEN or plain.isupper():  # macros have names in capitals
            plain = f"{plain}_"
        unique, number = plain, 2
        while unique in found:
            unique, number = f"{plain.rstrip('_')}_{number}", number + 1
        found.append(unique)
    return found


def literal(text: str) -> str:
    """A string literal of the text's UTF-8 bytes; nothing in it can end it."""
    plain = re.compile(rb"[ !#-.0->@-\[\]-~]")  # no quote, no backslash, no question mark, no slash
    octets = (bytes([byte]) for byte in text.encode("utf-8", "surrogatepass"))
    return '"' + "".join(octet.decode() if plain.match(octet) else f"\\{octet[0]:03o}" for octet in octets) + '"'


def _model(manifest: Manifest, goldens: Goldens, namespace: str) -> str:
    if len(manifest.inputs) != 1:
        raise ModelError(f"{manifest.name}: a C++ kit must be of a model with one input, found {len(manifest.inputs)}")
    (source,) = manifest.inputs
    fields = identifiers(task.name for task in manifest.tasks)
    answers = [(f"mtl_edge::{_answer(task)}", field) for task, field in zip(manifest.tasks, fields, strict=True)]
    cases = [_golden(case, manifest.tasks) for case in goldens.cases]
    rank, outputs = len(source.shape), len(manifest.tasks)
    sizes = ", ".join(str(size) if isinstance(size, int) else "-1" for size in source.shape)
    described = [
        f"{{{literal(task.name)}, {task.width}, {'true' if task.dense else 'false'}}}" for task in manifest.tasks
    ]
    before, members = _input(source)
    return f"""\
// What there is to know of one model; mtl-edge has written it, and export writes it anew.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>

#include "mtl_edge.hpp"

namespace {namespace} {{

/// One sample's answers, a task each.
struct Answers {{
{_lines(f"  {kind} {field};" for kind, field in answers)}
}};

/// Call `f(name, answer)` for each task.
template <class F>
void for_each(const Answers& answers, F f) {{
{_lines(f"  f({literal(t.name)}, answers.{field});" for t, field in zip(manifest.tasks, fields, strict=True))}
}}
{before}
/// The model's constants; the client reads them.
struct Spec {{
  using Answers = {namespace}::Answers;

  static constexpr const char* kName = {literal(manifest.name)};
  static constexpr const char* kVariant = {literal(manifest.variant)};
  static constexpr const char* kSha256 = {literal(manifest.sha256)};
  static constexpr const char* kInput = {literal(source.name)};
  static constexpr const char* kWrittenBy = {literal(__version__)};
  static constexpr const char* kRawType = {literal(source.preprocessing.raw_dtype)};

  /// The shape of the input; -1 is a size of your choice, the first one the number of samples.
  static constexpr std::array<std::int64_t, {rank}> kShape{{{{{sizes}}}}};

  static constexpr std::array<mtl_edge::Output, {outputs}> kOutputs{{{{
{_lines(f"      {output}," for output in described)}
  }}}};

{members}

  static void read(const std::array<mtl_edge::Logits, {outputs}>& logits, Answers& answers) {{
{_lines(f"    answers.{field}.read(logits[{at}]);" for at, field in enumerate(fields))}
  }}

  static constexpr std::array<mtl_edge::Golden<{rank}, {outputs}>, {len(cases)}> kGoldens{{{{
{_lines(f"      {case}," for case in cases)}
  }}}};
}};

using Model = mtl_edge::Model<Spec>;
using Batch = mtl_edge::Batch<Spec>;

}}  // namespace {namespace}
"""


def _answer(task: Task) -> str:
    """The C++ type of a task's answer."""
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


def _input(source: ModelInput) -> tuple[str, str]:
    """What stands before the constants, and those of them that say what raw samples are and what is done to them."""
    match source.preprocessing:
        case Pixels() as pixels:
            return "", _pixels(source, pixels)
        case Table() as table:
            return _table(table)
        case Tokens() as tokens:
            return _tokens(tokens)
        case _:
            raise ModelError(f"{source.name}: must be preprocessed by the client, found it in the graph")


def _pixels(source: ModelInput, pixels: Pixels) -> str:
    raw = _RAW_TYPES.get(pixels.raw_dtype)
    if raw is None:
        raise ModelError(
            f"{source.name}: raw samples of a C++ kit must be {', '.join(_RAW_TYPES)}, found {pixels.raw_dtype}"
        )
    channels = len(pixels.std)
    std = np.asarray(pixels.std, np.float32)
    factor, offset = np.float32(pixels.scale) / std, np.asarray(pixels.mean, np.float32) / std
    shape = f"std::array<std::int64_t, {len(source.shape)}>"
    return f"""\
  using Raw = {raw};
  using Value = float;
  static constexpr bool kEncodes = false;

  static constexpr mtl_edge::Pixels<{channels}> kPixels{{{{{{{_floats(factor)}}}}}, {{{{{_floats(offset)}}}}}}};

  static void preprocess(const Raw* raw, Value* out, const {shape}& shape) noexcept {{
    std::size_t count = 1;
    for (std::size_t axis = 2; axis < shape.size(); ++axis) count *= static_cast<std::size_t>(shape[axis]);
    kPixels.apply(raw, out, static_cast<std::size_t>(shape[0]) * {channels}, count);
  }}"""


def _table(table: Table) -> tuple[str, str]:
    fields = identifiers(column.name for column in table.columns)
    row, encode = [], []
    for at, (column, field) in enumerate(zip(table.columns, fields, strict=True)):
        if isinstance(column, NumericColumn):
            row.append(f"  float {field} = std::numeric_limits<float>::quiet_NaN();")
            encode.append(
                f"    if (auto done = mtl_edge::detail::finite(out[{at}] = row.{field}, index, {literal(column.name)}); "
                "!done) return done;"
            )
        else:
            codes = _codes(list(column.categories), first=1)
            row.append(f"  std::string_view {field};  ///< one of {len(column.categories)} categories")
            encode.append(
                f"    static constexpr {codes[0]} k{at}{codes[1]};\n"
                f"    out[{at}] = row.{field}.data() ? static_cast<float>(k{at}.find(row.{field}, 0)) : 0.0f;"
            )
    before = f"""
/// A sample: what is not set is missing, and a category that the model does not know counts as missing.
struct Row {{
{_lines(row)}
}};
"""
    return (
        before,
        f"""\
  using Raw = float;
  using Value = float;
  using Sample = Row;
  static constexpr bool kEncodes = true;

  static mtl_edge::Result<void> encode(const Row& row, [[maybe_unused]] std::size_t index, Raw* out) {{
{_lines(encode)}
    return {{}};
  }}

{_copied(2)}""",
    )


def _tokens(tokens: Tokens) -> tuple[str, str]:
    kind, content = _codes(list(tokens.vocabulary), first=FIRST_WORD)
    longest = max((len(word.encode()) for word in tokens.vocabulary), default=1)
    words = len(tokens.vocabulary)
    return (
        "",
        f"""\
  using Raw = std::int64_t;
  using Value = std::int64_t;
  using Sample = std::string_view;
  static constexpr bool kEncodes = true;

  static constexpr {kind} kWords{content};

  static mtl_edge::Result<void> encode(std::string_view text, std::size_t, Raw* out) noexcept {{
    static constexpr mtl_edge::Vocabulary<{words}, {longest}> kVocabulary{{kWords}};
    kVocabulary.encode(text, out, {tokens.length});
    return {{}};
  }}

{_copied(2)}""",
    )


def _copied(rank: int) -> str:
    return f"""\
  static void preprocess(const Raw* raw, Value* out, const std::array<std::int64_t, {rank}>& shape) noexcept {{
    std::copy(raw, raw + shape[0] * shape[1], out);
  }}"""


def _codes(names: Sequence[str], *, first: int) -> tuple[str, str]:
    """The type and the initializer of a table of names and their numbers, in the order of their bytes."""
    numbered = sorted((name.encode("utf-8", "surrogatepass"), name, number) for number, name in enumerate(names, first))
    entries = [f"{{{{{literal(name)}, {len(octets)}}}, {number}}}" for octets, name, number in numbered]
    return f"mtl_edge::Codes<{len(names)}>", f"{{{{{{\n{_lines(f'      {entry},' for entry in entries)}\n  }}}}}}"


def _golden(case: GoldenCase, tasks: Sequence[Task]) -> str:
    (raw,), (inputs,) = case.raw, case.inputs
    by_name = {output.name: output for output in case.outputs}
    wanted = [by_name[task.name] for task in tasks]
    outputs = ", ".join(f"{{{literal(output.file)}, {output.atol!r}}}" for output in wanted)
    shape = ", ".join(map(str, raw.shape))
    return f"{{{{{{{shape}}}}}, {literal(raw.file)}, {literal(inputs.file)}, {{{{{outputs}}}}}}}"


def _floats(values: np.ndarray) -> str:
    """Literals that give the same bits: the shortest decimal that no other float is nearer to."""
    return ", ".join(f"{np.format_float_scientific(value, unique=True)}f" for value in values)


def _lines(parts: Iterable[str]) -> str:
    return "\n".join(parts)
