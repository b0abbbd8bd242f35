"""The text of a secret says what it is, and a wrong one is told from it without asking anybody."""

from __future__ import annotations

import string
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditlogservice.ledger.identity.opaque import (
    API_TOKEN,
    CLIENT_SECRET,
    digest,
    is_of,
    read,
    spell,
    width,
)

TEXT = spell(API_TOKEN, b"\x01" * 25, b"\x02" * 32)


@given(st.binary(min_size=25, max_size=25), st.binary(min_size=32, max_size=32))
def test_what_was_spelled_is_read_again(name: bytes, secret: bytes) -> None:
    text = spell(API_TOKEN, name, secret)
    assert read(API_TOKEN, text, 25, 32) == (name, secret)
    assert len(text) == len(TEXT)  # nobody can tell small numbers from large ones
    assert set(text.removeprefix("als_")) <= set(string.ascii_letters + string.digits)


def test_the_checksum_is_a_crc_of_all_before_it_so_that_a_scanner_can_tell_it() -> None:
    digits = string.digits + string.ascii_uppercase + string.ascii_lowercase
    number = 0
    for digit in TEXT[-6:]:
        number = number * 62 + digits.index(digit)
    assert number == zlib.crc32(TEXT[:-6].encode())


@pytest.mark.parametrize("place", range(len(TEXT)))
def test_one_wrong_character_anywhere_is_found_without_the_store(place: int) -> None:
    wrong = TEXT[:place] + ("A" if TEXT[place] != "A" else "B") + TEXT[place + 1 :]
    assert read(API_TOKEN, wrong, 25, 32) is None


@pytest.mark.parametrize(
    "text",
    ["", "als_", TEXT[:-1], TEXT + "0", TEXT.lower(), " " + TEXT, TEXT.replace("als_", "alsc_")],
)
def test_what_is_cut_or_dressed_up_is_none(text: str) -> None:
    assert read(API_TOKEN, text, 25, 32) is None


def test_digits_beyond_what_the_bytes_can_say_are_none() -> None:
    """Else two texts would be one secret."""
    text = API_TOKEN + "z" * (width(25) + width(32))
    made = spell(text)  # with a right checksum
    assert read(API_TOKEN, made, 25, 32) is None


def test_a_secret_of_one_kind_is_none_of_the_other() -> None:
    secret = spell(CLIENT_SECRET, b"\x02" * 32)
    assert read(CLIENT_SECRET, secret, 32) == (b"\x02" * 32,)
    assert read(API_TOKEN, secret, 32) is None


def test_a_digest_is_that_of_one_text_alone() -> None:
    assert is_of(TEXT, digest(TEXT))
    assert not is_of(TEXT + "x", digest(TEXT))
    assert not is_of(TEXT, TEXT)
