"""The API tokens of whoever calls."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote

from auditlogservice.canonical import Json, dump, parse
from auditlogservice.client.values import as_array, as_moment, as_object, as_text

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from auditlogservice.client.wire import Wire

_JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True, slots=True)
class ApiToken:
    """A long-lived token. Its `text` is there only when it has just been made."""

    id: str
    label: str
    prefix: str
    scopes: tuple[str, ...]
    expires_at: datetime
    last_used_at: datetime | None
    text: str | None = field(default=None, repr=False)


class ApiTokens:
    """The API tokens of the caller."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def all(self) -> list[ApiToken]:
        return self._wire.read(_read_all, self._wire.get("/me/tokens"))

    def create(
        self,
        *,
        label: str = "",
        scopes: Collection[str] | None = None,
        expires_in: int | None = None,
    ) -> ApiToken:
        """Make a token; `expires_in` is in seconds. Made once: a repetition would be another."""
        told: dict[str, Json] = {"label": label}
        if scopes is not None:
            told["scopes"] = list(scopes)
        if expires_in is not None:
            told["expires_in"] = expires_in
        answer = self._wire.post_once("/me/tokens", dump(told), _JSON)
        return self._wire.read(lambda raw: _token(parse(raw)), answer)

    def revoke(self, token_id: str) -> None:
        self._wire.delete(f"/me/tokens/{quote(token_id, safe='')}")


def _read_all(raw: bytes) -> list[ApiToken]:
    return [_token(each) for each in as_array(parse(raw))]


def _token(value: Json) -> ApiToken:
    told = as_object(value)
    used, text = told.get("last_used_at"), told.get("token")
    return ApiToken(
        id=as_text(told.get("id")),
        label=as_text(told.get("label")),
        prefix=as_text(told.get("prefix")),
        scopes=tuple(as_text(scope) for scope in as_array(told.get("scopes"))),
        expires_at=as_moment(told.get("expires_at")),
        last_used_at=None if used is None else as_moment(used),
        text=None if text is None else as_text(text),
    )
