"""Tokens are ended, looked at and found out about as the RFCs say, and refused as they say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

from auditlogservice.access import Scope
from auditlogservice.ledger.identity.credentials import MAX_REVOKED
from auditlogservice.runtime.cli.keys import retire_key
from bearers import basic, bearing, enter, get, make, status, text_of
from running import PASSWORD, running, two_nodes
from watching import own_records

if TYPE_CHECKING:
    from auditlogservice.runtime.settings import Settings
    from running import Api

INACTIVE = {"active": False}


async def revoke(api: Api, text: str, **more: Any) -> int:
    answer = await api.http.post("/revoke", data={"token": text, **more.pop("form", {})}, **more)
    return answer.status_code


async def introspect(api: Api, text: str, headers: dict[str, str]) -> dict[str, Any]:
    answer = await api.http.post("/introspect", data={"token": text}, headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    told: dict[str, Any] = answer.json()
    return told


# ---- RFC 7009 -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["of a user", "of a client", "api token"])
async def test_a_revoked_token_is_out_on_every_node_within_a_second_and_no_other_is(
    settings: Settings, kind: str
) -> None:
    async with two_nodes(settings) as (one, other):
        admin = await one.add("admin")
        client, secret = await make(one, admin)

        async def token() -> dict[str, str]:
            match kind:
                case "of a user":
                    return await one.sign_in("admin")
                case "of a client":
                    text = (await enter(one, client, secret))["access_token"]
                    return {"Authorization": f"Bearer {text}"}
                case _:
                    return bearing(await get(one, admin))

        ended, left = await token(), await token()
        for node in (one, other):
            assert await status(node, ended) == 200
        assert await revoke(one, text_of(ended)) == 200
        assert await status(one, ended) == 401  # at once, where it was done
        other.time.advance(seconds=1)
        assert [await status(other, each) for each in (ended, left)] == [401, 200]
        assert await status(one, left) == 200
        one.time.advance(hours=1)  # and it does not come back
        assert await status(one, ended) == 401


@pytest.mark.parametrize("text", ["", "x", "als_x", "a.b.c", "ä", "x" * 5_000, "\0"])
async def test_the_end_of_what_was_never_a_token_is_no_error(memory_api: Api, text: str) -> None:
    assert await revoke(memory_api, text) == 200


async def test_a_hint_of_any_kind_is_taken(memory_api: Api) -> None:
    user = await memory_api.add("alice")
    for hint in ("access_token", "refresh_token", "nonsense"):
        token = bearing(await get(memory_api, user, label=hint))
        assert await revoke(memory_api, text_of(token), form={"token_type_hint": hint}) == 200
        assert await status(memory_api, token) == 401


async def test_a_client_may_say_who_it_is_and_not_who_it_is_not(memory_api: Api) -> None:
    client, secret = await make(memory_api, await memory_api.add("admin"))
    token = (await enter(memory_api, client, secret))["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    assert await revoke(memory_api, token, headers=basic(client, "wrong")) == 401
    assert await status(memory_api, headers) == 200
    assert await revoke(memory_api, token, headers=basic(client, secret)) == 200
    assert await status(memory_api, headers) == 401


async def test_a_form_without_a_token_is_refused(memory_api: Api) -> None:
    admin = await memory_api.add("admin")
    for path in ("/revoke", "/introspect"):
        answer = await memory_api.http.post(path, data={"x": "y"}, headers=admin)
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


async def test_who_revokes_without_end_ends_all_of_their_tokens_and_fills_nothing(
    memory_api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert MAX_REVOKED <= 10_000  # each check of a token reads them
    monkeypatch.setattr("auditlogservice.ledger.identity.credentials.MAX_REVOKED", 2)
    await memory_api.add("alice")
    tokens = [await memory_api.sign_in("alice") for _ in range(4)]
    for token in tokens[:2]:
        await revoke(memory_api, text_of(token))
    assert [await status(memory_api, each) for each in tokens] == [401, 401, 200, 200]
    await revoke(memory_api, text_of(tokens[2]))
    assert [await status(memory_api, each) for each in tokens] == [401] * 4
    memory_api.time.advance(seconds=1)
    assert await status(memory_api, await memory_api.sign_in("alice")) == 200


# ---- RFC 7662 -------------------------------------------------------------------------------


async def test_a_token_is_described_to_its_owner(api: Api) -> None:
    user = await api.add("alice", Scope.EVENTS_READ)
    told = await introspect(api, text_of(user), user)
    assert told == {
        "active": True,
        "scope": "events:read",
        "client_id": "alice",
        "username": "alice",
        "token_type": "bearer",
        "exp": told["iat"] + 43_200,
        "iat": told["iat"],
        "sub": (await api.services.accounts.user("alice")).id,
        "aud": "http://localhost:8080",
        "iss": "http://localhost:8080",
        "jti": told["jti"],
    }
    token = await get(api, user)
    told = await introspect(api, token["token"], user)
    assert (told["active"], told["jti"], told["scope"]) == (True, token["id"], "events:read")


async def test_a_client_looks_at_its_own_tokens_with_its_secret(memory_api: Api) -> None:
    admin = await memory_api.add("admin")
    client, secret = await make(memory_api, admin)
    token = (await enter(memory_api, client, secret))["access_token"]
    told = await introspect(memory_api, token, basic(client, secret))
    assert (told["client_id"], told["username"]) == (client, "client:web-shop")
    assert await introspect(memory_api, text_of(admin), basic(client, secret)) == INACTIVE


async def test_the_tokens_of_others_are_for_managers_of_their_tenant(memory_api: Api) -> None:
    alice = await memory_api.add("alice", Scope.EVENTS_READ)
    bob = await memory_api.add("bob", Scope.EVENTS_READ)
    manager = await memory_api.add("manager", Scope.USERS_MANAGE)
    stranger = await memory_api.add("stranger", tenant="other")
    for caller, active in ((alice, True), (bob, False), (manager, True), (stranger, False)):
        told = await introspect(memory_api, text_of(alice), caller)
        assert told["active"] is active
        assert active or told == INACTIVE


async def test_what_is_good_for_nothing_looks_alike(memory_api: Api) -> None:
    admin = await memory_api.add("admin")
    ended = await memory_api.sign_in("admin")
    await revoke(memory_api, text_of(ended))
    for text in (text_of(ended), "", "x", "als_x", "a.b.c", "x" * 5_000):
        assert await introspect(memory_api, text, admin) == INACTIVE


async def test_to_look_at_a_token_is_no_use_of_it(memory_api: Api) -> None:
    user = await memory_api.add("alice")
    token = await get(memory_api, user)
    await introspect(memory_api, token["token"], user)
    (listed,) = (await memory_api.http.get("/me/tokens", headers=user)).json()
    assert listed["last_used_at"] is None


async def test_a_stranger_learns_nothing_of_a_token(memory_api: Api) -> None:
    token = text_of(await memory_api.add("alice"))
    answer = await memory_api.http.post("/introspect", data={"token": token})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == 'Bearer realm="auditlogservice"'


# ---- RFC 8414 and the keys ------------------------------------------------------------------


async def test_the_metadata_names_addresses_that_answer(memory_api: Api) -> None:
    answer = await memory_api.http.get("/.well-known/oauth-authorization-server")
    assert answer.headers["cache-control"].startswith("public, max-age=")
    told = answer.json()
    issuer = told["issuer"]
    assert issuer == "http://localhost:8080"
    assert told["scopes_supported"] == list(Scope)
    assert set(told["grant_types_supported"]) == {"password", "client_credentials"}
    for name in ("token_endpoint", "revocation_endpoint", "introspection_endpoint"):
        assert told[name].startswith(issuer + "/")
        answer = await memory_api.http.post(told[name].removeprefix(issuer), data={"x": "y"})
        assert answer.status_code in {400, 401}, name
    keys = await memory_api.http.get(told["jwks_uri"].removeprefix(issuer))
    assert keys.status_code == 200


async def test_anybody_can_check_a_token_of_any_node_with_the_published_keys(
    settings: Settings,
) -> None:
    async with two_nodes(settings) as (one, other):
        tokens = [text_of(await one.add("alice")), text_of(await other.sign_in("alice"))]
        for node in (one, other):
            answer = await node.http.get("/.well-known/jwks.json")
            assert answer.headers["cache-control"].startswith("public, max-age=")
            keys = KeySet.import_key_set(answer.json())
            for text in tokens:
                claims = jwt.decode(text, keys, algorithms=["Ed25519"]).claims
                assert claims["client_id"] == "alice"
            for key in answer.json()["keys"]:
                assert "d" not in key
                assert (key["kty"], key["use"], key["alg"]) == ("OKP", "sig", "Ed25519")


async def test_a_key_is_listed_before_it_has_signed_anything(memory_api: Api) -> None:
    answer = await memory_api.http.get("/.well-known/jwks.json")
    assert len(answer.json()["keys"]) == 1


# ---- key rotation ---------------------------------------------------------------------------


async def key_ids(api: Api) -> set[str]:
    answer = await api.http.get("/.well-known/jwks.json")
    return {key["kid"] for key in answer.json()["keys"]}


async def test_a_key_that_had_its_day_is_followed_by_another_and_its_tokens_stay_good(
    api: Api,
) -> None:
    old = await api.add("alice")
    (first,) = await key_ids(api)
    api.time.advance(days=89)
    await api.sign_in("alice")
    assert await key_ids(api) == {first}
    api.time.advance(days=1, seconds=-60)
    last = await api.sign_in("alice")
    api.time.advance(seconds=120)
    new = await api.sign_in("alice")
    both = await key_ids(api)
    assert len(both) == 2
    assert first in both
    assert [await status(api, each) for each in (old, last, new)] == [401, 200, 200]
    api.time.advance(days=3)  # until its last token has ended, and a day
    await api.sign_in("alice")
    assert await key_ids(api) == both - {first}


async def test_what_a_retired_key_signed_is_out_on_every_node_within_a_second(
    settings: Settings,
) -> None:
    async with two_nodes(settings) as (one, other):
        stolen, unhurt = await one.add("alice"), await other.sign_in("alice")
        told = await one.http.get("/.well-known/jwks.json")
        mine = next(
            key["kid"]
            for key in told.json()["keys"]
            if key["kid"] == one.services.tokens._keys._own.current().thumbprint()
        )
        for node in (one, other):
            assert [await status(node, each) for each in (stolen, unhurt)] == [200, 200]
        await retire_key(settings.store_url, settings.data_dir, mine)
        (said,) = await own_records(one, "audit.key.retired")
        assert (said["targets"], said["event_data"]) == (
            [{"type": "key", "id": mine}],
            {"signs": "tokens"},
        )
        for node in (one, other):
            node.time.advance(seconds=1)
            assert [await status(node, each) for each in (stolen, unhurt)] == [401, 200]
            assert mine not in await key_ids(node)
        fresh = await one.sign_in("alice")  # with another key, which it made by itself
        for node in (one, other):
            assert await status(node, fresh) == 200
            assert mine not in await key_ids(node)
    async with running(settings) as again:
        assert await status(again, stolen) == 401


# ---- RFC 6750 -------------------------------------------------------------------------------


async def test_a_refusal_says_what_is_missing_as_rfc_6750_has_it(memory_api: Api) -> None:
    writer = await memory_api.add("writer", Scope.EVENTS_WRITE)
    realm = 'Bearer realm="auditlogservice"'
    for headers, expected, said in (
        ({}, 401, realm),
        ({"Authorization": "Basic YTpi"}, 401, realm),
        ({"Authorization": "Bearer x"}, 401, f'{realm}, error="invalid_token"'),
        (writer, 403, f'{realm}, error="insufficient_scope", scope="events:read"'),
    ):
        answer = await memory_api.http.get("/events", headers=headers)
        assert answer.status_code == expected
        told = answer.headers["www-authenticate"]
        assert told == said if expected == 403 or said == realm else told.startswith(said)


async def test_a_token_in_the_address_or_in_the_body_is_none(memory_api: Api) -> None:
    """Addresses stand in logs and histories (RFC 9700 §4.3.2)."""
    token = text_of(await memory_api.add("alice"))
    answer = await memory_api.http.get("/me", params={"access_token": token})
    assert answer.status_code == 401
    form = {"access_token": token}
    assert (await memory_api.http.post("/events", data=form)).status_code == 401


async def test_no_answer_with_a_token_is_kept_by_a_cache(memory_api: Api) -> None:
    await memory_api.add("alice")
    form = {"username": "alice", "password": PASSWORD}
    answer = await memory_api.http.post("/token", data=form)
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["pragma"] == "no-cache"
