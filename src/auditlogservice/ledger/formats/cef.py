"""ArcSight Common Event Format, version 0: a line for each record.

What has no key in the dictionary of CEF stands as JSON in an extension of our own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from auditlogservice import __version__
from auditlogservice.canonical import dump
from auditlogservice.ledger.formats.deeds import first_target
from auditlogservice.ledger.formats.mapping import (
    Fields,
    Row,
    address_of,
    at,
    constant,
    copied,
    host_of,
    rest,
    taken_by,
    to_ms,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from auditlogservice.events import Record

UNMAPPED = "auditlogserviceUnmapped"
SEVERITIES = {"success": "3", "failure": "6", "unknown": "3", None: "3"}


def _moment(target: str, path: str) -> Row:
    # A moment in milliseconds is less than what was told: nothing is taken.
    return Row(
        target,
        f"`{path}`, in milliseconds",
        lambda fields: (text := fields.get(path)) and to_ms(text),
    )


def _target(key: str) -> Callable[[Fields], Any]:
    return lambda fields: first_target(fields).get(key)


def _labelled(target: str, label: str, told: str, read: Callable[[Fields], Any], *takes: str
              ) -> tuple[Row, Row]:  # fmt: skip
    """A key without a meaning of its own, and the label that gives it one."""
    return (
        Row(target, told, read, takes),
        Row(f"{target}Label", f"always `{label}`", lambda fields: read(fields) and label),
    )


def _copied(target: str, label: str, path: str) -> tuple[Row, Row]:
    return _labelled(target, label, f"`{path}`", lambda fields: at(fields, path), path)


HEADER = (
    constant("Version", 0),
    constant("Device Vendor", "auditlogservice"),
    constant("Device Product", "auditlogservice"),
    Row("Device Version", "the version of the server", lambda _: __version__),
    copied("Device Event Class ID", "event_type"),
    copied("Name", "name"),
    Row(
        "Severity",
        "`outcome`: 6 for `failure`, otherwise 3",
        lambda fields: SEVERITIES[fields.get("outcome")],
    ),
)
EXTENSION = (
    _moment("rt", "timestamp"),
    _moment("start", "occurred_at"),
    copied("externalId", "_id"),
    copied("msg", "detail"),
    copied("outcome", "outcome"),
    copied("suid", "actor.id"),
    copied("suser", "actor.name"),
    Row("src", "`context.ip`, if it is an IPv4 address", lambda fields: address_of(fields, 4)),
    *_labelled(
        "c6a2", "Source IPv6 Address", "`context.ip`, if it is an IPv6 address",
        lambda fields: address_of(fields, 6),
    ),
    Row("shost", "`context.ip`, if it is neither", host_of, ("context.ip",)),
    copied("requestClientApplication", "context.user_agent"),
    copied("sourceServiceName", "source"),
    *_labelled(
        "cn1", "Sequence", "`sequence`", lambda fields: str(fields["sequence"]), "sequence"
    ),
    *_labelled("cs1", "TargetId", "`id` of the first of `targets`", _target("id")),
    *_labelled("cs2", "TargetType", "`type` of the first of `targets`", _target("type")),
    *_labelled("cs3", "TargetName", "`name` of the first of `targets`", _target("name")),
    *_copied("cs4", "ActorType", "actor.type"),
    *_copied("cs5", "RecordedBy", "user_id"),
    *_copied("cs6", "SessionId", "context.session_id"),
    *_copied("flexString1", "RequestId", "context.request_id"),
    *_copied("flexString2", "TraceId", "context.trace_id"),
)  # fmt: skip
_TAKEN = taken_by((*HEADER, *EXTENSION))

_IN_HEADER = str.maketrans({"\\": r"\\", "|": r"\|", "\n": " ", "\r": " "})
_IN_EXTENSION = str.maketrans({"\\": r"\\", "=": r"\=", "\n": r"\n", "\r": r"\r"})


def line(record: Record) -> bytes:
    fields: Fields = record.fields()
    header = "|".join(str(row.read(fields)).translate(_IN_HEADER) for row in HEADER)
    pairs = [(row.target, row.read(fields)) for row in EXTENSION]
    unmapped = rest(fields, _TAKEN)
    if unmapped:
        pairs.append((UNMAPPED, dump(unmapped).decode()))
    said = " ".join(
        f"{key}={str(value).translate(_IN_EXTENSION)}"
        for key, value in pairs
        if value is not None and value != ""
    )
    return f"CEF:{header}|{said}\n".encode()
