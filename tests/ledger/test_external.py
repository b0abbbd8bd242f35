"""What of an external issuer's is believed: its access tokens for this service, and no other."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from issuing import (
    AUDIENCE,
    CLIENT,
    EC,
    ED,
    NAME,
    NOW,
    RSA,
    STRANGER,
    Issuer,
    Lines,
    access_claims,
    moment,
    sign,
    sign_under,
)
from joserfc.jwk import ECKey

from auditlogservice.access import Scope
from auditlogservice.errors import IssuerUnreachable, MalformedInput, NotAuthenticated
from auditlogservice.ledger.identity.external import ACCESS_TOKEN, LEEWAY, Expected, ExternalTokens
from auditlogservice.ledger.identity.identities import ClaimRules
from auditlogservice.ledger.identity.issuerkeys import IssuerKeys


def tokens_of(
    issuer: Issuer | None = None, *, tenant_claim: str = "", **other: Any
) -> ExternalTokens:
    told: dict[str, Any] = {"audience": AUDIENCE, "client_id": CLIENT, **other}
    return ExternalTokens(
        IssuerKeys(issuer or Issuer(), journal=Lines(), pause=60),
        expected=Expected(issuer=NAME, **told),
        rules=ClaimRules(tenant_claim=tenant_claim),
        clock=lambda: NOW,
    )


@pytest.mark.parametrize(
    "text",
    [
        sign(access_claims()),
        sign(access_claims(), RSA),
        sign(access_claims(), RSA, alg="PS384"),
        sign(access_claims(), EC),
        sign(access_claims(), typ="application/at+jwt"),
        sign(access_claims(), typ="JWT"),
        sign(access_claims(), typ=None),
        sign(access_claims(), x5t="of a certificate", unheard="of"),
        sign(access_claims(aud=["account", AUDIENCE])),
        sign(access_claims(exp=moment(seconds=1 - LEEWAY))),
        sign(access_claims(nbf=moment(seconds=LEEWAY), iat=moment(seconds=LEEWAY))),
        sign(access_claims(iat=None, typ="Bearer")),
    ],
)
async def test_an_access_token_for_this_service_is_good(text: str) -> None:
    principal = await tokens_of().check(text)
    assert principal.name == "oidc:42"
    assert principal.scopes == {Scope.EVENTS_READ}
    assert principal.tenant == "default"


async def test_ed25519_goes_by_its_older_name_too() -> None:
    header = {"alg": "EdDSA", "kid": "ed", "typ": "at+jwt"}
    assert (await tokens_of().check(sign_under(header, access_claims()))).name == "oidc:42"


UNSIGNED = base64.urlsafe_b64encode(b'{"alg":"none","typ":"at+jwt"}').decode().rstrip("=")


@pytest.mark.parametrize(
    "text",
    [
        # not this issuer's, or not for us
        sign(access_claims(iss="https://id.example/realms/staff/")),
        sign(access_claims(iss=["https://id.example/realms/staff"])),
        sign(access_claims(iss=None)),
        sign(access_claims(aud="another")),
        sign(access_claims(aud=[])),
        sign(access_claims(aud=None)),
        sign(access_claims(aud={"auditlog": 1})),
        sign(access_claims(sub=None)),
        sign(access_claims(sub="")),
        sign(access_claims(sub=42)),
        # not now
        sign(access_claims(exp=moment(seconds=-LEEWAY))),
        sign(access_claims(exp=None)),
        sign(access_claims(exp=str(moment(hours=1)))),
        sign(access_claims(exp=True)),
        sign(access_claims(nbf=moment(seconds=LEEWAY + 1))),
        sign(access_claims(iat=moment(seconds=LEEWAY + 1))),
        # another kind of token
        sign(access_claims(), typ="id+jwt"),
        sign(access_claims(), typ="logout+jwt"),
        sign(access_claims(), typ="dpop+jwt"),
        sign(access_claims(nonce="n")),
        sign(access_claims(at_hash="h")),
        sign(access_claims(c_hash="h")),
        sign(access_claims(events={})),
        sign(access_claims(cnf={"jkt": "k"})),
        sign(access_claims(typ="ID")),
        sign(access_claims(typ="Refresh")),
        # not signed by a key of the issuer
        sign(access_claims(), STRANGER),
        sign(access_claims(), STRANGER, kid="ed"),
        sign(access_claims(), STRANGER, kid="ed", jwk=STRANGER.as_dict(private=False)),
        sign(access_claims(), kid=None),
        sign(access_claims(), kid="../../ed"),
        sign_under(
            {"alg": "Ed25519", "kid": "ed", "typ": "at+jwt", "crit": ["unheard"], "unheard": 1},
            access_claims(),
        ),
        sign_under({"alg": "Ed25519", "kid": ["ed"], "typ": "at+jwt"}, access_claims()),
        sign_under({"alg": "Ed25519", "kid": "ed", "typ": 7}, access_claims()),
        sign_under({"alg": "Ed448", "kid": "ed", "typ": "at+jwt"}, access_claims()),
        f"{UNSIGNED}.{sign(access_claims()).split('.')[1]}.",
        sign(access_claims())[:-4],
        # no token at all
        "", "a.b.c", "...", "a" * 4000,
    ],
)  # fmt: skip
async def test_whatever_else_the_issuer_or_anybody_signed_is_refused(text: str) -> None:
    with pytest.raises(NotAuthenticated):
        await tokens_of().check(text)


@pytest.mark.parametrize(
    "name", ["RS256", "ES384", "HS256", "none", "A256GCM", 7, None, ["RS256"]]
)
async def test_a_key_verifies_what_it_is_for_and_nothing_else(name: object) -> None:
    told = sign(access_claims(), EC).split(".")
    header = json.dumps({"alg": name, "kid": "ec", "typ": "at+jwt"}).encode()
    told[0] = base64.urlsafe_b64encode(header).decode().rstrip("=")
    with pytest.raises(NotAuthenticated):
        await tokens_of().check(".".join(told))


async def test_a_public_key_is_no_shared_secret() -> None:
    header = {"alg": "HS256", "kid": "ed", "typ": "at+jwt"}
    for public in (json.dumps(ED.as_dict(private=False)).encode(), ED.as_pem(private=False)):
        with pytest.raises(NotAuthenticated):
            await tokens_of().check(sign_under(header, access_claims(), public))


async def test_a_key_that_names_its_algorithm_is_for_that_alone() -> None:
    key = ECKey.generate_key("P-256", {"kid": "x"})
    published = {**key.as_dict(private=False), "alg": "ES384"}
    with pytest.raises(NotAuthenticated):
        await tokens_of(Issuer([published])).check(sign(access_claims(), key))


async def test_only_the_type_of_rfc_9068_is_good_where_that_is_asked_for() -> None:
    tokens = tokens_of(types=ACCESS_TOKEN)
    assert (await tokens.check(sign(access_claims()))).name == "oidc:42"
    for other in ("JWT", None):
        with pytest.raises(NotAuthenticated):
            await tokens.check(sign(access_claims(), typ=other))


async def test_an_id_token_is_no_access_token_even_where_both_have_one_audience() -> None:
    tokens = tokens_of(audience=CLIENT)
    bare = access_claims(aud=CLIENT)  # an ID token need not have a nonce
    for kind in ("JWT", None):
        with pytest.raises(NotAuthenticated):
            await tokens.check(sign(bare, typ=kind))
    assert (await tokens.check(sign(bare))).name == "oidc:42"


async def test_without_an_audience_no_access_token_is_good() -> None:
    with pytest.raises(NotAuthenticated):
        await tokens_of(audience="").check(sign(access_claims(aud="")))


async def test_who_has_no_tenant_here_is_not_let_in() -> None:
    tokens = tokens_of(tenant_claim="org")
    with pytest.raises(NotAuthenticated):
        await tokens.check(sign(access_claims()))
    assert (await tokens.check(sign(access_claims(org="acme")))).tenant == "acme"


async def test_while_no_key_was_ever_known_nobody_can_tell() -> None:
    with pytest.raises(IssuerUnreachable):
        await tokens_of(Issuer(down=True)).check(sign(access_claims()))


# ---- ID tokens --------------------------------------------------------------------------


def identity(**other: object) -> dict[str, object]:
    return access_claims(**{"aud": CLIENT, "scope": None, "nonce": "n", **other})


ACCESS = "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y"
HASH_256 = "77QmUPtjPfzWtF2AnpK9RQ"  # the example of OpenID Connect Core, Appendix A.3


async def name_in(text: str, **other: Any) -> str:
    tokens = tokens_of(**other)
    return (await tokens.check_identity(text, nonce="n", access_token=ACCESS)).name


@pytest.mark.parametrize(
    "text",
    [
        sign(identity(), typ="JWT"),
        sign(identity(), typ=None),
        sign(identity(aud=[CLIENT, "other"]), typ=None),
        sign(identity(azp=CLIENT), typ=None),
        sign(identity(at_hash=HASH_256), EC, typ=None),
        sign(identity(at_hash=HASH_256), RSA, typ=None),
    ],
)
async def test_an_id_token_tells_who_has_signed_in(text: str) -> None:
    assert await name_in(text) == "oidc:42"


@pytest.mark.parametrize(
    "text",
    [
        sign(identity(nonce="m"), typ=None),
        sign(identity(nonce=["n"]), typ=None),
        sign(identity(nonce=None), typ=None),
        sign(identity(aud=AUDIENCE), typ=None),
        sign(identity(azp="other"), typ=None),
        sign(identity(at_hash=HASH_256), typ=None),  # Ed25519 has another hash
        sign(identity(at_hash="x"), EC, typ=None),
        sign(identity(at_hash=["x"]), EC, typ=None),
        sign(identity(exp=moment(minutes=-5)), typ=None),
        sign(identity(iss="https://other.example"), typ=None),
        sign(identity(), typ="at+jwt"),
        sign(identity(), STRANGER, typ=None, kid="ed"),
        "\ud800",
    ],
)
async def test_an_id_token_of_another_sign_in_client_or_time_is_refused(text: str) -> None:
    with pytest.raises(NotAuthenticated):
        await name_in(text)


async def test_an_id_token_of_somebody_without_a_tenant_says_what_is_missing() -> None:
    with pytest.raises(MalformedInput, match="org"):
        await name_in(sign(identity(), typ=None), tenant_claim="org")
