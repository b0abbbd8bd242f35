"""Secrets that were planted wherever one comes in are found nowhere that anybody reads."""

from __future__ import annotations

import base64
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr
from pymongo import MongoClient

from auditlogservice.access import Scope
from auditlogservice.client.timestamping import HttpAuthority
from auditlogservice.errors import AuditLogError
from auditlogservice.ledger.formats.known import FORMATS
from auditlogservice.ledger.identity.passwords import Passwords
from auditlogservice.runtime.cli.credentials import Signed
from auditlogservice.runtime.settings import Settings, load_settings
from auditlogservice.runtime.stores import open_store, utc_now
from auditlogservice.web.routes import tokens as token_routes
from bearers import bearing, enter, get, make, status
from logged import logged
from running import EVENT, Api, running

if TYPE_CHECKING:
    from collections.abc import Iterator

# Each is a word of its own, so that a piece of it is found as well.
PASSWORD = "canary-password-7f3a"
WRONG = "canary-wrong-81c2"
SECRET = "canary-client-secret-55e0"
FORGED = "canary-token-91bb"
CONTENT = "canary-content-3d6f"
QUERY = "canary-query-0a4e"
SCOPE = "canary-scope-b7d5"
DATABASE = "canary-database-c19d"
CANARIES = (PASSWORD, WRONG, SECRET, FORGED, CONTENT, QUERY, SCOPE, DATABASE)
BASIC = base64.b64encode(f"source:{SECRET}".encode()).decode()


def assert_clean(text: str, *more: str) -> None:
    for canary in (*CANARIES, BASIC, *more):
        at = text.find(canary)
        assert at < 0, f"{canary} in: {text[max(0, at - 200) : at + 200]}"


async def use(api: Api) -> tuple[dict[str, str], list[str]]:
    """Do what callers do, well and badly; return a good token's header and what was answered."""
    await api.services.accounts.add("alice", PASSWORD, scopes=frozenset(Scope))
    answer = await api.http.post("/token", data={"username": "alice", "password": PASSWORD})
    user = {"Authorization": f"Bearer {answer.json()['access_token']}"}
    basic = {"Authorization": f"Basic {BASIC}"}
    grant = {"grant_type": "client_credentials", "client_id": "source", "client_secret": SECRET}
    http = api.http
    answers = [
        await http.post("/token", data={"username": "alice", "password": WRONG}),
        await http.post("/token", data={"username": WRONG, "password": WRONG}),
        await http.post("/token", data={"username": "alice", "password": WRONG, "scope": SCOPE}),
        await http.post("/token", data={"username": "alice", "password": [WRONG, WRONG]}),
        await http.post("/token", content=f"password={WRONG}", headers=FORM),
        await http.post("/token", content=f"{WRONG}".encode() + b"\xff", headers=FORM),
        await http.post("/token", json={"username": "alice", "password": WRONG}),
        await http.post("/token", data=grant),
        await http.post("/token", data={"grant_type": "client_credentials"}, headers=basic),
        await http.get("/me", headers=basic),
        await http.get("/me", headers={"Authorization": f"Bearer {FORGED}"}),
        await http.get("/me", headers={"Authorization": f"Bearer {FORGED}.{FORGED}.{FORGED}"}),
        await http.get("/me", headers={"Authorization": FORGED}),
        await http.get("/me", headers={"Cookie": f"session={FORGED}"}),
        await http.get(f"/me?access_token={FORGED}"),
        await http.get(f"/events?detail={QUERY}", headers=user),
        await http.get(f"/events?q=(%22{QUERY}", headers=user),
        await http.post("/events", json={**EVENT, "detail": CONTENT}, headers=user),
        await http.post("/events", json={**EVENT, "detail": [CONTENT]}, headers=user),
        await http.post("/events", content=f'{{"detail": {CONTENT}', headers=user | AS_JSON),
        await http.post("/users", json={"name": "b", "password": PASSWORD[:11]}, headers=user),
        await http.post("/users", json={"name": "b", "password": [PASSWORD]}, headers=user),
        await http.get("/nowhere", headers=user | {"X-Api-Key": FORGED}),
    ]
    # Whoever sent it gets it back: an event that was kept, the flaw of a question or a scope.
    own = {CONTENT, QUERY, SCOPE}
    told = [answer.text for answer in answers if not any(each in answer.text for each in own)]
    assert len(told) > 15
    return user, told


