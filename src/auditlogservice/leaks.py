"""What in an event looks like a secret: a password, key, token or card number told by mistake.

Nothing is changed for it: the record says which kind it seems to be, and where, so that a search
for `flagged.kind` finds what somebody should look at. Each kind is a shape that its issuer has
published; only texts are looked at, since numbers of the same length are mostly something else.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from auditlogservice.canonical import pointer_to

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from auditlogservice.canonical import Json

MAX_FLAGS = 20  # of one event


@dataclass(frozen=True, slots=True)
class _Shape:
    """A kind of secret. Where `glance` finds nothing in an event's bytes, there is none of it."""

    kind: str
    glance: re.Pattern[bytes]
    pattern: re.Pattern[str]
    is_one: Callable[[str], bool] = lambda _: True


def _is_card(text: str) -> bool:
    """Whether the digits are a card number: ISO/IEC 7812, with Luhn's check digit."""
    digits = [int(sign) for sign in text if sign.isdigit()]
    doubled = [_DOUBLED[digit] for digit in digits[-2::-2]]
    return len(set(digits)) > 1 and (sum(digits[::-2]) + sum(doubled)) % 10 == 0


_DOUBLED = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)  # the sum of the digits of twice the digit

# Each begins with the rarest sign of what it looks for: `re` leaps from one such sign to the next,
# which takes half the time of a search for a text of several. One for three kinds saves more.
_BY_UNDERSCORE = re.compile(rb"_(?:(?<=gh[pousr]_)|(?<=github_pat_)|(?<=k_live_)|(?<=als_))")

# A digit first, and only then what may not stand before it, for the same reason.
_CARD_NUMBER = r"[2-6](?<!\d\d)(?<!\d[.-]\d)(?:[ -]?\d){12,18}(?![.-]?\d)"

_SHAPES = (
    _Shape(
        "aws-access-key",
        re.compile(rb"I(?<=A[KS]I)A"),
        re.compile(r"(?<![A-Za-z0-9])A[KS]IA[A-Z2-7]{16}(?![A-Za-z0-9])"),
    ),
    _Shape(
        "bearer-token",
        re.compile(rb" (?<=earer |EARER )"),
        re.compile(r"(?i)\bbearer [\w.~+/=-]{20}"),
    ),
    _Shape(
        "basic-credentials",
        re.compile(rb"c(?<=asic) "),
        re.compile(r"(?i)\bbasic [A-Za-z0-9+/]{12,}={0,2}"),
    ),
    _Shape(
        "jwt",
        re.compile(rb"J(?<=eyJ)"),
        re.compile(r"(?<![\w-])eyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{8}"),
    ),
    _Shape(
        "private-key",
        re.compile(rb"V(?<=PRIV)ATE KEY"),
        re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----"),
    ),
    _Shape(
        "github-token",
        _BY_UNDERSCORE,
        re.compile(r"\b(gh[pousr]_[A-Za-z0-9]{36}|github_pat_\w{40})"),
    ),
    _Shape("slack-token", re.compile(rb"x(?=ox)"), re.compile(r"\bxox[abeoprs]-[A-Za-z0-9-]{10}")),
    _Shape("google-api-key", re.compile(rb"z(?<=AIz)a"), re.compile(r"\bAIza[\w-]{35}")),
    _Shape("stripe-key", _BY_UNDERSCORE, re.compile(r"\b[rs]k_live_[A-Za-z0-9]{16}")),
    _Shape("auditlog-token", _BY_UNDERSCORE, re.compile(r"\bals_[A-Za-z0-9]{40}")),
    _Shape(
        "password-in-url",
        re.compile(rb"/(?<=:/)/[^\s/:@]*:[^\s/@]+@"),
        re.compile(r"://[^\s/:@]*:[^\s/@]+@"),
    ),
    _Shape("card-number", re.compile(_CARD_NUMBER.encode()), re.compile(_CARD_NUMBER), _is_card),
)
_CARD = _SHAPES[-1]
_GLANCES = tuple(dict.fromkeys(shape.glance for shape in _SHAPES if shape is not _CARD))
# With a zero for each digit and for what may stand between two of them, it is quickly seen where a
# number is long enough.
_ZEROS = bytes.maketrans(b"123456789 -", b"0" * 11)
_LONG = b"0" * 13
_WHOLE = re.compile(_LONG + b"0*")  # `re` leaps to a text, not to so many of one sign
_BESIDE = 2  # signs before and behind a card number by which it may be none


def flags(told: dict[str, Json], body: bytes) -> list[Json]:
    """Return the kind and the pointer of what looks like a secret; at most MAX_FLAGS.

    `body` is the event's canonical spelling, in which a glance tells of most events that there is
    nothing.
    """
    seen = [glance for glance in _GLANCES if glance.search(body)]
    suspects = [shape for shape in _SHAPES if shape.glance in seen] if seen else []
    if _may_hold_a_card(body):
        suspects.append(_CARD)
    return list(islice(_found(told, suspects), MAX_FLAGS)) if suspects else []


def _may_hold_a_card(body: bytes) -> bool:
    spans = _long_numbers(body)
    if not spans:
        return False
    # An escape, as of U+0001, ends in what looks like digits before a number; and there are
    # digits beyond ASCII.
    if b"\\u00" in body or not body.isascii():
        return True
    # Only there, since to look for it everywhere takes 8 µs.
    return any(
        _is_card(match[0].decode())
        for start, end in spans
        for match in _CARD.glance.finditer(body[max(start - _BESIDE, 0) : end + _BESIDE])
    )


def _long_numbers(body: bytes) -> list[tuple[int, int]]:
    """Return from where to where there is nothing but what a card number may consist of."""
    marked = body.translate(_ZEROS)
    first = marked.find(_LONG)
    return [] if first < 0 else [match.span() for match in _WHOLE.finditer(marked, first)]


def _found(told: dict[str, Json], suspects: list[_Shape]) -> Iterator[Json]:
    for place, text in _texts(told, ()):
        for shape in suspects:
            if shape.pattern.search(text) and _has_one(shape, text):
                yield {"kind": shape.kind, "pointer": pointer_to(*place)}


def _has_one(shape: _Shape, text: str) -> bool:
    return any(shape.is_one(match[0]) for match in shape.pattern.finditer(text))


def _texts(
    value: Json, place: tuple[str | int, ...]
) -> Iterator[tuple[tuple[str | int, ...], str]]:
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from _texts(item, (*place, name))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _texts(item, (*place, number))
