"""How a program comes in by itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection


@dataclass(frozen=True, slots=True)
class ClientCredentials:
    """The id and the secret of a client, and the scopes it asks for: all that it has, if none."""

    client_id: str
    client_secret: str = field(repr=False)
    scopes: Collection[str] = ()

    def form(self) -> dict[str, str]:
        """Return the token request (RFC 6749 §4.4.2)."""
        scope = {"scope": " ".join(self.scopes)} if self.scopes else {}
        return {
            "grant_type": "client_credentials",
            "client_id": self.client_id,
            "client_secret": self.client_secret,
            **scope,
        }
