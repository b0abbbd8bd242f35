"""Programs at the door: clients with their secrets, and tokens of every kind."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus

if TYPE_CHECKING:
    from running import Api

BOTH = ["events:write", "events:read"]
ENTER: dict[str, str] = {"grant_type": "client_credentials"}


async def make(
    api: Api, user: dict[str, str], *scopes: str, name: str = "web-shop"
) -> tuple[str, str]:
    """Make a client with a secret, as a manager does; return its id and the secret."""
    asked = {"name": name, "scopes": scopes or BOTH}
    made = await api.http.post("/clients", json=asked, headers=user)
    assert made.status_code == 201, made.text
    client = made.json()["id"]
    secret = await api.http.post(f"/clients/{client}/secrets", json={}, headers=user)
    assert secret.status_code == 201, secret.text
    return client, secret.json()["secret"]


def basic(client: str, secret: str) -> dict[str, str]:
    pair = f"{quote_plus(client)}:{quote_plus(secret)}"
    return {"Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}


async def enter(api: Api, client: str, secret: str, **more: str) -> dict[str, Any]:
    answer = await api.http.post("/token", data=ENTER | more, headers=basic(client, secret))
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


async def signed(api: Api, client: str, secret: str) -> dict[str, str]:
    """The headers of a request in the client's name."""
    return {"Authorization": f"Bearer {(await enter(api, client, secret))['access_token']}"}


async def get(api: Api, user: dict[str, str], **asked: Any) -> dict[str, Any]:
    answer = await api.http.post("/me/tokens", json=asked, headers=user)
    assert answer.status_code == 201, answer.text
    told: dict[str, Any] = answer.json()
    return told


def bearing(token: dict[str, Any]) -> dict[str, str]:
    return {"Authorization": f"Bearer {token['token']}"}


async def status(api: Api, headers: dict[str, str]) -> int:
    return (await api.http.get("/me", headers=headers)).status_code


def text_of(headers: dict[str, str]) -> str:
    return headers["Authorization"].split()[1]
