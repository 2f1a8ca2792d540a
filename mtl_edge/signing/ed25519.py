"""The arithmetic of Ed25519, which is that of the package ``cryptography``."""

from mtl_edge.errors import needs_extra


def public_point(seed: bytes) -> bytes:
    """The public key of a secret one."""
    with needs_extra("sign"):
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()


def signature_of(message: bytes, seed: bytes) -> bytes:
    """64 bytes that only the holder of the secret key can make."""
    with needs_extra("sign"):
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    return Ed25519PrivateKey.from_private_bytes(seed).sign(message)


def is_valid(signature: bytes, message: bytes, point: bytes) -> bool:
    """Whether the holder of the key made this signature of this message."""
    with needs_extra("sign"):
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    try:
        Ed25519PublicKey.from_public_bytes(point).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True
