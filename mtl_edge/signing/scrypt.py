"""From a password to a key stream, by scrypt with its cost stated as libsodium states it."""

import hashlib
import struct
from dataclasses import dataclass

from mtl_edge.errors import SignatureError

_R = 8
_MOST_MEMORY = (1 << 31) - 1
"""Bytes that Python's scrypt can be allowed."""


@dataclass(frozen=True)
class Limits:
    """What it may cost: operations, and bytes of memory."""

    operations: int
    memory: int

    @property
    def encoded(self) -> bytes:
        """As they stand in a file."""
        return struct.pack("<QQ", self.operations, self.memory)

    @classmethod
    def decoded(cls, data: bytes) -> "Limits":
        """From how they stand in a file."""
        return cls(*struct.unpack("<QQ", data))

    @property
    def parameters(self) -> tuple[int, int]:
        """N and p of scrypt, as libsodium chooses them; r is always 8."""
        operations = max(self.operations, 32_768)
        if operations < self.memory // 32:
            return _power_above(operations // (4 * _R) // 2), 1
        n = _power_above(self.memory // (128 * _R) // 2)
        return n, max(min(operations // 4 // n, 0x3FFF_FFFF) // _R, 1)


DEFAULT_LIMITS = Limits(operations=1 << 23, memory=1 << 28)
"""256 MiB and about a second."""


def derive(password: str, salt: bytes, limits: Limits, size: int) -> bytes:
    """The key stream of a password.

    Raises:
        SignatureError: the limits ask for more memory than 2 GiB.
    """
    n, p = limits.parameters
    memory = 128 * _R * (n + p + 2)
    if memory > _MOST_MEMORY or p > 1 << 10:
        raise SignatureError("the key's password must cost at most 2 GiB of memory to check, found more")
    return hashlib.scrypt(password.encode(), salt=salt, n=n, r=_R, p=p, maxmem=memory, dklen=size)


def _power_above(value: int) -> int:
    """The least power of two, from 2 on, that is larger."""
    return 1 << max(value.bit_length(), 1)
