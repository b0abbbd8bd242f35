"""A token goes to whom it claims to be of, and to nobody else."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field

import pytest

from auditlogservice.access import Principal
from auditlogservice.errors import NotAuthenticated
from auditlogservice.ledger.identity.callers import MAX_TOKEN_BYTES, Callers
from auditlogservice.ledger.identity.inspected import Inspected
from strategies import NOON

FOREIGN = "https://id.example"


@dataclass
class Checks:
    """Believes everything, and remembers what it was shown."""

    name: str
    issuer: str = FOREIGN
    shown: list[str] = field(default_factory=list)

    async def check(self, text: str) -> Principal:
        self.shown.append(text)
        return Principal(user_id="1", name=self.name, tenant="acme", scopes=frozenset())

    async def inspect(self, text: str) -> Inspected:
        return Inspected(
            principal=await self.check(text), issuer=self.name, issued_at=NOON, expires_at=NOON
        )

    async def revoke(self, text: str) -> None:
        await self.check(text)


def token(claims: object) -> str:
    parts = [json.dumps(part).encode() for part in ({"alg": "Ed25519"}, claims)]
    encoded = [base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts]
    return ".".join([*encoded, "c2lnbmF0dXJl"])


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        (token({"iss": FOREIGN}), "external"),
        (token({"iss": "http://localhost:8080"}), "own"),
        (token({"iss": FOREIGN + "/"}), "own"),
        (token({"iss": [FOREIGN]}), "own"),
        (token({"sub": FOREIGN}), "own"),
        (token([FOREIGN]), "own"),
        ("a.b.c", "own"),
        ("als_" + token({"iss": FOREIGN}), "api"),
        ("ALS_x", "own"),
        ("", "own"),
        (token({"iss": FOREIGN}) + ".more", "own"),
    ],
)
async def test_a_token_is_checked_by_whom_it_names_as_its_issuer(text: str, asked: str) -> None:
    callers = Callers(Checks("own"), Checks("api"), external=Checks("external"))
    assert (await callers.check(text)).name == asked


async def test_without_an_external_issuer_every_token_is_checked_as_ours() -> None:
    assert (
        await Callers(Checks("own"), Checks("api")).check(token({"iss": FOREIGN}))
    ).name == "own"


@pytest.mark.parametrize("text", ["a" * (MAX_TOKEN_BYTES + 1), "ä.b.c", "\ud800"])
async def test_what_is_too_long_or_not_ascii_is_shown_to_nobody(text: str) -> None:
    own, external = Checks("own"), Checks("external")
    with pytest.raises(NotAuthenticated):
        await Callers(own, Checks("api"), external=external).check(text)
    assert (own.shown, external.shown) == ([], [])


async def test_a_token_of_the_longest_length_is_looked_at() -> None:
    assert (await Callers(Checks("own"), Checks("api")).check("a" * MAX_TOKEN_BYTES)).name == "own"


@pytest.mark.parametrize(("text", "asked"), [("als_x", "api"), ("a.b.c", "own")])
async def test_a_token_is_looked_at_and_ended_by_whoever_issued_it(text: str, asked: str) -> None:
    own, api = Checks("own"), Checks("api")
    callers = Callers(own, api, external=Checks("external"))
    assert (await callers.inspect(text)).issuer == asked
    await callers.revoke(text)
    shown = {"own": own.shown, "api": api.shown}
    assert shown == {"own": [], "api": [], asked: [text, text]}


@pytest.mark.parametrize("text", ["a" * (MAX_TOKEN_BYTES + 1), "ä.b.c"])
async def test_what_can_be_no_token_is_neither_looked_at_nor_ended(text: str) -> None:
    own = Checks("own")
    callers = Callers(own, own)
    for call in (callers.inspect, callers.revoke):
        with pytest.raises(NotAuthenticated):
            await call(text)
    assert own.shown == []
