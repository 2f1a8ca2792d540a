"""Protobuf's wire format, field by field: nothing is copied, and nothing is believed that the bytes do not hold."""

from collections.abc import Iterator

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
_FIXED = {FIXED64: 8, FIXED32: 4}
_LONGEST_VARINT = 10


class WireError(ValueError):
    """Bytes that are no protobuf message, or not the one that was expected."""


def fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """The fields of a message in the order of the file: number, and a whole number or the bytes.

    Raises:
        WireError: the bytes are no message.
    """
    position, end = 0, len(message)
    while position < end:
        tag, position = _varint(message, position)
        number, kind = tag >> 3, tag & 7
        if not number:
            raise WireError("a field has the number 0")
        if kind == VARINT:
            value, position = _varint(message, position)
            yield number, value
            continue
        if kind == BYTES:
            length, position = _varint(message, position)
        elif kind in _FIXED:
            length = _FIXED[kind]
        else:
            raise WireError(f"a field has the wire type {kind}, which ONNX does not use")
        if length > end - position:
            raise WireError(f"a field of {length} bytes begins {end - position} bytes before its end: is it cut off?")
        yield number, message[position : position + length]
        position += length


def text(value: int | memoryview) -> str:
    """A field that must hold text.

    Raises:
        WireError: it holds a number, or bytes that are no UTF-8.
    """
    try:
        return str(content(value), "utf-8")
    except UnicodeDecodeError as error:
        raise WireError("a name is not UTF-8") from error


def content(value: int | memoryview) -> memoryview:
    """A field that must hold bytes or a message.

    Raises:
        WireError: it holds a number.
    """
    if isinstance(value, int):
        raise WireError("a number stands where a text or a message belongs")
    return value


def integer(value: int | memoryview) -> int:
    """A field that must hold one signed whole number.

    Raises:
        WireError: it holds bytes.
    """
    if not isinstance(value, int):
        raise WireError("bytes stand where a number belongs")
    return value - (1 << 64) if value >> 63 else value


def integers(value: int | memoryview) -> Iterator[int]:
    """A field that holds one of several signed whole numbers, or all of them packed."""
    if isinstance(value, int):
        yield integer(value)
        return
    position = 0
    while position < len(value):
        packed, position = _varint(value, position)
        yield integer(packed)


def pair(message: memoryview) -> tuple[str, str]:
    """A ``StringStringEntryProto``: key and value."""
    key, value = "", ""
    for number, part in fields(message):
        match number:
            case 1:
                key = text(part)
            case 2:
                value = text(part)
    return key, value


def encoded_pair(number: int, key: bytes, value: bytes) -> bytes:
    """A field of this number that holds a ``StringStringEntryProto``."""
    entry = b"".join(bytes([tag]) + _encoded(len(part)) + part for tag, part in ((0x0A, key), (0x12, value)))
    return _encoded(number << 3 | BYTES) + _encoded(len(entry)) + entry


def _encoded(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    """A whole number of 64 bits, and where it ends."""
    value = 0
    for index in range(_LONGEST_VARINT):
        if position + index >= len(message):
            raise WireError("a number is cut off")
        byte = message[position + index]
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, position + index + 1
    raise WireError("a number has more than 64 bits")
