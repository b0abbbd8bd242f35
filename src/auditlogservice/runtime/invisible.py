"""Characters that nobody sees, written out: for terminals, and for logs that end on one.

That is control characters (C0, C1, escape), bidirectional marks and all others without a look of
their own. A text with them could move a cursor, hide a word or show another order of words.
"""

from __future__ import annotations

import unicodedata

# Control, format (bidirectional and zero-width marks), surrogates, line and paragraph ends.
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def visible(text: str) -> str:
    r"""Return the text with everything invisible written out, as \x1b or \u202e."""
    if text.isprintable():
        return text
    return "".join(_escape(sign) if _is_invisible(sign) else sign for sign in text)


def visible_json(text: str) -> str:
    """Return JSON text with everything invisible as JSON escapes: the value stays the same."""
    if text.isprintable():
        return text
    return "".join(_json_escape(sign) if _is_invisible(sign) else sign for sign in text)


def _is_invisible(sign: str) -> bool:
    return unicodedata.category(sign) in _INVISIBLE


def _escape(sign: str) -> str:
    code = ord(sign)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"  # noqa: PLR2004 - Latin-1


def _json_escape(sign: str) -> str:
    units = sign.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))
