"""The `q` language read: words and phrases, conditions on fields, OR, NOT and parentheses.

    alternatives = sequence {"OR" sequence}
    sequence     = one {["AND"] one}
    one          = ("-" | "NOT") one | "(" [alternatives] ")" | term
    term         = words | field ":" value | field ":" "(" [alternatives] ")"
    value        = ["<" | "<=" | ">" | ">=" | "~" | "~="] text | low ".." high

Parentheses after a field hold values for it; if there is a field in them, or nothing, they say
what one object there has to be. What an atom is says `lexing`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from auditlogservice.filters import EVERYTHING, Element, Exists, Is, Not, all_of, any_of
from auditlogservice.language.conditions import (
    MAX_NESTING,
    TIMES,
    at_moment,
    check_field,
    condition,
    like,
    nesting_of,
    phrase,
)
from auditlogservice.language.lexing import refuse, tokens_of

if TYPE_CHECKING:
    from datetime import datetime

    from auditlogservice.filters import Filter
    from auditlogservice.language.lexing import Atom, Token

MAX_TEXT = 8_192  # characters

# A filter may need more parentheses than it has levels: `-a:1..2` is printed `-(a:>=1 a:<=2)`.
_MAX_DEPTH = 2 * MAX_NESTING

_ALIASES = {"created": "timestamp"}
_OPERATOR = re.compile(r">=|>|<=|<|~=|~")
_NAMES = {">=": "gte", ">": "gt", "<=": "lte", "<": "lt", "~": "contains", "~=": "like"}
_RANGE = re.compile(r"(?<![/\\.])\.\.(?![/\\.])")  # beside a slash, dots are a part of a path
_INSIDE_WORDS = re.compile(r"\*(?=.)|\?(?=\w)", re.DOTALL)  # wildcards where none can stand


def parse_text(text: str, *, now: datetime) -> Filter:
    """Return the filter that `text` is; without anything in it, it is every record.

    Raises InvalidInput that says at which column something else was expected, and what.
    """
    if len(text) > MAX_TEXT:
        raise refuse(MAX_TEXT, f"expected the end: a question may have {MAX_TEXT:,} characters")
    where = _Parser(tokens_of(text), now).whole()
    if nesting_of(where) > MAX_NESTING:
        raise refuse(0, f"expected conditions that are nested {MAX_NESTING} deep at most")
    return where


@dataclass(frozen=True, slots=True)
class _Scope:
    """Where a term stands: at the top, in an object (`inside`), or among values of a field."""

    inside: bool = False
    path: str | None = None

    @property
    def has_times(self) -> bool:
        return self.path in TIMES and not self.inside


class _Parser:
    def __init__(self, tokens: list[Token], now: datetime) -> None:
        self._tokens = tokens
        self._place = 0
        self._depth = 0
        self._now = now

    @property
    def _next(self) -> Token:
        return self._tokens[self._place]

    def _take(self) -> Token:
        token = self._next
        self._place += 1
        return token

    def whole(self) -> Filter:
        where = EVERYTHING if self._next.kind == "end" else self._alternatives(_Scope())
        if self._next.kind != "end":
            raise refuse(self._next.at, f"expected the end, not {self._next}")
        return where

    # ---- what joins terms --------------------------------------------------------------

    def _alternatives(self, scope: _Scope) -> Filter:
        parts = [self._sequence(scope)]
        while self._next.kind == "OR":
            self._take()
            parts.append(self._sequence(scope))
        return any_of(parts[0], *parts[1:])

    def _sequence(self, scope: _Scope) -> Filter:
        parts = [self._one(scope)]
        while self._next.kind not in {"OR", ")", "end"}:
            if self._next.kind == "AND":
                self._take()
            elif self._next.glued:
                why = "expected a blank; text that has parentheses in it belongs in quotes"
                raise refuse(self._next.at, why)
            parts.append(self._one(scope))
        return all_of(*parts)

    def _one(self, scope: _Scope) -> Filter:
        token = self._take()
        match token.kind:
            case "atom":
                return self._term(token, scope)
            case "(":
                return self._group(token, scope)
            case "NOT":
                return self._negated(token, scope)
            case "-" if self._next.glued:
                return self._negated(token, scope)
            case "-":
                raise refuse(token.at + 1, "expected a term right after `-`")
            case _:
                raise refuse(token.at, f"expected a word or a condition, not {token}")

    def _negated(self, token: Token, scope: _Scope) -> Filter:
        self._go_deeper(token)
        part = self._one(scope)
        self._depth -= 1
        return Not(part)

    def _group(self, opening: Token, scope: _Scope) -> Filter:
        """What stands between parentheses, the first having been taken."""
        self._go_deeper(opening)
        where = EVERYTHING if self._next.kind == ")" else self._alternatives(scope)
        closing = self._take()
        if closing.kind != ")":
            why = f"expected `)` for the `(` in column {opening.at + 1}, not {closing}"
            raise refuse(closing.at, why)
        self._depth -= 1
        return where

    def _go_deeper(self, token: Token) -> None:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise refuse(token.at, f"expected less nesting: {MAX_NESTING} deep at most")

    # ---- terms -------------------------------------------------------------------------

    def _term(self, token: Token, scope: _Scope) -> Filter:
        atom = token.atom
        if scope.path is not None:
            return self._value(atom, token.at, scope.path, scope)
        colon = atom.colon()
        if colon < 0:
            return _words(token)
        path = self._path(token, colon, scope)
        at = atom.places[colon] + 1
        if at < atom.places[-1]:
            return self._value(atom.cut(colon + 1), at, path, _Scope(scope.inside, path))
        if self._next.kind == "(" and self._next.glued:
            return self._field_group(path, scope)
        raise refuse(at, f"expected a value after `{atom.text}`")

    def _path(self, token: Token, colon: int, scope: _Scope) -> str:
        name = token.atom.cut(0, colon)
        if token.at == token.atom.places[colon]:
            raise refuse(token.at, "expected the name of a field before `:`")
        if name.has_wildcards():
            raise refuse(token.at, f"expected one field: `{name.text}` cannot be a pattern")
        if scope.inside:
            return name.text
        path = _ALIASES.get(name.text, name.text)
        try:
            check_field(path)
        except ValueError as error:
            why = f"expected a field before `:`, and `{path}` is {error}; or quotes around a text"
            raise refuse(token.at, why) from None
        return path

    def _field_group(self, path: str, scope: _Scope) -> Filter:
        about_element = self._is_about_element()
        opening = self._take()
        if about_element:
            return Element(path, self._group(opening, _Scope(inside=True)))
        return self._group(opening, _Scope(scope.inside, path))

    def _is_about_element(self) -> bool:
        """Whether there is a field between the parentheses that begin here, or an empty pair."""
        depth = 0
        for place in range(self._place, len(self._tokens)):
            token = self._tokens[place]
            depth += (token.kind == "(") - (token.kind == ")")
            if token.atom.colon() >= 0 or self._is_empty_pair(place):
                return True
            if depth == 0:
                break
        return False

    def _is_empty_pair(self, place: int) -> bool:
        return [token.kind for token in self._tokens[place : place + 2]] == ["(", ")"]

    # ---- values ------------------------------------------------------------------------

    def _value(self, atom: Atom, at: int, path: str, scope: _Scope) -> Filter:
        try:
            return self._read_value(atom, at, path, scope)
        except ValueError as error:
            raise refuse(at, str(error)) from None

    def _read_value(self, atom: Atom, at: int, path: str, scope: _Scope) -> Filter:
        operator = _OPERATOR.match(atom.mask)
        if operator:
            return self._operated(operator[0], atom, path, scope)
        if atom.mask == "*":
            return Exists(path)
        if ends := _ends_of_range(atom):
            return self._range(ends, path, scope)
        if atom.has_wildcards():
            return like(path, atom.pattern())
        if scope.has_times and atom.is_plain(at):
            return at_moment(path, atom.text, now=self._now)
        return Is(path, atom.text)

    def _operated(self, operator: str, atom: Atom, path: str, scope: _Scope) -> Filter:
        after = atom.places[len(operator) - 1] + 1
        if after == atom.places[-1]:
            raise refuse(after, f"expected a value after `{operator}`")
        rest = atom.cut(len(operator))
        value = rest.pattern() if operator == "~=" else rest.text
        return condition(path, _NAMES[operator], [value], now=self._now, inside=scope.inside)

    def _range(self, ends: tuple[Atom, Atom], path: str, scope: _Scope) -> Filter:
        return all_of(*(
            condition(path, operator, [end.text], now=self._now, inside=scope.inside)
            for operator, end in zip(("gte", "lte"), ends, strict=True)
            if end.mask != "*"
        ))  # fmt: skip


def _ends_of_range(atom: Atom) -> tuple[Atom, Atom] | None:
    """The two ends of `a..b`, `a..*` or `*..b`; None if the atom is nothing of the kind."""
    for dots in _RANGE.finditer(atom.text):
        if atom.mask[dots.start() : dots.end()] != "..":
            continue
        ends = atom.cut(0, dots.start()), atom.cut(dots.end())
        opened = [end for end in ends if end.mask == "*"]
        if all(end.text and (end.mask == "*" or not end.has_wildcards()) for end in ends):
            return ends if len(opened) < len(ends) else None
        return None
    return None


def _words(token: Token) -> Filter:
    atom = token.atom
    if atom.mask == "*":
        return EVERYTHING
    misplaced = _INSIDE_WORDS.search(atom.mask)
    if misplaced:
        why = (
            f"expected `{misplaced[0]}` at the end of words only; `field:value` takes it anywhere"
        )
        raise refuse(atom.places[misplaced.start()], why)
    try:
        # An escaped asterisk is no wildcard, and no part of a word either.
        return phrase(atom.text if atom.mask.endswith("*") else atom.text.rstrip("*"))
    except ValueError as error:
        raise refuse(token.at, f"expected a word, and {error}") from None
