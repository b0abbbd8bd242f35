"""Schemas of tokens, clients and their secrets, for the OpenAPI document."""

from __future__ import annotations

from typing import Any

from auditlogservice.access import Scope
from auditlogservice.ledger.identity.labels import MAX_API_TOKEN_DAYS, MAX_LABEL

_ID = {"type": "string", "pattern": "^[0-9a-f]{24}$"}
_TEXT = {"type": "string"}
_SECRET = {"type": "string", "format": "password"}
_SCOPES = {"type": "array", "items": {"type": "string", "enum": list(Scope)}}
NAME = {
    "type": "string",
    "pattern": "^[A-Za-z0-9][A-Za-z0-9._@+-]{0,127}$",
}  # of users and clients
_SCOPE = {"type": "string", "description": "The scopes, with blanks between."}
_LABEL = {"type": "string", "maxLength": MAX_LABEL}
_MOMENT = {"type": "string", "format": "date-time"}
_MAYBE = {**_MOMENT, "type": ["string", "null"]}
_SECONDS = {"type": "integer", "description": "Seconds since 1970."}


def _object(title: str, required: list[str], properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "title": title, "required": required, "properties": properties}


def _whole(title: str, properties: dict[str, Any]) -> dict[str, Any]:
    """An object of which every property is always there."""
    return _object(title, list(properties), properties)


def _wish(title: str, required: list[str], properties: dict[str, Any]) -> dict[str, Any]:
    return {**_object(title, required, properties), "additionalProperties": False}


_TOKEN_REQUEST: dict[str, Any] = {
    "type": "object",
    "title": "TokenRequest",
    "oneOf": [
        {
            "required": ["username", "password"],
            "properties": {"grant_type": {"const": "password"}},
        },
        {
            "required": ["grant_type"],
            "properties": {"grant_type": {"const": "client_credentials"}},
        },
    ],
    "properties": {
        "grant_type": {"type": "string", "enum": ["password", "client_credentials"]},
        "username": _TEXT,
        "password": _SECRET,
        "client_id": {**_TEXT, "description": "If it is not in the header."},
        "client_secret": {**_SECRET, "description": "If it is not in the header."},
        "scope": {**_TEXT, "description": "Fewer scopes than the user or the client has."},
    },
}
_CLIENT_SECRET = {
    "id": _ID,
    "label": _LABEL,
    "created_at": _MOMENT,
    "expires_at": _MAYBE,
    "last_used_at": _MAYBE,
}
_API_TOKEN = {
    "id": _ID,
    "label": _LABEL,
    "prefix": {"type": "string", "description": "How its text begins."},
    "scopes": _SCOPES,
    "created_at": _MOMENT,
    "expires_at": _MOMENT,
    "last_used_at": _MAYBE,
}
_SHOWN_ONCE = {"type": "string", "description": "Shown now, and never again."}

TOKEN_SCHEMAS: dict[str, dict[str, Any]] = {
    "ApiToken": _whole("ApiToken", _API_TOKEN),
    "Client": _whole(
        "Client",
        {
            "id": _ID,
            "name": _TEXT,
            "tenant": _TEXT,
            "scopes": _SCOPES,
            "disabled": {"type": "boolean"},
            "created_at": _MOMENT,
            "secrets": {"type": "array", "items": {"$ref": "#/components/schemas/ClientSecret"}},
        },
    ),
    "ClientChange": _wish(
        "ClientChange", [], {"scopes": _SCOPES, "disabled": {"type": "boolean"}}
    ),
    "ClientSecret": _whole("ClientSecret", _CLIENT_SECRET),
    "Introspection": _object(
        "Introspection",
        ["active"],
        {
            "active": {"type": "boolean"},
            "scope": _SCOPE,
            "client_id": _TEXT,
            "username": _TEXT,
            "token_type": {"const": "bearer"},
            "exp": _SECONDS,
            "iat": _SECONDS,
            "sub": _TEXT,
            "aud": _TEXT,
            "iss": _TEXT,
            "jti": _TEXT,
        },
    ),
    "NewApiToken": _wish(
        "NewApiToken",
        [],
        {
            "label": _LABEL,
            "scopes": {**_SCOPES, "description": "All that the owner has, if it is left out."},
            "expires_in": {
                "type": "integer", "minimum": 1, "maximum": MAX_API_TOKEN_DAYS * 86_400,
                "description": "Seconds; 90 days if neither is given.",
            },
            "expires_at": _MOMENT,
        },
    ),
    "NewApiTokenShown": _whole("NewApiTokenShown", {**_API_TOKEN, "token": _SHOWN_ONCE}),
    "NewClient": _wish("NewClient", ["name", "scopes"], {"name": NAME, "scopes": _SCOPES}),
    "NewClientSecret": _wish("NewClientSecret", [], {"label": _LABEL, "expires_at": _MAYBE}),
    "NewClientSecretShown": _whole(
        "NewClientSecretShown", {**_CLIENT_SECRET, "secret": _SHOWN_ONCE}
    ),
    "RevocationRequest": _object(
        "RevocationRequest",
        ["token"],
        {
            "token": _SECRET,
            "token_type_hint": _TEXT,
            "client_id": _TOKEN_REQUEST["properties"]["client_id"],
            "client_secret": _TOKEN_REQUEST["properties"]["client_secret"],
        },
    ),
    "TokenRequest": _TOKEN_REQUEST,
}  # fmt: skip