FORM = {"Content-Type": "application/x-www-form-urlencoded"}
AS_JSON = {"Content-Type": "application/json"}


async def test_logs_errors_and_figures_have_no_secret(settings: Settings) -> None:
    with logged("json") as written:
        async with running(settings) as api:
            user, answers = await use(api)
            answers.append((await api.http.get("/metrics")).text)
    token = user["Authorization"].removeprefix("Bearer ")
    assert "/token" in written.getvalue()
    for text in (written.getvalue(), *answers):
        assert_clean(text, token, token.rpartition(".")[2])


@pytest.mark.parametrize("form", ["json", "console"])
async def test_a_defect_that_is_logged_shows_no_secret(
    memory_api: Api, monkeypatch: pytest.MonkeyPatch, form: Any
) -> None:
    """A traceback has lines of the program, and none of its values."""

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("a defect")

    user, _ = await use(memory_api)
    token = user["Authorization"].removeprefix("Bearer ")
    with logged(form) as written:
        for target, name in (
            (Passwords, "verify"),
            (type(memory_api.services.tokens), "check"),
            (token_routes, "format_scopes"),
        ):
            with monkeypatch.context() as patch:
                patch.setattr(target, name, broken)
                secret = {"username": "alice", "password": PASSWORD}
                answers = [
                    await memory_api.http.post("/token", data=secret),
                    await memory_api.http.get("/me", headers=user),
                ]
            assert 500 in {answer.status_code for answer in answers}
            for answer in answers:
                assert answer.status_code == 200 or "Traceback" not in answer.text
                assert_clean("" if answer.status_code == 200 else answer.text, token)
    assert "a defect" in written.getvalue()
    assert_clean(written.getvalue(), token)


async def test_no_object_shows_its_secret(memory_api: Api) -> None:
    user, _ = await use(memory_api)
    token = user["Authorization"].removeprefix("Bearer ")
    named = await memory_api.services.accounts.user("alice")
    issued = await memory_api.services.tokens.issue(named)
    objects = list(reached([memory_api.services, named, issued, Signed("u", {"u": token})]))
    assert len(objects) > 30
    for each in objects:
        assert_clean(repr(each), token, issued.text, named.password_hash)


async def test_no_secret_that_is_in_use_is_written_answered_exported_or_kept(
    settings: Settings,
) -> None:
    """Each kind is shown to whoever is to have it, once, and is then nowhere any more."""
    outside = {
        "oidc_issuer": "http://127.0.0.1:1",  # nobody is there, and nobody has to be
        "oidc_client_id": "us",
        "oidc_client_secret": SecretStr(SECRET),
    }
    node = settings.model_copy(update={**outside, "self_audit": "full"})
    with logged("json") as written:
        async with running(node) as api:
            user, secrets = await issue_each_kind(api)
            told = await everything_told(api, user)
            objects = "".join(map(repr, reached([api.services])))
    for text in (written.getvalue(), *told, objects, repr(node), *kept(node.store)):
        assert_clean(text, *secrets)


async def issue_each_kind(api: Api) -> tuple[dict[str, str], list[str]]:
    """Have a secret of each kind made, and used; return a good token's header and all of them."""
    await api.services.accounts.add("alice", PASSWORD, scopes=frozenset(Scope))
    signed = await api.http.post("/token", data={"username": "alice", "password": PASSWORD})
    user = {"Authorization": f"Bearer {signed.json()['access_token']}"}
    own = await get(api, user)
    client, secret = await make(api, user)
    other = await enter(api, client, secret)
    form = {"username": "alice", "password": PASSWORD}
    page = await api.http.post("/signin", data=form, headers={"Sec-Fetch-Site": "same-origin"})
    cookie = page.headers["set-cookie"].partition(";")[0]
    assert await status(api, {"Cookie": cookie}) == 200
    assert await status(api, bearing(own)) == 200
    rules = {"rules": [{"path": "event_data.card", "action": "drop"}]}
    await api.http.put("/redaction", json=rules, headers=user)
    await api.record(user, event_data={"card": CONTENT})
    signatures = [each["access_token"].rpartition(".")[2] for each in (signed.json(), other)]
    return user, [own["token"], secret, cookie.partition(".")[2], *signatures]


