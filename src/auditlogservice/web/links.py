"""Where to go on from what was made: the links of the OpenAPI document (OpenAPI 3.1 §4.8.20).

Programs that walk through an API, and tests that do so, learn from them which call takes the id
that another one has answered.
"""

from __future__ import annotations

from typing import Any, TypeAlias

Operation: TypeAlias = tuple[str, str]  # the method and the path

_EVENT = {"event_id": "$response.body#/_id"}
_ERASURE = {"erasure_id": "$response.body#/id"}
_HOLD = {"hold_id": "$response.body#/id"}
_USER = {"name": "$response.body#/name"}
_TENANT = {"tenant": "$response.body#/name"}
_CLIENT = {"client_id": "$response.body#/id"}
_SECRET = {"client_id": "$request.path.client_id", "secret_id": "$response.body#/id"}
_TOKEN = {"client_id": "$request.path.client_id", "token_id": "$response.body#/id"}
_OWN_TOKEN = {"token_id": "$response.body#/id"}

# After this call, with this status: the calls that take what it answers, and their parameters.
LINKS: dict[tuple[Operation, int], list[tuple[Operation, dict[str, str]]]] = {
    (("POST", "/events"), 201): [
        (("GET", "/events/{event_id}"), _EVENT),
        (("DELETE", "/events/{event_id}"), _EVENT),
        (("GET", "/events/{event_id}/proof"), _EVENT),
    ],
    (("POST", "/erasures"), 202): [(("GET", "/erasures/{erasure_id}"), _ERASURE)],
    (("POST", "/holds"), 201): [
        (("GET", "/holds/{hold_id}"), _HOLD),
        (("DELETE", "/holds/{hold_id}"), _HOLD),
    ],
    (("POST", "/users"), 201): [
        (("GET", "/users/{name}"), _USER),
        (("PATCH", "/users/{name}"), _USER),
        (("DELETE", "/users/{name}"), _USER),
    ],
    (("POST", "/clients"), 201): [
        (("GET", "/clients/{client_id}"), _CLIENT),
        (("PATCH", "/clients/{client_id}"), _CLIENT),
        (("DELETE", "/clients/{client_id}"), _CLIENT),
        (("POST", "/clients/{client_id}/secrets"), _CLIENT),
        (("GET", "/clients/{client_id}/tokens"), _CLIENT),
        (("POST", "/clients/{client_id}/tokens"), _CLIENT),
    ],
    (("POST", "/clients/{client_id}/secrets"), 201): [
        (("DELETE", "/clients/{client_id}/secrets/{secret_id}"), _SECRET),
    ],
    (("POST", "/clients/{client_id}/tokens"), 201): [
        (("DELETE", "/clients/{client_id}/tokens/{token_id}"), _TOKEN),
    ],
    (("POST", "/me/tokens"), 201): [(("DELETE", "/me/tokens/{token_id}"), _OWN_TOKEN)],
    (("POST", "/tenants"), 201): [
        (("GET", "/tenants/{tenant}"), _TENANT),
        (("PATCH", "/tenants/{tenant}"), _TENANT),
        (("DELETE", "/tenants/{tenant}"), _TENANT),
        (("GET", "/tenants/{tenant}/limits"), _TENANT),
        (("PUT", "/tenants/{tenant}/limits"), _TENANT),
    ],
}


def add_links(document: dict[str, Any]) -> None:
    """Write the links into the document. Raises KeyError for one that leads nowhere."""
    for (source, status), targets in LINKS.items():
        answer = _operation(document, source)["responses"][str(status)]
        answer["links"] = {
            f"{method} {path}": {
                "operationId": _operation(document, (method, path))["operationId"],
                "parameters": parameters,
            }
            for (method, path), parameters in targets
        }


def _operation(document: dict[str, Any], operation: Operation) -> dict[str, Any]:
    method, path = operation
    found: dict[str, Any] = document["paths"][path][method.lower()]
    return found
