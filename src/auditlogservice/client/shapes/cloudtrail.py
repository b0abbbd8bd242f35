"""AWS CloudTrail records, alone or in an EventBridge envelope."""

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
    objects,
    text,
)
from auditlogservice.client.shapes.moments import moment

if TYPE_CHECKING:
    from auditlogservice.canonical import Json


def is_cloudtrail(record: Row) -> bool:
    call = _call(record)
    return "eventSource" in call and "eventName" in call


def natural_id(record: Row) -> str:
    return text(_call(record).get("eventID"))


def tell(record: Row) -> Told:
    call = _call(record)
    service, action = text(call.get("eventSource")), text(call.get("eventName")) or "call"
    return Story(
        name=action,
        event_type=f"aws.{service.removesuffix('.amazonaws.com') or 'unknown'}.{action}",
        detail=_sentence(call, service, action),
        occurred_at=moment(call.get("eventTime"), call.get("@timestamp"), record.get("time")),
        actor=_actor(call.get("userIdentity")),
        targets=_targets(call.get("resources")),
        outcome=_outcome(call),
        source=service,
        context=_context(call),
    ).tell(record)


def _call(record: Row) -> Row:
    """Return the record itself, or the one in the envelope of EventBridge."""
    inner = record.get("detail")
    return inner if "detail-type" in record and isinstance(inner, dict) else record


def _sentence(call: Row, service: str, action: str) -> str:
    who = _name(call.get("userIdentity")) or "someone"
    where = text(call.get("sourceIPAddress"))
    sentence = f"{who} called {action} on {service or 'AWS'}" + (f" from {where}" if where else "")
    error = first(call.get("errorCode"))
    if error:
        return f"{sentence}: {error}"
    return f"{sentence}, which failed" if _outcome(call) == "failure" else sentence


def _outcome(call: Row) -> str:
    # A refused sign-in to the console carries no errorCode, only this.
    signed_in = at(call.get("responseElements"), "ConsoleLogin") != "Failure"
    failed = call.get("errorCode") or call.get("errorMessage")
    return "success" if signed_in and not failed else "failure"


def _actor(identity: Json) -> Told | None:
    account = at(identity, "accountId")
    known = first(at(identity, "arn"), at(identity, "principalId"), at(identity, "userName"))
    return entity(
        id=known or first(at(identity, "invokedBy"), account),
        type=text(at(identity, "type")),
        name=_name(identity),
    )


def _name(identity: Json) -> str:
    role = text(at(identity, "sessionContext", "sessionIssuer", "userName"))
    session = text(at(identity, "arn")).rpartition("/")[2] if role else ""
    assumed = f"{role}/{session}" if session and session != role else role
    own = first(at(identity, "userName"), assumed, at(identity, "invokedBy"))
    return own or first(at(identity, "principalId"), at(identity, "type"))


def _targets(resources: Json) -> list[Told]:
    found = (
        entity(
            id=first(item.get("ARN"), item.get("ARNPrefix"), item.get("resourceName")),
            type=first(item.get("type"), item.get("resourceType")),
        )
        for item in objects(resources)
    )
    return [target for target in found if target]


def _context(call: Row) -> Told:
    return {
        **from_address(text(call.get("sourceIPAddress"))),
        "user_agent": text(call.get("userAgent")),
        "request_id": text(call.get("requestID")),
        "region": text(call.get("awsRegion")),
        "account": first(
            call.get("recipientAccountId"), at(call.get("userIdentity"), "accountId")
        ),
    }
