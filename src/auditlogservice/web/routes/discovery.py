"""Where a program finds out by itself how to get tokens here, and how to check them."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from auditlogservice.access import Scope
from auditlogservice.web.answers import json_answer
from auditlogservice.web.documents import answers, problems
from auditlogservice.web.services import services

router = APIRouter(tags=["tokens"])

# A key is unknown to whoever keeps the old list until it asks again, as one does for a new `kid`.
_CACHED = {"Cache-Control": "public, max-age=300"}
_OBJECT: dict[str, Any] = {"type": "object"}
_CLIENT_METHODS = ["client_secret_basic", "client_secret_post"]


@router.get(
    "/.well-known/oauth-authorization-server",
    summary="How to get tokens",
    responses={200: answers("The metadata (RFC 8414)", _OBJECT)},
)
async def read_metadata(request: Request) -> Response:
    """Describe this service as an issuer of tokens (RFC 8414)."""
    issuer = services(request).issuer
    return json_answer(
        {
            "issuer": issuer,
            "token_endpoint": f"{issuer}/token",
            "revocation_endpoint": f"{issuer}/revoke",
            "introspection_endpoint": f"{issuer}/introspect",
            "jwks_uri": f"{issuer}/.well-known/jwks.json",
            "scopes_supported": list(Scope),
            "response_types_supported": [],  # required, and there is no authorization endpoint
            "grant_types_supported": ["password", "client_credentials"],
            "token_endpoint_auth_methods_supported": [*_CLIENT_METHODS, "none"],
            "revocation_endpoint_auth_methods_supported": [*_CLIENT_METHODS, "none"],
            "introspection_endpoint_auth_methods_supported": [*_CLIENT_METHODS, "Bearer"],
        },
        headers=_CACHED,
    )


@router.get(
    "/.well-known/jwks.json",
    summary="The keys that sign tokens",
    responses={200: answers("The keys of all nodes (RFC 7517)", _OBJECT), **problems(503)},
)
async def read_keys(request: Request) -> Response:
    """List the public keys with which signed tokens of any node are checked."""
    return json_answer({"keys": await services(request).tokens.public_keys()}, headers=_CACHED)
