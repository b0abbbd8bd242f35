"""Schemas of holds, rules, erasures and limits, for the OpenAPI document."""

from __future__ import annotations

from typing import Any

from auditlogservice.governance import MAX_REASON, MAX_RULES, RetentionRule
from auditlogservice.ledger.governing.quotas import MAX_QUOTA
from auditlogservice.redaction import MAX_REDACTION_RULES, RedactionRule

_WHERE: dict[str, Any] = {"$ref": "#/components/schemas/Filter"}
_COUNT: dict[str, Any] = {"$ref": "#/components/schemas/Count"}
_MOMENT = {"type": "string", "format": "date-time"}
_REASON = {"type": "string", "minLength": 1, "maxLength": MAX_REASON}
_NUMBER = {"type": "integer", "format": "int64", "minimum": 0}
_EVENTS_PER_DAY: dict[str, Any] = {
    "type": ["integer", "null"],
    "format": "int64",
    "minimum": 0,
    "maximum": MAX_QUOTA,
    "description": "Null is what the settings say.",
}
_THING = {"type": "string", "pattern": "^[0-9a-f]{24}$"}
_CHOICE: dict[str, Any] = {
    "q": {"type": "string", "description": "What, as one would type it into a search box."},
    "where": {**_WHERE, "description": 'What, in JSON. `{"all": []}` is every event.'},
    "reason": {**_REASON, "description": "Why; kept for good."},
}


def _object(title: str, required: list[str], properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "title": title, "required": required, "properties": properties}


def _choice(title: str, **more: Any) -> dict[str, Any]:
    return {
        **_object(title, ["reason"], {**_CHOICE, **more}),
        "additionalProperties": False,
        "oneOf": [{"required": ["q"]}, {"required": ["where"]}],
    }


def _rules(most: int, rule: str) -> dict[str, Any]:
    items = {"$ref": f"#/components/schemas/{rule}"}
    return {"rules": {"type": "array", "maxItems": most, "items": items}}


def _new_book(title: str, rules: dict[str, Any]) -> dict[str, Any]:
    return {**_object(title, ["rules"], rules), "additionalProperties": False}


def _book(title: str, rules: dict[str, Any]) -> dict[str, Any]:
    return _object(
        title,
        ["rules", "changed_by", "changed_at"],
        {
            **rules,
            "changed_by": {"type": ["string", "null"]},
            "changed_at": {**_MOMENT, "type": ["string", "null"]},
        },
    )


_RETENTION = _rules(MAX_RULES, "RetentionRule")
_REDACTION = _rules(MAX_REDACTION_RULES, "RedactionRule")

GOVERNING: dict[str, dict[str, Any]] = {
    "Erasure": _object(
        "Erasure",
        [
            "id", "where", "reason", "asked_by", "asked_at", "end", "state", "erased", "held",
            "last_sequence", "failure",
        ],
        {
            "id": _THING,
            "where": _WHERE,
            "reason": _REASON,
            "asked_by": {"type": "string"},
            "asked_at": _MOMENT,
            "end": {**_NUMBER, "description": "The first sequence that it does not reach."},
            "state": {"type": "string", "enum": ["running", "done", "failed"]},
            "erased": _NUMBER,
            "held": {**_NUMBER, "description": "How many were left, since a hold covers them."},
            "last_sequence": {
                **_NUMBER, "minimum": -1, "description": "How far it has looked.",
            },
            "failure": {"type": ["string", "null"]},
        },
    ),
    "ErasurePreview": _object(
        "ErasurePreview",
        ["matching", "held", "sample"],
        {
            "matching": _COUNT,
            "held": _COUNT,
            "sample": {
                "type": "array",
                "items": _THING,
                "description": "Some that would be erased, the oldest.",
            },
        },
    ),
    "Hold": _object(
        "Hold",
        ["id", "where", "reason", "placed_by", "placed_at"],
        {
            "id": _THING,
            "where": _WHERE,
            "reason": _REASON,
            "placed_by": {"type": "string"},
            "placed_at": _MOMENT,
        },
    ),
    "NewErasure": _choice("NewErasure", preview={"type": "boolean", "default": False}),
    "NewHold": _choice("NewHold"),
    "NewRedaction": _new_book("NewRedaction", _REDACTION),
    "NewRetention": _new_book("NewRetention", _RETENTION),
    "NewTenantLimits": {
        **_object("NewTenantLimits", ["events_per_day"], {"events_per_day": _EVENTS_PER_DAY}),
        "additionalProperties": False,
    },
    "Redaction": _book("Redaction", _REDACTION),
    "RedactionRule": RedactionRule.model_json_schema(),
    "Retention": _book("Retention", _RETENTION),
    "TenantLimits": _object(
        "TenantLimits",
        ["events_per_day", "changed_by", "changed_at"],
        {
            "events_per_day": _EVENTS_PER_DAY,
            "changed_by": {"type": ["string", "null"]},
            "changed_at": {**_MOMENT, "type": ["string", "null"]},
        },
    ),
    "RetentionRule": RetentionRule.model_json_schema(),
}  # fmt: skip
