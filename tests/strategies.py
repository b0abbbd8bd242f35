"""Events, drafts and questions as they may come: made up by hypothesis, or built by hand."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from hypothesis import strategies as st

from auditlogservice.entries import SALT_BYTES
from auditlogservice.events import (
    Draft,
    EventId,
    Record,
    derive_event_id,
    read_event,
    tombstone_id,
)
from auditlogservice.filters import (
    AllOf,
    Compare,
    Contains,
    Element,
    Exists,
    Filter,
    Is,
    Like,
    Not,
    Words,
    all_of,
    any_of,
    spell,
    words_of,
)
from auditlogservice.governance import SERVICE_USER, TOMBSTONE_TYPE
from auditlogservice.terms import terms_of
from auditlogservice.times import format_utc
from naive import leaves, objects

if TYPE_CHECKING:
    from collections.abc import Sequence

    from auditlogservice.canonical import Json
    from auditlogservice.events import Sequence as EventSequence
    from auditlogservice.filters import Operator

NOON = datetime(2026, 1, 31, 12, 0, 0, 1, tzinfo=UTC)

# ---- by hand --------------------------------------------------------------------


def told(name: str = "User Logged In", **more: Any) -> dict[str, Json]:
    """What a source tells, with nothing in it that a test does not ask for."""
    return {"name": name, "event_type": "auth.login", "detail": "", **more}


def draft(
    what: dict[str, Json] | None = None,
    *,
    tenant: str = "acme",
    user: str = "alice",
    key: str | None = None,
    at: datetime = NOON,
) -> Draft:
    """A draft as the recorder makes it: its id random, or the one that its key means."""
    event = read_event(told() if what is None else what, now=NOON)
    return Draft(
        id=_new_id() if key is None else derive_event_id(tenant=tenant, user_id=user, key=key),
        tenant=tenant,
        user_id=user,
        keyed=key is not None,
        received_at=at,
        fingerprint=event.fingerprint,
        body=event.body,
        terms=terms_of({**event.told, "user_id": user}),
        salt=secrets.token_bytes(SALT_BYTES),
    )


def tombstone(event_id: EventId, *, tenant: str = "acme", at: datetime = NOON) -> Draft:
    """The draft of the record that says that this one was erased."""
    what = told("Event erased", event_type=TOMBSTONE_TYPE, event_data={"_id": event_id})
    made = draft(what, tenant=tenant, user=SERVICE_USER, at=at)
    return replace(made, id=tombstone_id(tenant, event_id), keyed=True)


def _new_id() -> EventId:
    return EventId(secrets.token_hex(12))


# ---- what sources tell ------------------------------------------------------------

_AWKWARD_TEXTS = (
    "", "a", "A", "İ", "ß", "\x00", "$set", "a.b", "a@b", "*", "=", "ab=c", "😀", "\uffff", "null",
    "true", "1", "1.0", "1e0", "-0", "42", "x" * 65, "x" * 64 + "y", "'; DROP TABLE events; --",
)  # fmt: skip
_AWKWARD_KEYS = (
    "a", "b", "a.b", "$where", "@", "k\x00", "😀", "name", "x" * 97, "=", "é", "__proto__",
)  # fmt: skip
_AWKWARD_NUMBERS = (
    0, 1, -1, 42, 2**53, 2**53 + 1, 2**63 - 1, -(2**63), 0.0, -0.0, 0.1, 1.0, 1.5, 1e21, 5e-324,
    1.7976931348623157e308,
)  # fmt: skip

_characters = st.characters(exclude_categories=["Cs"])
texts = st.sampled_from(_AWKWARD_TEXTS) | st.text(_characters, max_size=8)
keys = st.sampled_from(_AWKWARD_KEYS) | st.text(_characters, max_size=4)
numbers = (
    st.sampled_from(_AWKWARD_NUMBERS)
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
)
scalars: st.SearchStrategy[Json] = st.none() | st.booleans() | numbers | texts
values: st.SearchStrategy[Json] = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=6,
)

# Few keys, some of which differ by their case only or look like steps of a path: so that several
# ways lead to one place.
tangled_keys = st.sampled_from(
    ["a", "A", "b", "a.a", "a.b", "", ".", "a.", "name", "timestamp", "actor", "actor.id", "id"]
)
tangled: st.SearchStrategy[dict[str, Json]] = st.dictionaries(
    tangled_keys,
    st.recursive(
        scalars,
        lambda inner: (
            st.lists(inner, max_size=4) | st.dictionaries(tangled_keys, inner, max_size=4)
        ),
        max_leaves=12,
    ),
    max_size=5,
)

_entities = st.fixed_dictionaries(
    {}, optional={"id": texts, "type": texts, "name": texts, "role": values}
)
told_events: st.SearchStrategy[dict[str, Json]] = st.fixed_dictionaries(
    {
        "name": texts.filter(bool),
        "event_type": st.sampled_from(["auth.login", "auth.logout", "file.read"]),
        "detail": texts,
    },
    optional={
        "event_data": st.none() | st.dictionaries(keys, values, max_size=4),
        "occurred_at": st.sampled_from(["2026-01-31T12:00:00Z", "2026-01-31T13:00:00.5+01:00"]),
        "actor": _entities,
        "targets": st.lists(_entities, max_size=2),
        "outcome": st.sampled_from(["success", "failure", "unknown"]),
        "on_behalf_of": texts | _entities,
    },
)

# Arrivals as clocks show them: close together, equal, and now and then going back.
moments = st.integers(-3, 3).map(lambda step: NOON + timedelta(microseconds=step))


@st.composite
def drafts(draw: st.DrawFn, tenant: str = "acme") -> Draft:
    return draft(draw(told_events), tenant=tenant, at=draw(moments))


# ---- what is asked ------------------------------------------------------------------

OPERATORS: tuple[Operator, ...] = ("gt", "gte", "lt", "lte")
_PLACES = ("actor.id", "event_data", "event_data.a", "a", "", "timestamp", "sequence", "_id")
_MOMENTS = (
    "2026-01-31T12:00:00Z", "2026-01-31T12:00:00.000001Z", "2026-01-31T13:00:00.000001+01:00",
    "2026-01-31", "7d", "2026-02-30T00:00:00Z",
)  # fmt: skip


def _spellings(leaf: Json) -> st.SearchStrategy[str]:
    """Texts that are this leaf, or nearly."""
    match leaf:
        case str():
            return st.sampled_from([leaf, leaf.upper(), leaf.casefold(), leaf + " ", leaf[:-1]])
        case None | bool():
            return st.sampled_from(["null", "true", "false", str(leaf)])
        case _:
            return st.sampled_from([repr(leaf), f"{leaf}.0", f"{leaf:.17e}", f"{leaf:.1f}"])


@st.composite
def patterns(draw: st.DrawFn, text: str) -> str:
    """A pattern that `text` has, or nearly has: some of its characters became wildcards."""
    characters: list[str] = []
    for character in text[:40]:
        match draw(st.integers(0, 9)):
            case 0:
                characters.append("?")
            case 1:
                characters.append("*")
            case 2:
                characters.append(f"*\\{character}")
            case 3:
                characters.append(f"\\{character.swapcase()[:1]}")
            case _:
                characters.append(f"\\{character}" if character in "*?\\" else character)
    return draw(st.sampled_from(["", "*", "?"])) + "".join(characters) + draw(
        st.sampled_from(["", "*"] if len(text) <= len(characters) else ["*"])
    )  # fmt: skip


@st.composite
def phrases(draw: st.DrawFn, text: str) -> Words:
    """Words that stand in `text`, the last of them perhaps cut, or any words."""
    said = words_of(text) or words_of(draw(texts)) or ["word"]
    start = draw(st.integers(0, len(said) - 1))
    words = said[start : start + draw(st.integers(1, 3))]
    kept = draw(st.sampled_from([len(words[-1]), 1]))
    return Words((*words[:-1], words[-1][:kept]), draw(st.booleans()))


@st.composite
def conditions(draw: st.DrawFn, within: Sequence[dict[str, Json]]) -> Filter:
    """One condition about a value that one of these objects has, or nearly has."""
    known = [pair for fields in within for pair in leaves(fields)] or [("a", None)]
    # Most leaves are plain strings; half of the time, ask for one that can be spelled twice.
    spelled_twice = [pair for pair in known if not isinstance(pair[1], str)]
    path, leaf = draw(st.sampled_from(known) | st.sampled_from(spelled_twice or known))
    path = draw(st.sampled_from([path] * 8 + list(_PLACES)))
    text = draw(st.sampled_from([spell(leaf)] * 4 + list(_MOMENTS)) | _spellings(leaf) | texts)
    match draw(st.integers(0, 6)):
        case 0:
            return Like(path, draw(patterns(text)))
        case 1:
            start = draw(st.integers(0, len(text)))
            piece = text[start : start + draw(st.integers(0, 8))]
            return Contains(path, draw(st.sampled_from([piece, piece.swapcase()])))
        case 2:
            return Compare(path, draw(st.sampled_from(OPERATORS)), text)
        case 3:
            steps = path.split(".")
            return Exists(".".join(steps[: draw(st.integers(1, len(steps)))]))
        case 4:
            return draw(phrases(spell(leaf)))
        case _:
            return Is(path, text)


@st.composite
def filters_within(draw: st.DrawFn, within: Sequence[dict[str, Json]], depth: int = 3) -> Filter:
    """A tree that some of these objects may fit."""
    kind = draw(st.sampled_from(["one"] * 4 + ["all", "any", "not", "element"] * bool(depth)))
    match kind:
        case "all":
            parts = draw(st.lists(filters_within(within, depth - 1), max_size=3))
            return all_of(*parts)
        case "any":
            parts = draw(st.lists(filters_within(within, depth - 1), min_size=2, max_size=3))
            return any_of(parts[0], *parts[1:])
        case "not":
            return Not(draw(filters_within(within, depth - 1)))
        case "element":
            known = [pair for fields in within for pair in objects(fields)]
            if known:
                path, _ = draw(st.sampled_from(known))
                inside = [found for at, found in known if at == path]
                return Element(path, draw(filters_within(inside, depth - 1)))
    return draw(conditions(within))


def received() -> st.SearchStrategy[Filter]:
    """A bound on when a record came in, as most questions have one."""
    return st.builds(
        Compare, st.just("timestamp"), st.sampled_from(OPERATORS), moments.map(format_utc)
    )


@st.composite
def filters(draw: st.DrawFn, records: Sequence[Record]) -> Filter:
    """Ask a question that some of these records may answer."""
    bounds = draw(st.lists(received(), max_size=2))
    return all_of(*bounds, draw(filters_within([record.fields() for record in records])))


@dataclass(frozen=True)
class Question:
    """A filter, and how its answer is to be read: what a PageQuery has."""

    where: Filter
    order: Literal["oldest", "newest"]
    limit: int
    tenant: str = "acme"
    beyond: EventSequence | None = None


def questions(records: Sequence[Record], *, tenant: str = "acme") -> st.SearchStrategy[Question]:
    places: list[EventSequence | None] = [record.sequence for record in records]
    return st.builds(
        Question,
        where=filters(records) if records else st.just(AllOf()),
        order=st.sampled_from(("oldest", "newest")),
        limit=st.integers(1, 4),
        tenant=st.just(tenant),
        beyond=st.sampled_from([None, None, *places]),
    )
