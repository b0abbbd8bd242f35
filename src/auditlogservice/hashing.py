"""SHA-256 of what is recorded, in a way that suits a service of several threads.

`hashlib` lets go of the interpreter's lock for 2,048 bytes and more, which pays for large files.
For an event it takes longer to get the lock back than to hash: see `runtime/entropy.py`.
"""

from __future__ import annotations

from hashlib import sha256

_HELD = 2_047  # bytes that are hashed with the lock
_LONG = 64 * 1024  # bytes from which on others may run meanwhile


def sha256_of(data: bytes) -> bytes:
    """Return the SHA-256 digest of some bytes: 32 bytes (FIPS 180-4)."""
    if len(data) <= _HELD or len(data) >= _LONG:
        return sha256(data).digest()
    whole, view = sha256(), memoryview(data)
    for at in range(0, len(data), _HELD):
        whole.update(view[at : at + _HELD])
    return whole.digest()
