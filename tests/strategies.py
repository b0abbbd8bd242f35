"""Events, drafts and questions as they may come: made up by hypothesis, or built by hand."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from auditlogservice.events import Draft, EventId, Record, derive_event_id, read_event
from auditlogservice.filters import Filter, Is, Received, leaves, terms_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from auditlogservice.canonical import Json

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
    )


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


def _spellings(leaf: Json) -> st.SearchStrategy[str]:
    """Texts that are this leaf, or nearly."""
    match leaf:
        case str():
            return st.sampled_from([leaf, leaf.upper(), leaf.lower(), leaf + " "])
        case None | bool():
            return st.sampled_from(["null", "true", "false", str(leaf)])
        case _:
            return st.sampled_from([repr(leaf), f"{leaf}.0", f"{leaf:.17e}", f"{leaf:.1f}"])


@st.composite
def fields(draw: st.DrawFn, records: Sequence[Record]) -> Is:
    """Ask for something that one of the records has, or nearly has, or for anything."""
    known = [pair for record in records for pair in leaves(record.fields())]
    # Most leaves are plain strings; half of the time, ask for one that can be spelled twice.
    spelled_twice = [pair for pair in known if not isinstance(pair[1], str)]
    path, leaf = draw(st.sampled_from(known) | st.sampled_from(spelled_twice or known))
    others = [other for there, other in known if there == path]
    more = draw(st.lists(st.sampled_from(others).flatmap(_spellings) | texts, max_size=2))
    path = draw(st.sampled_from([path] * 7 + ["actor.id", "event_data", "event_data.a"]))
    return Is(path, (draw(_spellings(leaf)), *more))


@st.composite
def filters(draw: st.DrawFn, records: Sequence[Record]) -> Filter:
    """Ask a question that some of these records may answer."""
    bounds = st.none() | moments
    return Filter(
        received=Received(since=draw(bounds), until=draw(bounds)),
        fields=tuple(draw(st.lists(fields(records), max_size=3))),
    )


@dataclass(frozen=True)
class Question:
    """A filter, and how its answer is to be read."""

    where: Filter
    order: str
    limit: int


def questions(records: Sequence[Record]) -> st.SearchStrategy[Question]:
    return st.builds(
        Question,
        where=filters(records),
        order=st.sampled_from(["oldest", "newest"]),
        limit=st.integers(1, 4),
    )
