"""The header that is generated for C++: names of all kinds, and nothing that a name could smuggle in."""

import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtl_edge.artifact import Manifest, ModelInput
from mtl_edge.errors import ModelError
from mtl_edge.kits.cpp import generate_cpp
from mtl_edge.kits.cpp_names import identifiers, literal
from mtl_edge.kits.goldens import GoldenArray, GoldenCase, GoldenOutput, Goldens
from mtl_edge.preprocessing import (
    CategoricalColumn,
    Features,
    NumericColumn,
    Pixels,
    RawCategories,
    RawNumbers,
    RawPixels,
    Table,
    Tokens,
)


def _goldens(manifest: Manifest) -> Goldens:
    arrays = tuple(
        GoldenArray(name=item.name, dtype=item.dtype, shape=(1, 2), file=f"{at}.bin")
        for at, item in enumerate(manifest.inputs)
    )
    outputs = tuple(
        GoldenOutput(name=task.name, dtype="float32", shape=(1, task.width), file=f"0-output-{at}.bin", atol=0.01)
        for at, task in enumerate(manifest.tasks)
    )
    return Goldens(model_sha256="", cases=(GoldenCase(raw=arrays, inputs=arrays, outputs=outputs),))


def _with_input(manifest: Manifest, **changes: object) -> Manifest:
    return msgspec.structs.replace(manifest, inputs=(msgspec.structs.replace(manifest.inputs[0], **changes),))


def _header(manifest: Manifest) -> str:
    return generate_cpp(manifest, _goldens(manifest))["model.hpp"]


@given(st.lists(st.text(max_size=8), max_size=8))
def test_any_names_become_different_identifiers(names: list[str]) -> None:
    """Letters, digits and single underscores, a letter first, each of them once."""
    found = identifiers(names)
    assert len(set(found)) == len(found) == len(names)
    assert all(re.fullmatch(r"[A-Za-z]([A-Za-z0-9]|_(?!_))*", name) for name in found)


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        (["left", "right"], ["left", "right"]),
        (["class", "NULL", "std", "Answers"], ["class_", "NULL_", "std_", "Answers_"]),
        (["a b", "a-b", "a_b", "a_b_2"], ["a_b", "a_b_2", "a_b_3", "a_b_2_2"]),
        (["", "7", "__x", "größe", "日本"], ["unnamed", "n7", "x", "gr_e", "unnamed_2"]),
        (["int", "int_", "INT", "INT"], ["int_", "int_2", "INT_", "INT_2"]),
    ],
)
def test_names_stay_as_near_as_they_may(names: list[str], wanted: list[str]) -> None:
    """Keywords, macros and reserved names get an underscore, what would be the same a number."""
    assert identifiers(names) == wanted


@given(st.text(st.characters(codec=None)))
def test_a_literal_holds_the_bytes_and_cannot_be_left(text: str) -> None:
    """One line of plain letters between two quotes, each other byte as three octal digits."""
    found = literal(text)
    assert re.fullmatch(r'"([ !#-.0->@-\[\]-~]|\\[0-7]{3})*"', found)
    octets = re.sub(rb"\\([0-7]{3})", lambda octal: bytes([int(octal[1], 8)]), found[1:-1].encode())
    assert octets == text.encode("utf-8", "surrogatepass")


def test_hostile_names_stand_in_literals_alone(tiny_manifest: Manifest) -> None:
    """Neither a comment nor code has them as they are."""
    hostile = 'x"; int main() { */ // \\\n#error ??/'
    table = Table(
        columns=(
            NumericColumn(name=hostile, mean=0.0, std=1.0),
            CategoricalColumn(name="default", categories=(hostile, "\0", "")),
        )
    )
    changed = msgspec.structs.replace(tiny_manifest, name=hostile, variant=hostile)
    header = _header(_with_input(changed, name=hostile, preprocessing=table, dtype="float32"))
    assert "#error" not in header.replace(literal(hostile), "")
    assert "int main" not in header.replace(literal(hostile), "")
    assert "std::string_view default_;" in header
    assert '{{"\\000", 1}, 2}' in header


def test_constants_have_the_bits_that_numpy_computes(tiny_manifest: Manifest) -> None:
    """The factor and the offset of each channel are float32, as preprocessing has them."""
    assert "kPixels{{{1e+00f, 2e+00f}}, {{2e+00f, 8e+00f}}}" in _header(tiny_manifest)


