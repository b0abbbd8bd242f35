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
    """A kind of secret. Where none of `hints` stands in an event, `pattern` need not be tried."""

    kind: str
    hints: tuple[bytes, ...]
    pattern: re.Pattern[str]
    is_one: Callable[[str], bool] = lambda _: True


def _is_card(text: str) -> bool:
    """Whether the digits are a card number: ISO/IEC 7812, with Luhn's check digit."""
    digits = [int(sign) for sign in text if sign.isdigit()]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[-2::-2]]
    return len(set(digits)) > 1 and (sum(digits[::-2]) + sum(doubled)) % 10 == 0


_SHAPES = (
    _Shape(
        "aws-access-key",
        (b"AKIA", b"ASIA"),
        re.compile(r"(?<![A-Za-z0-9])A[KS]IA[A-Z2-7]{16}(?![A-Za-z0-9])"),
    ),
    _Shape("bearer-token", (b"earer ", b"EARER "), re.compile(r"(?i)\bbearer [\w.~+/=-]{20}")),
    _Shape("basic-credentials", (b"asic ",), re.compile(r"(?i)\bbasic [A-Za-z0-9+/]{12,}={0,2}")),
    _Shape("jwt", (b"eyJ",), re.compile(r"(?<![\w-])eyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{8}")),
    _Shape("private-key", (b"PRIVATE KEY",), re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----")),
    _Shape(
        "github-token",
        (b"ghp_", b"gho_", b"ghu_", b"ghs_", b"ghr_", b"github_pat_"),
        re.compile(r"\b(gh[pousr]_[A-Za-z0-9]{36}|github_pat_\w{40})"),
    ),
    _Shape("slack-token", (b"xox",), re.compile(r"\bxox[abeoprs]-[A-Za-z0-9-]{10}")),
    _Shape("google-api-key", (b"AIza",), re.compile(r"\bAIza[\w-]{35}")),
    _Shape("stripe-key", (b"k_live_",), re.compile(r"\b[rs]k_live_[A-Za-z0-9]{16}")),
    _Shape("auditlog-token", (b"als_",), re.compile(r"\bals_[A-Za-z0-9]{40}")),
    _Shape("password-in-url", (b"://",), re.compile(r"://[^\s/:@]*:[^\s/@]+@")),
    _Shape(
        "card-number",
        (),
        # A digit first, and only then what may not stand before it: so `re` leaps from one such
        # digit to the next, and is through a text four times as fast.
        re.compile(r"[2-6](?<!\d\d)(?<!\d[.-]\d)(?:[ -]?\d){12,18}(?![.-]?\d)"),
        _is_card,
    ),
)
_CARD = _SHAPES[-1]
_HINTS = tuple((hint, shape) for shape in _SHAPES for hint in shape.hints)
# With all digits alike and what may stand between them gone, a long number is easily seen.
_LIKE_A_CARD = b"0" * 13
_DIGITS = bytes.maketrans(b"123456789", b"0" * 9)
_ESCAPED = re.compile(r"\\[nrtbf]|\\u00[01].")  # control characters, as canonical JSON has them


def flags(told: dict[str, Json], body: bytes) -> list[Json]:
    """Return the kind and the pointer of what looks like a secret; at most MAX_FLAGS.

    `body` is the event's canonical spelling, in which a glance tells of most events that there is
    nothing.
    """
    suspects = [shape for hint, shape in _HINTS if hint in body]
    if _LIKE_A_CARD in body.translate(_DIGITS, b" -"):
        suspects.append(_CARD)
    if not suspects:
        return []
    text = _ESCAPED.sub(" ", body.decode())
    suspects = [shape for shape in dict.fromkeys(suspects) if shape.pattern.search(text)]
    return list(islice(_found(told, suspects), MAX_FLAGS)) if suspects else []


def _found(told: dict[str, Json], suspects: list[_Shape]) -> Iterator[Json]:
    for place, text in _texts(told, ()):
        for shape in suspects:
            if any(shape.is_one(match[0]) for match in shape.pattern.finditer(text)):
                yield {"kind": shape.kind, "pointer": pointer_to(*place)}


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
