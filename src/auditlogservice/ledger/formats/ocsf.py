"""Open Cybersecurity Schema Framework: a JSON object on a line for each record.

The class is chosen by what the event is, see `class_of`; a class has further fields of its own.
What it has none for stands in `unmapped`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from auditlogservice import __version__
from auditlogservice.canonical import dump
from auditlogservice.ledger.formats.deeds import (
    Session,
    Verb,
    first_target,
    is_about_account,
    session_of,
    verb_of,
    words_of,
)
from auditlogservice.ledger.formats.mapping import (
    Fields,
    Row,
    Taken,
    address_of,
    at,
    constant,
    copied,
    happened_ms,
    nest,
    rest,
    taken_by,
    to_ms,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from auditlogservice.events import Record

VERSION = "1.6.0"

_OTHER = 99
_STATUSES = {"success": (1, "Success"), "failure": (2, "Failure"), "unknown": (0, "Unknown")}
_USER_TYPES = {"user": 1, "admin": 2, "system": 3}


@dataclass(frozen=True, slots=True)
class Class:
    """One class of OCSF: its numbers, which of its activities an event is, and its own rows."""

    uid: int
    name: str
    category: str
    activity: Callable[[Fields], tuple[int, str]]
    rows: tuple[Row, ...]
    when: str  # in words, for the docs

    @property
    def taken(self) -> Taken:
        """What the common rows and its own take of a record."""
        return taken_by((*COMMON, *self.rows))


# ---- fields of every class --------------------------------------------------------


def _status(place: int) -> Callable[[Fields], Any]:
    def read(fields: Fields) -> Any:
        told = fields.get("outcome")
        return None if told is None else _STATUSES[told][place]

    return read


COMMON = (
    Row("time", "`occurred_at`, else `timestamp`; in milliseconds", happened_ms),
    Row("message", "`detail`, or `name` if that is empty",
        lambda fields: fields["detail"] or fields["name"], ("detail",)),
    constant("severity_id", 1),
    constant("severity", "Informational"),
    Row("status_id", "`outcome`: 1 `success`, 2 `failure`, 0 `unknown`", _status(0), ("outcome",)),
    Row("status", "`outcome`: `Success`, `Failure`, `Unknown`", _status(1)),
    constant("metadata.version", VERSION),
    constant("metadata.product.name", "auditlogservice"),
    constant("metadata.product.vendor_name", "auditlogservice"),
    Row("metadata.product.version", "the version of the server", lambda _: __version__),
    copied("metadata.uid", "_id"),
    copied("metadata.sequence", "sequence"),
    copied("metadata.event_code", "event_type"),
    copied("metadata.log_provider", "source"),
    copied("metadata.correlation_uid", "context.trace_id"),
    copied("metadata.original_time", "occurred_at"),
    Row("metadata.logged_time", "`timestamp`, in milliseconds",
        lambda fields: to_ms(fields["timestamp"])),
)  # fmt: skip

# ---- fields of some ---------------------------------------------------------------


def _user_type(path: str) -> Callable[[Fields], int | None]:
    def read(fields: Fields) -> int | None:
        told = at(fields, path)
        return _USER_TYPES.get(told.lower(), _OTHER) if told else None

    return read


def _actor(user: str) -> tuple[Row, ...]:
    """The actor as a user, at this place of the class."""
    return (
        copied(f"{user}.uid", "actor.id"),
        copied(f"{user}.name", "actor.name"),
        copied(f"{user}.type", "actor.type"),
        Row(
            f"{user}.type_id",
            "`actor.type`: 1 `user`, 2 `admin`, 3 `system`, else 99",
            _user_type("actor.type"),
        ),
    )


def _target(key: str) -> Callable[[Fields], Any]:
    return lambda fields: first_target(fields).get(key)


def _resources(fields: Fields) -> list[Fields] | None:
    names = {"id": "uid", "name": "name", "type": "type"}
    found = [
        {ours: target[key] for key, ours in names.items() if target.get(key) is not None}
        for target in fields.get("targets") or ()
    ]
    return [resource for resource in found if resource] or None


_SOURCE = (
    Row("src_endpoint.ip", "`context.ip`, if it is an IP address", address_of, ("context.ip",)),
    Row("src_endpoint.name", "`context.ip`, if it is none; `Unknown`, if there is none",
        lambda fields: None if address_of(fields) else at(fields, "context.ip") or "Unknown"),
    copied("http_request.user_agent", "context.user_agent"),
    copied("http_request.uid", "context.request_id"),
)  # fmt: skip
_AUTHENTICATION = (
    *_actor("user"),
    Row(
        "service.name", "`source`, or `Unknown`", lambda fields: fields.get("source") or "Unknown"
    ),
    copied("session.uid", "context.session_id"),
    *_SOURCE,
)
_ACCOUNT = (
    Row("user.uid", "`id` of the first of `targets`", _target("id")),
    Row("user.name", "`name` of the first of `targets`", _target("name")),
    *_actor("actor.user"),
    copied("actor.session.uid", "context.session_id"),
    *_SOURCE,
)
_API = (
    *_actor("actor.user"),
    copied("actor.session.uid", "context.session_id"),
    copied("api.operation", "event_type"),
    Row("api.service.name", "`source`", lambda fields: fields.get("source") or None),
    Row("resources", "`id`, `name` and `type` of each of `targets`", _resources,
        ("targets.id", "targets.name", "targets.type")),
    *_SOURCE,
)  # fmt: skip

# ---- activities -------------------------------------------------------------------

_LOGONS: dict[Session | None, tuple[int, str]] = {
    "logon": (1, "Logon"), "logoff": (2, "Logoff"), None: (0, "Unknown"),
}  # fmt: skip
_CALLS: dict[Verb, tuple[int, str]] = {
    "create": (1, "Create"), "read": (2, "Read"), "update": (3, "Update"), "delete": (4, "Delete"),
}  # fmt: skip
_CHANGES: tuple[tuple[frozenset[str], tuple[int, str]], ...] = (
    (frozenset({"password", "reset"}), (4, "Password Reset")),
    (frozenset({"password"}), (3, "Password Change")),
    (frozenset({"mfa", "enable"}), (10, "MFA Factor Enable")),
    (frozenset({"mfa", "disable"}), (11, "MFA Factor Disable")),
    (frozenset({"attach"}), (7, "Attach Policy")),
    (frozenset({"detach"}), (8, "Detach Policy")),
    (frozenset({"enable"}), (2, "Enable")),
    (frozenset({"disable"}), (5, "Disable")),
    (frozenset({"lock"}), (9, "Lock")),
)


def _change(fields: Fields) -> tuple[int, str]:
    told = words_of(fields["event_type"])
    # disabled, locked
    words = {
        form for word in told for form in (word, word.removesuffix("d"), word.removesuffix("ed"))
    }
    for needed, activity in _CHANGES:
        if needed <= words:
            return activity
    match verb_of(fields):
        case "create":
            return 1, "Create"
        case "delete":
            return 6, "Delete"
        case _:
            return _other(fields)


def _call(fields: Fields) -> tuple[int, str]:
    return _CALLS.get(verb_of(fields)) or _other(fields)


def _other(fields: Fields) -> tuple[int, str]:
    """An activity that OCSF has no number for goes by the name that the source gives it."""
    return _OTHER, fields["event_type"]


# ---- classes ----------------------------------------------------------------------

AUTHENTICATION = Class(
    3002, "Authentication", "Identity & Access Management",
    lambda fields: _LOGONS[session_of(fields)], _AUTHENTICATION,
    "`event_type` says logon or logoff, and there is an actor",
)  # fmt: skip
ACCOUNT_CHANGE = Class(
    3001, "Account Change", "Identity & Access Management", _change, _ACCOUNT,
    "`event_type` says user, account or role and what changed; the first target is that user",
)  # fmt: skip
API_ACTIVITY = Class(
    6003, "API Activity", "Application Activity", _call, _API, "otherwise, if there is an actor",
)  # fmt: skip
BASE_EVENT = Class(0, "Base Event", "Uncategorized", _other, (), "otherwise")
CLASSES = (AUTHENTICATION, ACCOUNT_CHANGE, API_ACTIVITY, BASE_EVENT)
_TAKEN = {each.uid: each.taken for each in CLASSES}


def class_of(fields: Fields) -> Class:
    """Return the class whose required fields this event can fill: the first in `CLASSES`."""
    actor: Fields = fields.get("actor") or {}
    is_acted = bool(actor.get("id") or actor.get("name"))
    if is_acted and session_of(fields):
        return AUTHENTICATION
    if is_about_account(fields) and verb_of(fields) not in {"read", "other"}:
        return ACCOUNT_CHANGE
    return API_ACTIVITY if is_acted else BASE_EVENT


def line(record: Record) -> bytes:
    fields: Fields = record.fields()
    kind = class_of(fields)
    activity, name = kind.activity(fields)
    made = nest((*COMMON, *kind.rows), fields)
    made |= {
        "activity_id": activity,
        "activity_name": name,
        "category_uid": kind.uid // 1000,
        "category_name": kind.category,
        "class_uid": kind.uid,
        "class_name": kind.name,
        "type_uid": kind.uid * 100 + activity,
    }
    unmapped = rest(fields, _TAKEN[kind.uid])
    if unmapped:
        made["unmapped"] = unmapped
    return dump(made) + b"\n"
