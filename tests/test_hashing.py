"""A digest is SHA-256, however it is made."""

from __future__ import annotations

from hashlib import sha256

import pytest

from auditlogservice.hashing import sha256_of


@pytest.mark.parametrize("size", [0, 1, 2_047, 2_048, 4_094, 4_095, 65_535, 65_536, 100_000])
def test_a_digest_is_sha_256_of_any_number_of_bytes(size: int) -> None:
    data = bytes(number % 251 for number in range(size))
    assert sha256_of(data) == sha256(data).digest()