async def everything_told(api: Api, user: dict[str, str]) -> list[str]:
    """What is answered to somebody who may ask for all there is."""
    paths = ["/events", "/users", "/clients", "/me", "/me/tokens", "/tenants", "/redaction"]
    paths += ["/openapi.json", "/metrics", "/limits", "/.well-known/jwks.json"]
    paths += [f"/events/export?format={form}" for form in FORMATS]
    answers = [await api.http.get(path, headers=user) for path in paths]
    assert {answer.status_code for answer in answers} == {200}
    return [answer.content.decode("latin-1") for answer in answers]


def kept(store: str) -> list[str]:
    """What is in the store, for whoever gets hold of it."""
    if store.startswith("sqlite"):
        path = Path(store.removeprefix("sqlite:///"))
        return [each.read_bytes().decode("latin-1") for each in path.parent.glob("audit.db*")]
    with MongoClient[dict[str, Any]](store) as mongo:
        database = mongo.get_default_database()
        names = database.list_collection_names()
        found = [repr(list(database[name].find())) for name in names]
    assert "alice" in "".join(found)
    return found


def reached(roots: list[object]) -> Iterator[object]:
    """Everything of this package that can be reached from these."""
    seen: set[int] = set()
    waiting = deque(roots)
    while waiting:
        each = waiting.popleft()
        if id(each) in seen:
            continue
        seen.add(id(each))
        if type(each).__module__.startswith("auditlogservice"):
            yield each
            names = {*getattr(each, "__dict__", {}), *getattr(type(each), "__slots__", ())}
            waiting.extend(getattr(each, name) for name in names if hasattr(each, name))
        elif isinstance(each, dict):
            waiting.extend(each.values())
        elif isinstance(each, list | tuple | set | deque):
            waiting.extend(each)


# ---- addresses with a password ----------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        f"mongodb://audit:{DATABASE}@127.0.0.1:port/audit",
        f"mongodb://audit:{DATABASE}@:@127.0.0.1/audit",
        f"mongodb://audit:{DATABASE}@127.0.0.1/audit?nonsense=1",
        f"postgres://audit:{DATABASE}@127.0.0.1/audit",
    ],
)
async def test_the_password_of_the_database_is_in_no_message_and_no_repr(
    tmp_path: Path, url: str
) -> None:
    await assert_refused_cleanly(Settings(store=url, data_dir=tmp_path))


async def test_nor_is_one_that_the_database_refuses(tmp_path: Path, mongodb_url: str) -> None:
    url = mongodb_url.replace("mongodb://", f"mongodb://audit:{DATABASE}@")
    await assert_refused_cleanly(Settings(store=url, data_dir=tmp_path))


async def assert_refused_cleanly(settings: Settings) -> None:
    with logged("json") as written, pytest.raises(AuditLogError) as caught:
        await open_store(settings)
    for text in (str(caught.value), repr(caught.value), repr(settings), str(settings)):
        assert_clean(text)
    assert_clean(written.getvalue())


def test_a_setting_that_is_refused_is_not_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("PORT", "TIMESTAMP_URL", "TOKEN_TTL", "LEDGER_HOST", "LOG_LEVEL"):
        with monkeypatch.context() as patch:
            patch.setenv(f"AUDITLOG_{name}", f"+/{DATABASE}")
            with pytest.raises(AuditLogError) as caught:
                load_settings()
            assert_clean(str(caught.value))


def test_the_password_of_a_timestamp_authority_is_not_in_its_name(tmp_path: Path) -> None:
    url = f"https://us:{DATABASE}@tsa.example:8080/"
    settings = Settings(data_dir=tmp_path, timestamp_url=url)
    assert_clean(repr(settings))
    authority = HttpAuthority(None, url, clock=utc_now)  # type: ignore[arg-type] # it is not asked
    assert authority.name == "tsa.example:8080"
