"""Pieces of the OpenAPI document that routes share."""

from __future__ import annotations

from typing import Any

from auditlogservice.access import Scope
from auditlogservice.auditing.findings import State
from auditlogservice.events import MAX_IDEMPOTENCY_KEY, EventModel
from auditlogservice.ledger.identity.passwords import MAX_LENGTH, MIN_LENGTH
from auditlogservice.web.governing_schemas import GOVERNING
from auditlogservice.web.problems import ALL, MEDIA_TYPE
from auditlogservice.web.token_schemas import NAME, TOKEN_SCHEMAS

JSON = "application/json"
NDJSON = "application/x-ndjson"

_EVENT: dict[str, Any] = EventModel.model_json_schema(ref_template="#/components/schemas/{model}")
# Pydantic puts what a schema refers to under `$defs`; OpenAPI wants it among the components.
_REFERRED: dict[str, Any] = _EVENT.pop("$defs")

_ID = {"type": "string", "pattern": "^[0-9a-f]{24}$"}
_RECORD: dict[str, Any] = {
    "type": "object",
    "title": "Record",
    "description": "An event as it is kept: what was told, and what the service adds.",
    "required": [
        "_id", "name", "event_type", "detail", "event_data", "timestamp", "user_id", "sequence",
    ],
    "properties": {
        "_id": _ID,
        **_EVENT["properties"],
        "timestamp": {"type": "string", "format": "date-time", "description": "When it came in."},
        "user_id": {"type": "string", "description": "Who recorded it."},
        "redacted": {
            "type": "array",
            "description": "What redaction rules did to the event, where they did something.",
            "items": {
                "type": "object",
                "required": ["action", "pointer"],
                "properties": {
                    "action": {"type": "string", "enum": ["drop", "hash", "mask"]},
                    "pointer": {"type": "string"},
                },
            },
        },
        "flagged": {
            "type": "array",
            "description": "What in the event looks like a secret, where something does.",
            "items": {
                "type": "object",
                "required": ["kind", "pointer"],
                "properties": {"kind": {"type": "string"}, "pointer": {"type": "string"}},
            },
        },
        "sequence": {
            "type": "integer", "format": "int64", "minimum": 0,
            "description": "Its place in the tenant's log: 0, 1, 2, … without a hole.",
        },
    },
}  # fmt: skip
_PROBLEM: dict[str, Any] = {
    "type": "object",
    "title": "Problem",
    "description": "RFC 9457. `errors` points at what is wrong, where that can be told.",
    "required": ["type", "title", "status", "detail", "instance", "code", "request_id"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {"type": "string"},
        "code": {"type": "string", "enum": sorted(ALL)},
        "request_id": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["pointer", "detail"],
                "properties": {"pointer": {"type": "string"}, "detail": {"type": "string"}},
            },
        },
    },
}

_BATCH_EVENT = {
    **_EVENT,
    "title": "BatchEvent",
    "properties": {
        **_EVENT["properties"],
        "idempotency_key": {"type": "string", "minLength": 1, "maxLength": MAX_IDEMPOTENCY_KEY},
    },
}
_INDEX = {"type": "integer", "minimum": 0, "description": "Which event of the batch, from 0."}
_BATCH_RESULT = {
    "type": "object",
    "title": "BatchResult",
    "required": ["successful", "failed"],
    "properties": {
        "successful": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["index", "_id", "sequence"],
                "properties": {
                    "index": _INDEX,
                    "_id": _ID,
                    "sequence": _RECORD["properties"]["sequence"],
                    "replayed": {"const": True, "description": "A retry: it was there before."},
                },
            },
        },
        "failed": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["index", "code", "detail", "pointer"],
                "properties": {
                    "index": _INDEX,
                    "code": {"type": "string"},
                    "detail": {"type": "string"},
                    "pointer": {"type": "string"},
                },
            },
        },
    },
}

