r"""The `q` language, as far as its pieces: atoms, parentheses, minus signs and operators.

An atom is what stands between blanks and parentheses. Quotes and backslashes take the meaning
from characters, anywhere in an atom: `detail:"a b"*` is one, and its `*` is a wildcard. Inside
quotes, a backslash escapes a quote or a backslash; outside, anything but a letter or a digit,
before which it stands for itself, as in `CORP\alice`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from auditlogservice.errors import Flaw, InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterator

_LITERAL = "\0"  # in a mask: the character here has no meaning but itself
_MARKS: dict[str, Literal["(", ")", "-"]] = {"(": "(", ")": ")", "-": "-"}
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:", re.ASCII)


def refuse(at: int, why: str) -> InvalidInput:
    """Return the error about what stands at this index of the text."""
    return InvalidInput([Flaw("q", f"column {at + 1}: {why}")])


@dataclass(frozen=True, slots=True)
class Atom:
    """Characters; `mask` has those that may mean something, at the same indices."""

    text: str
    mask: str
    places: tuple[int, ...]  # where each character stands in the whole text, and where all end

    def cut(self, start: int, end: int | None = None) -> Atom:
        end = len(self.text) if end is None else end
        return Atom(self.text[start:end], self.mask[start:end], self.places[start : end + 1])

    def colon(self) -> int:
        """Return where the name of a field ends; -1 if this atom has none."""
        if self.mask[:1] in {"<", ">", "~"} or _MOMENT.match(self.mask):
            return -1
        return self.mask.find(":")

    def has_wildcards(self) -> bool:
        return "*" in self.mask or "?" in self.mask

    def is_plain(self, at: int) -> bool:
        """Whether there are neither quotes nor escapes in what was written from `at` on."""
        return self.places[-1] - at == len(self.text)

    def pattern(self) -> str:
        """Return the text as a pattern, its wildcards being those that were not escaped."""
        return "".join(
            f"\\{character}" if character in "*?\\" and meaning == _LITERAL else character
            for character, meaning in zip(self.text, self.mask, strict=True)
        )


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of the text. `glued` says that no blank stands before it."""

    kind: Literal["atom", "(", ")", "-", "AND", "OR", "NOT", "end"]
    at: int
    glued: bool
    atom: Atom

    def __str__(self) -> str:
        return "the end" if self.kind == "end" else f"`{self.kind}`"


def tokens_of(text: str) -> list[Token]:
    """Return the pieces of the text, and one more that is its end."""
    return list(_tokens_of(text))


def _tokens_of(text: str) -> Iterator[Token]:
    at, glued, opened = 0, False, False
    while at < len(text):
        character = text[at]
        if character.isspace():
            at, glued, opened = at + 1, False, False
        elif character in "()" or (character == "-" and (opened or not glued)):
            yield Token(_MARKS[character], at, glued, Atom("", "", (at,)))
            at, glued, opened = at + 1, True, character != ")"
        else:
            atom = _read_atom(text, at)
            yield Token(_kind(atom), at, glued, atom)
            at, glued, opened = atom.places[-1], True, False
    yield Token("end", len(text), glued=False, atom=Atom("", "", (at,)))


def _kind(atom: Atom) -> Literal["atom", "AND", "OR", "NOT"]:
    match atom.mask:
        case "AND" | "OR" | "NOT" as operator:
            return operator
        case _:
            return "atom"


def _read_atom(text: str, at: int) -> Atom:
    characters, mask, places = [], [], []
    quote: int | None = None  # where the quotes begin that are open
    while at < len(text):
        character = text[at]
        if character == '"':
            quote, at = (at if quote is None else None), at + 1
            continue
        if quote is None and (character.isspace() or character in "()"):
            break
        places.append(at)
        escaped = character == "\\" and _is_escape(text, at, quoted=quote is not None)
        at += escaped
        characters.append(text[at])
        mask.append(_LITERAL if escaped or quote is not None or text[at] == "\\" else text[at])
        at += 1
    if quote is not None:
        raise refuse(quote, 'expected another `"`: the quotes that begin here are not closed')
    return Atom("".join(characters), "".join(mask), (*places, at))


def _is_escape(text: str, at: int, *, quoted: bool) -> bool:
    """Whether the backslash that stands here is there for the next character only."""
    following = text[at + 1 : at + 2]
    if quoted:
        return following in {'"', "\\"}
    if not following:
        raise refuse(at, "expected a character after the backslash; a doubled one is one of text")
    return not (following.isalnum() or following == "_")
