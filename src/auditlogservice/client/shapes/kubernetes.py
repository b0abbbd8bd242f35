"""Kubernetes audit events (audit.k8s.io), as the API server logs or sends them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from auditlogservice.client.shapes.fields import (
    Row,
    Story,
    Told,
    at,
    entity,
    first,
    from_address,
    text,
    whole_number,
)
from auditlogservice.client.shapes.moments import moment

if TYPE_CHECKING:
    from auditlogservice.canonical import Json

_FIRST_ERROR = 400  # of HTTP


def is_kubernetes(record: Row) -> bool:
    versioned = text(record.get("apiVersion")).startswith("audit.k8s.io/")
    return (versioned and record.get("kind") != "EventList") or {
        "auditID",
        "verb",
        "stage",
    } <= record.keys()


def natural_id(record: Row) -> str:
    """One request gives an event per stage, all under one auditID."""
    audit_id = text(record.get("auditID"))
    return f"{audit_id}/{text(record.get('stage'))}" if audit_id else ""


def tell(record: Row) -> Told:
    verb, kind = text(record.get("verb")) or "request", _kind(record)
    return Story(
        name=f"{verb} {kind}".strip(),
        event_type=f"kubernetes.{kind or 'request'}.{verb}",
        detail=_sentence(record, verb, kind),
        occurred_at=moment(record.get("requestReceivedTimestamp"), record.get("stageTimestamp")),
        actor=_person(record.get("user")),
        on_behalf_of=_person(record.get("impersonatedUser")),
        targets=_targets(record, kind),
        outcome=_outcome(record),
        source="kubernetes",
        context=_context(record),
    ).tell(record)


def _kind(record: Row) -> str:
    thing = record.get("objectRef")
    kind, part = text(at(thing, "resource")), text(at(thing, "subresource"))
    return f"{kind}/{part}" if kind and part else kind


def _sentence(record: Row, verb: str, kind: str) -> str:
    thing = record.get("objectRef")
    who = text(at(record.get("user"), "username")) or "someone"
    what = first(at(thing, "name"))
    where = text(at(thing, "namespace"))
    words = [who, "asked to", verb, kind or text(record.get("requestURI")), what]
    words += ["in", where] if where else []
    sentence = " ".join(word for word in words if word)
    answer = first(at(record, "responseStatus", "reason"), at(record, "responseStatus", "code"))
    return f"{sentence}: {answer}" if answer else sentence


def _person(user: Json) -> Told | None:
    name, uid = text(at(user, "username")), text(at(user, "uid"))
    service = name.startswith("system:serviceaccount:")
    return entity(id=name or uid, type="service_account" if service else "user", name=name)


def _targets(record: Row, kind: str) -> list[Told]:
    thing = record.get("objectRef")
    name, where = text(at(thing, "name")), text(at(thing, "namespace"))
    full = f"{where}/{name}" if where and name else name
    target = entity(id=full, type=kind, name=name)
    return [target] if target else []


def _outcome(record: Row) -> str | None:
    status = record.get("responseStatus")
    code = whole_number(at(status, "code"))
    if record.get("stage") == "Panic" or at(status, "status") == "Failure":
        return "failure"
    if code is None:
        return None
    return "success" if code < _FIRST_ERROR else "failure"


def _context(record: Row) -> Told:
    addresses = record.get("sourceIPs")
    address = addresses[0] if isinstance(addresses, list) and addresses else None
    return {
        **from_address(text(address)),
        "user_agent": text(record.get("userAgent")),
        "request_id": text(record.get("auditID")),
    }
