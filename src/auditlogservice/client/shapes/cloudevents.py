"""CloudEvents 1.0 in their structured JSON form, with the auth context extension."""

from __future__ import annotations

from auditlogservice.client.shapes.fields import Row, Story, Told, entity, first, text
from auditlogservice.client.shapes.moments import moment


def is_cloudevent(record: Row) -> bool:
    return text(record.get("specversion")).startswith("1.") and "type" in record


def natural_id(record: Row) -> str:
    """Return source and id: the specification makes them unique together."""
    own, source = text(record.get("id")), text(record.get("source"))
    return f"{source} {own}" if own else ""


def tell(record: Row) -> Told:
    kind, source = text(record.get("type")), text(record.get("source"))
    subject = text(record.get("subject"))
    target = entity(id=subject)
    about = f" about {subject}" if subject else ""
    trace = text(record.get("traceparent")).split("-")
    return Story(
        name=kind,
        event_type=kind or "cloudevent",
        detail=f"{kind or 'An event'}{about} from {source or 'an unknown source'}",
        occurred_at=moment(record.get("time")),
        actor=entity(id=first(record.get("authid")), type=text(record.get("authtype"))),
        targets=[target] if target else [],
        source=source,
        context={
            "request_id": text(record.get("id")),
            "trace_id": trace[1] if len(trace) > 1 else "",
        },
    ).tell(record)