def test_words_stand_in_the_order_of_their_bytes(tiny_manifest: Manifest) -> None:
    """A search by halves finds them; their ids are their places in the vocabulary, from 2 on."""
    tokens = Tokens(vocabulary=("z", "it's", "10"), length=2)
    header = _header(_with_input(tiny_manifest, preprocessing=tokens, dtype="int64"))
    found = re.findall(r"\{\{\"(.*?)\", \d\}, (\d)\}", header)
    assert found == [("10", "4"), ("it's", "3"), ("z", "2")]


def test_raw_samples_without_a_type_in_cpp_are_refused(tiny_manifest: Manifest) -> None:
    """C++17 has no half precision."""
    half = Pixels(raw_dtype="float16", scale=1.0, mean=(0.0, 0.0), std=(1.0, 1.0))
    with pytest.raises(ModelError, match=r"image: raw samples of a C\+\+ kit must be float32, .* found float16"):
        _header(_with_input(tiny_manifest, preprocessing=half))


def test_a_graph_that_preprocesses_gets_samples_as_they_are(tiny_manifest: Manifest) -> None:
    """Raw pixels are copied; numbers alone, and parts of a split model, are refused by their kind."""
    (source,) = tiny_manifest.inputs
    assert isinstance(source.preprocessing, Pixels)
    header = _header(_with_input(tiny_manifest, preprocessing=RawPixels(pixels=source.preprocessing), dtype="uint8"))
    assert "using Raw = std::uint8_t;\n  using Value = Raw;" in header
    for other, kind in (
        (RawNumbers(columns=("a",), places=(0,), of=1), "raw-numbers"),
        (Features(dtype="float32"), "features"),
    ):
        with pytest.raises(ModelError, match=f"must be of pixels, a table or tokens, found {kind}"):
            _header(_with_input(tiny_manifest, preprocessing=other))


def test_each_of_several_inputs_has_a_struct_of_its_own(tiny_manifest: Manifest) -> None:
    """Whatever they are called; the shapes of golden vectors have as many axes as that with the most."""
    (source,) = tiny_manifest.inputs
    names = ("class", "Row", "x", "X", 'a"; int main() {')
    table = Table(columns=(NumericColumn(name="a", mean=0.0, std=1.0),))
    inputs = tuple(
        msgspec.structs.replace(source, name=name, preprocessing=table if name in ("x", "X") else source.preprocessing)
        for name in names
    )
    header = _header(msgspec.structs.replace(tiny_manifest, inputs=inputs))
    structs = re.findall(r"^struct (\w+) \{\n  static constexpr const char\* kInput", header, re.MULTILINE)
    assert f"std::tuple<{', '.join(f'reads::{name}' for name in structs)}>" in header
    assert len(set(structs)) == len(names)
    rows = re.findall(r"^struct (\w*Row\w*) \{\n  float", header, re.MULTILINE)
    assert len(set(rows)) == 2
    assert "int main() {" not in header.replace(literal(names[-1]), "")


def test_rows_that_the_graph_encodes_are_structs(tiny_manifest: Manifest) -> None:
    """Their columns stand in the order of the data set; a graph without numbers is fed none."""
    (source,) = tiny_manifest.inputs
    columns = tuple(CategoricalColumn(name=name, categories=("x",)) for name in ("a", "c"))
    texts: ModelInput = msgspec.structs.replace(
        source, name="t", reads="x", dtype="string", preprocessing=RawCategories(columns=columns, places=(0, 2), of=3)
    )
    numbers: ModelInput = msgspec.structs.replace(
        source, name="n", reads="x", preprocessing=RawNumbers(columns=("b",), places=(1,), of=3)
    )
    both = _header(msgspec.structs.replace(tiny_manifest, inputs=(numbers, texts)))
    assert "  std::string_view a;\n  float b = std::numeric_limits<float>::quiet_NaN();\n  std::string_view c;" in both
    assert "return {{row.a, row.c}};" in both
    assert 'kTexts{"t", 2};' in both
    alone = _header(msgspec.structs.replace(tiny_manifest, inputs=(texts,)))
    assert "kNumbers = false;" in alone
    assert "out[0]" not in alone
