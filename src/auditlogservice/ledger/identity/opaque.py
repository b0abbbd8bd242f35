"""Secrets that mean nothing by themselves, as text: API tokens and the secrets of clients.

`als_` and `alsc_` say what the text is, so that a scanner finds it in source code and a person
knows what leaked. Behind that are letters and digits alone, so that one click selects the whole;
the last six are a checksum (CRC-32, as those of GitHub's tokens), by which a typo and a made-up
text are refused without asking the store.

The secret is 256 random bits: a plain SHA-256 of the text can be kept in its place, since nothing
that long is found by trying.
"""

from __future__ import annotations

import hashlib
import hmac
import zlib
from functools import cache

API_TOKEN = "als_"  # noqa: S105 - how such a text begins
CLIENT_SECRET = "alsc_"  # noqa: S105 - the same
SECRET_BYTES = 32

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_CHECKSUM = 6  # digits that four bytes take


def spell(prefix: str, *parts: bytes) -> str:
    """Return the text of these parts, each at its full width, with a checksum behind them."""
    text = prefix + "".join(_to_digits(part) for part in parts)
    return text + _checksum(text)


def read(prefix: str, text: str, *sizes: int) -> tuple[bytes, ...] | None:
    """Return the parts of these sizes; None if the text was not spelled of any."""
    widths = [width(size) for size in sizes]
    if not text.startswith(prefix) or len(text) != len(prefix) + sum(widths) + _CHECKSUM:
        return None
    if not hmac.compare_digest(_checksum(text[:-_CHECKSUM]).encode(), text[-_CHECKSUM:].encode()):
        return None
    parts, place = [], len(prefix)
    for size, digits in zip(sizes, widths, strict=True):
        part = _from_digits(text[place : place + digits], size)
        if part is None:
            return None
        parts.append(part)
        place += digits
    return tuple(parts)


def digest(text: str) -> str:
    """Return what is kept of a secret: its SHA-256, in hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()


def is_of(text: str, kept: str) -> bool:
    """Whether the digest is that of the text, in a time that tells nothing of either."""
    return hmac.compare_digest(digest(text), kept)


@cache
def width(size: int) -> int:
    """Return how many digits so many bytes take."""
    digits, most = 1, len(_DIGITS)
    while most < 256**size:
        digits, most = digits + 1, most * len(_DIGITS)
    return digits


def _checksum(text: str) -> str:
    return _to_digits(zlib.crc32(text.encode()).to_bytes(4))


def _to_digits(part: bytes) -> str:
    number, digits = int.from_bytes(part), ""
    for _ in range(width(len(part))):
        number, digit = divmod(number, len(_DIGITS))
        digits = _DIGITS[digit] + digits
    return digits


def _from_digits(digits: str, size: int) -> bytes | None:
    number = 0
    for digit in digits:
        place = _DIGITS.find(digit)
        if place < 0:
            return None
        number = number * len(_DIGITS) + place
    return number.to_bytes(size) if number < 256**size else None
