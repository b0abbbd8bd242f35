"""What a store gives back that was never put in: told as its damage, whatever breaks on it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from auditlogservice.errors import InputRefused, ProofInvalid, StoreBroken

if TYPE_CHECKING:
    from collections.abc import Iterator

# What rot makes of a value is anybody's guess: text that is no UTF-8, a moment beyond all dates,
# a list where an object was, an index that ends too soon.
DAMAGE = (
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    AttributeError,
    AssertionError,
    StopIteration,
)


@contextmanager
def reading_back() -> Iterator[None]:
    """Raise StoreBroken if what is read here is not as this program writes it."""
    try:
        yield
    except (*DAMAGE, InputRefused, ProofInvalid) as error:
        raise StoreBroken from error
