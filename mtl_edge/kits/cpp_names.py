"""Names of models, tasks and columns in C++ source: as identifiers, whatever they hold, and as string literals."""

import re
from collections.abc import Iterable

_KEYWORDS = """\
alignas alignof and and_eq asm auto bitand bitor bool break case catch char char8_t char16_t char32_t class compl
concept const consteval constexpr constinit const_cast continue co_await co_return co_yield decltype default delete do
double dynamic_cast else enum explicit export extern false float for friend goto if inline int long mutable namespace
new noexcept not not_eq nullptr operator or or_eq private protected public register reinterpret_cast requires return
short signed sizeof static static_assert static_cast struct switch template this thread_local throw true try typedef
typeid typename union unsigned using virtual void volatile wchar_t while xor xor_eq"""
_MACROS = "near far interface small linux unix errno assert major minor stdin stdout stderr signals slots emit foreach"
"""Those in lower case that headers of some system or library define."""
_GENERATED = "std mtl_edge kit main Answers Row Model Batch Spec answers for_each f"
"""The generated code's own."""

_TAKEN = frozenset(f"{_KEYWORDS} {_MACROS} {_GENERATED}".split())
_PLAIN = re.compile(rb"[ !#-.0->@-\[\]-~]")
"""No quote, no backslash; no question mark and no slash, which begin trigraphs and comments."""


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
    octets = (bytes([byte]) for byte in text.encode("utf-8", "surrogatepass"))
    return '"' + "".join(octet.decode() if _PLAIN.match(octet) else f"\\{octet[0]:03o}" for octet in octets) + '"'
