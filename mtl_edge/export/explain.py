"""Why a network cannot be exported: the reason, the line of the user's code, and what to do about it."""

import re
import site
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from traceback import extract_tb

import mtl_edge

_LIBRARIES = tuple({*site.getsitepackages(), sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")})
_PACKAGE = str(Path(mtl_edge.__file__).parent)
_LONGEST = 300

_HINTS = (
    (
        r"data-dependent|GuardOnDataDependent|Could not guard|is_nonzero|\.item\(|unbacked",
        "what runs must not depend on values: choose between tensors with torch.where, or between branches with "
        "torch.cond, and keep numbers in tensors instead of .item() or tolist()",
    ),
    (
        r"specialized|Constraints violated|not all values of|dynamic shape|marked batch|suggested fixes",
        "the code uses the number of samples as a constant: take it from x.shape[0], or export with --batch 1",
    ),
    (
        r"No ONNX function|decomposition|registered|Unsupported FX|ConversionError",
        "ONNX has no such operator: write it with others, or try a newer --opset",
    ),
    (
        r"numpy|FakeTensor|fake_tensor|non-tensor|untyped storage|data_ptr|\.data\b",
        "everything between inputs and outputs must be operations of torch: no numpy, no Python numbers made of values",
    ),
    (
        r"missing \d+ required|unexpected keyword|positional argument",
        "forward must read the inputs that --example names",
    ),
    (
        r"mat1 and mat2|size of tensor|expected input|channels",
        "the shapes of --example must be those that forward reads",
    ),
)
_FALLBACK = "forward must be a plain computation of tensors, the same for every input of these shapes"


def explain(error: BaseException, *, source: str, traced: Mapping[str, str] | None = None) -> str:
    """One line on what went wrong with an export.

    Args:
        error: what :mod:`torch.onnx` or the network raised.
        source: the network's ``pkg.mod:factory``.
        traced: operator, such as ``aten._linalg_eigh`` -> the traceback of the code that it comes from.
    """
    chain = _chain(error)
    cause = chain[-1]
    where = next((found for found in map(user_line, reversed(chain)) if found), None)
    if where is None and (operator := re.search(r"OpOverload\(op='([\w.]+)'", str(cause))):
        kind = operator[1].rpartition(".")[2].lstrip("_")  # it may have had another prefix in the user's code
        where = next((_quoted_line(text) for name, text in (traced or {}).items() if name.endswith(kind)), None)
    said = " ".join(line for item in chain for line in [type(item).__name__, str(item)])
    hint = next((hint for pattern, hint in _HINTS if re.search(pattern, said, re.IGNORECASE)), _FALLBACK)
    at = f" at {where}" if where else ""
    return f"export: {source}: cannot be written as ONNX{at}: {reason(cause)}; {hint}"


def _chain(error: BaseException) -> list[BaseException]:
    """The error and what it came from, the first cause last."""
    chain = [error]
    while (before := chain[-1].__cause__ or chain[-1].__context__) is not None and before not in chain:
        chain.append(before)
    return chain


def user_line(error: BaseException) -> str | None:
    """``net.py:12 (y = x.item())``: the innermost line that is neither a library's nor ours."""
    if (quoted := _quoted_line(str(error))) is not None:
        return quoted
    frames = [frame for frame in extract_tb(error.__traceback__) if _is_users(frame.filename)]
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno} ({frames[-1].line})" if frames else None


def _quoted_line(text: str) -> str | None:
    """The same from a traceback that is part of a message."""
    for file, line, code in reversed(re.findall(r'File "([^"]+)", line (\d+), in \S+\n\s+(\S.*)', text)):
        if _is_users(file):
            return f"{Path(file).name}:{line} ({code.strip()})"
    return None


def _is_users(file: str) -> bool:
    return not file.startswith(("<", _PACKAGE, *_LIBRARIES))


def reason(error: BaseException) -> str:
    """The first sentence of the first cause; what follows in torch's messages is for its own developers."""
    text = str(error)
    if "Constraints violated" in text:  # what is violated stands in a list below
        text = text.partition("\n  - ")[2].partition(". If you're using")[0] or text
    text = " ".join(text.split("\n\n")[0].partition(" (unhinted")[0].split()) or type(error).__name__
    return text[:_LONGEST].rstrip(" .;:")
