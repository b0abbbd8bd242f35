"""The places of a block as bits: what is put in comes out."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from auditlogservice.store.mongodb.places import _BLOCK, _bits, _places


@given(block=st.integers(0, 100), offsets=st.lists(st.integers(0, _BLOCK - 1), max_size=20))
def test_the_bits_of_a_block_say_which_places_are_there(block: int, offsets: list[int]) -> None:
    first = block * _BLOCK
    found = [first + offset for offset in offsets]
    bits = _bits(found, first)
    assert list(_places(bits, first)) == sorted(set(found))
    assert bits.bit_count() == len(set(found))