_NAMES = {"type": "array", "items": {"type": "string", "enum": list(Scope)}}
_COUNT: dict[str, Any] = {
    "type": "object",
    "title": "Count",
    "required": ["value", "relation"],
    "properties": {
        "value": {"type": "integer", "minimum": 0},
        "relation": {
            "type": "string",
            "enum": ["eq", "gte", "lte"],
            "description": "`eq`: exactly; `gte`: at least; `lte`: at most.",
        },
    },
}
_HISTOGRAM = {
    "type": "object",
    "title": "Histogram",
    "required": ["interval", "buckets", "relation", "complete_since"],
    "properties": {
        "interval": {"type": "string"},
        "buckets": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["start", "count"],
                "properties": {
                    "start": {"type": "string", "format": "date-time"},
                    "count": {"type": "integer", "minimum": 0},
                },
            },
        },
        "relation": _COUNT["properties"]["relation"],
        "complete_since": {"type": ["string", "null"], "format": "date-time"},
    },
}
_FACETS: dict[str, Any] = {
    "type": "object",
    "title": "Facets",
    "required": ["field", "values", "records"],
    "properties": {
        "field": {"type": "string"},
        "values": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["value", "count"],
                "properties": {
                    "value": {"type": "string"},
                    "count": {"type": "integer", "minimum": 1},
                },
            },
        },
        "records": {"$ref": "#/components/schemas/Count"},
    },
}
_PART = {"$ref": "#/components/schemas/Filter"}
_FILTER: dict[str, Any] = {
    "title": "Filter",
    "description": "A question in JSON; docs/queries.md tells the whole of it.",
    "oneOf": [
        {
            "type": "object",
            "required": [word],
            "properties": {word: {"type": "array", "items": _PART}},
        }
        for word in ("all", "any")
    ]
    + [
        {
            "type": "object",
            "required": ["not"],
            "properties": {"not": _PART},
        },
        {
            "type": "object",
            "required": ["field"],
            "properties": {"field": {"type": "string"}, "op": {"type": "string"}, "value": {}},
        },
        {"type": "object", "required": ["words"], "properties": {"words": {"type": "string"}}},
        {
            "type": "object",
            "required": ["element"],
            "properties": {
                "element": {
                    "type": "object",
                    "required": ["path", "where"],
                    "properties": {
                        "path": {"type": "string"},
                        "where": _PART,
                    },
                }
            },
        },
        {"type": "object", "required": ["q"], "properties": {"q": {"type": "string"}}},
    ],
}
_TOKEN = {
    "type": "object",
    "title": "Token",
    "required": ["access_token", "token_type", "expires_in", "scope"],
    "properties": {
        "access_token": {"type": "string"},
        "token_type": {"const": "bearer"},
        "expires_in": {"type": "integer", "description": "Seconds."},
        "scope": {"type": "string", "description": "The scopes, with blanks between."},
    },
}
_SIGN_IN_FORM = {
    "type": "object",
    "title": "SignInForm",
    "required": ["username", "password"],
    "properties": {
        "username": {"type": "string"},
        "password": {"type": "string", "format": "password"},
        "return_to": {"type": "string", "description": "The path to go on to."},
    },
}
_CALLER: dict[str, Any] = {
    "type": "object",
    "title": "Caller",
    "required": ["name", "tenant", "scopes"],
    "properties": {"name": {"type": "string"}, "tenant": {"type": "string"}, "scopes": _NAMES},
}
_USER = {
    "type": "object",
    "title": "User",
    "required": ["name", "tenant", "scopes", "disabled", "created_at"],
    "properties": {
        **_CALLER["properties"],
        "disabled": {"type": "boolean"},
        "created_at": {"type": "string", "format": "date-time"},
    },
}
_NEW_USER: dict[str, Any] = {
    "type": "object",
    "title": "NewUser",
    "additionalProperties": False,
    "required": ["name", "password"],
    "properties": {
        "name": NAME,
        "password": {"type": "string", "minLength": MIN_LENGTH, "maxLength": MAX_LENGTH},
        "scopes": _NAMES,
    },
}
_USER_CHANGE = {
    "type": "object",
    "title": "UserChange",
    "additionalProperties": False,
    "properties": {
        "password": _NEW_USER["properties"]["password"],
        "scopes": _NAMES,
        "disabled": {"type": "boolean"},
    },
}

_TENANT: dict[str, Any] = {
    "type": "object",
    "title": "Tenant",
    "required": ["name", "created_at", "suspended", "events", "users", "clients"],
    "properties": {
        "name": {"type": "string", "pattern": "^[a-z0-9][a-z0-9-]{0,62}$"},
        "created_at": {
            "type": ["string", "null"], "format": "date-time",
            "description": "Null if the tenant is older than this was written down.",
        },
        "suspended": {"type": "boolean", "description": "Whether its users are kept out."},
        "events": {
            "type": "integer", "minimum": 0,
            "description": "How many records its log has, those that were erased too.",
        },
        "users": {"type": "integer", "minimum": 0},
        "clients": {"type": "integer", "minimum": 0},
    },
}  # fmt: skip
_NEW_TENANT = {
    "type": "object",
    "title": "NewTenant",
    "additionalProperties": False,
    "required": ["name"],
    "properties": {"name": _TENANT["properties"]["name"]},
}
_TENANT_CHANGE = {
    "type": "object",
    "title": "TenantChange",
    "additionalProperties": False,
    "required": ["suspended"],
    "properties": {"suspended": _TENANT["properties"]["suspended"]},
}
_HOW_MANY: dict[str, Any] = {"type": "integer", "format": "int64", "minimum": 0}
_VERIFICATION: dict[str, Any] = {
    "type": "object",
    "title": "Verification",
    "additionalProperties": False,
    "required": ["size", "root", "found", "states"],
    "properties": {
        "size": {**_HOW_MANY, "description": "How many records the checkpoint covers."},
        "root": {
            "type": "string", "pattern": "^([0-9a-f]{64})?$",
            "description": "The root of the tree, in hexadecimal digits.",
        },
        "found": {**_HOW_MANY, "description": "How much was not as it must be."},
        "states": {
            "type": "object",
            "description": "How many places have each state.",
            "properties": {state.value: _HOW_MANY for state in State},
            "additionalProperties": False,
        },
    },
}  # fmt: skip

_BASE64 = {"type": "string", "contentEncoding": "base64"}
_OPENINGS: dict[str, Any] = {
    "type": "object",
    "title": "Openings",
    "required": ["first", "salts"],
    "properties": {
        "first": _RECORD["properties"]["sequence"],
        "salts": {
            "type": "array",
            "description": "Of the records from `first` on; null where one was erased.",
            "items": {"oneOf": [_BASE64, {"type": "null"}]},
        },
    },
}
_PROOF: dict[str, Any] = {
    "type": "object",
    "title": "Proof",
    "required": ["index", "entry", "proof", "opening"],
    "properties": {
        "index": _RECORD["properties"]["sequence"],
        "entry": {"type": "string", "description": "The log entry, of which the leaf is made."},
        "proof": {"type": "string", "description": "The proof as text (c2sp.org/tlog-proof)."},
        "opening": {
            "description": "Null if the event was erased, or the caller may not read events.",
            "oneOf": [
                {
                    "type": "object",
                    "required": ["salt", "payload"],
                    "properties": {
                        "salt": _BASE64,
                        "payload": {"type": "string", "description": "The record's bytes."},
                    },
                },
                {"type": "null"},
            ],
        },
    },
}
_TIMESTAMP: dict[str, Any] = {
    "type": "object",
    "title": "Timestamp",
    "required": ["size", "time", "checkpoint", "reply"],
    "properties": {
        "size": {
            "type": "integer", "format": "int64", "minimum": 1,
            "description": "How many records the checkpoint covers.",
        },
        "time": {
            "type": "string", "format": "date-time",
            "description": "When the authority saw the checkpoint, by its own clock.",
        },
        "checkpoint": {"type": "string", "description": "The signed note, byte for byte."},
        "reply": {**_BASE64, "description": "What the authority answered (RFC 3161)."},
    },
}  # fmt: skip

SCHEMAS: dict[str, dict[str, Any]] = {
    **_REFERRED,
    **GOVERNING,
    **TOKEN_SCHEMAS,
    "BatchEvent": _BATCH_EVENT,
    "BatchResult": _BATCH_RESULT,
    "Caller": _CALLER,
    "Count": _COUNT,
    "Event": _EVENT,
    "Facets": _FACETS,
    "Filter": _FILTER,
    "Histogram": _HISTOGRAM,
    "NewTenant": _NEW_TENANT,
    "NewUser": _NEW_USER,
    "Openings": _OPENINGS,
    "Problem": _PROBLEM,
    "Proof": _PROOF,
    "Record": _RECORD,
    "SignInForm": _SIGN_IN_FORM,
    "Tenant": _TENANT,
    "TenantChange": _TENANT_CHANGE,
    "Timestamp": _TIMESTAMP,
    "Token": _TOKEN,
    "User": _USER,
    "UserChange": _USER_CHANGE,
    "Verification": _VERIFICATION,
}


def refer(schema: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{schema}"}


def answers(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    """Return a JSON response of this schema."""
    return {"description": description, "content": {JSON: {"schema": schema}}}


def media(kind: str, description: str) -> dict[str, Any]:
    """Return a response that is a text, or bytes, of this media type."""
    return {"description": description, "content": {kind: {"schema": {"type": "string"}}}}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the problem answers with these statuses."""
    titles = {
        status: " / ".join(each.title for each in ALL.values() if each.status == status)
        for status in statuses
    }
    return {
        status: {"description": title, "content": {MEDIA_TYPE: {"schema": refer("Problem")}}}
        for status, title in titles.items()
    }


def body(**media: dict[str, Any]) -> dict[str, Any]:
    """Return a required request body; `json=`, `ndjson=`, `form=` and `multipart=` schemas."""
    content = {_MEDIA[name]: {"schema": schema} for name, schema in media.items()}
    return {"requestBody": {"required": True, "content": content}}


def parameter(
    name: str, schema: dict[str, Any], description: str, *, place: str = "query", **more: Any
) -> dict[str, Any]:
    return {"name": name, "in": place, "description": description, "schema": schema, **more}


_MEDIA = {
    "json": JSON,
    "ndjson": NDJSON,
    "form": "application/x-www-form-urlencoded",
    "multipart": "multipart/form-data",
}
