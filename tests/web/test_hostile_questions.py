"""What is an operator, a statement or a pattern elsewhere is text here, wherever it comes in.

Each of the payloads is the name of an event, so that who asks for it as text finds that event and
no other; as an id, a field or a part of a question it finds nothing, or is refused.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from running import EVENT

if TYPE_CHECKING:
    import httpx2

    from running import Api

MONGODB = (
    "$where", "$ne", "$gt", "[$ne]", "$regex", "name[$ne]", '{"$ne": null}', '{"$gt": ""}',
    '{"$regex": ".*"}', '{"$where": "sleep(5000)"}', '{"$expr": {"$eq": [1, 1]}}',
    "{'$or': [{}, {'a': 'a'}]}", "';return true;var a='", "'; sleep(5000); '", "this.a == this.a",
    "function(){while(1);}", "$function", "$$ROOT", "$lookup", "ObjectId('0')", "a.$[].b",
    "__proto__", "constructor.prototype", "$jsonSchema",
)  # fmt: skip
SQL = (
    "'", '"', "`", "';--", "' OR '1'='1", '" OR ""="', "') OR ('1'='1' --",
    "1; DROP TABLE records", "' UNION SELECT * FROM users --", "admin'/*", "\\'", "%", "_", "%%",
    "a%b", "x'||'y", "0x41", "NULL", "1e1000", "CAST(1 AS TEXT)", "randomblob(1000000000)",
    "load_extension('x')", "name MATCH 'x'", "x NEAR y", 'x AND "y', "x*", "NOT x", "{x y}: z",
    "^x", "rowid:1",
)  # fmt: skip
PATTERNS = (
    "(a+)+$", "(a|a)*b", "([a-zA-Z]+)*!", "(.*a){25}", "^(([a-z])+.)+[A-Z]([a-z])+$", "\\", "\\d+",
    "[", "(?=x)", "(" * 200, "*" * 200, "?" * 200, "*a" * 60, "a" * 5_000, "${jndi:ldap://x}",
    "{{7*7}}", "../../etc/passwd", "\x00", "\u202e", "%00", "<script>", "=cmd|' /C calc'!A0",
)  # fmt: skip
PAYLOADS = (*MONGODB, *SQL, *PATTERNS)
MAX_SECONDS = 2.0  # where none takes as many milliseconds


def test_there_are_sixty_payloads_and_more() -> None:
    assert len(set(PAYLOADS)) == len(PAYLOADS) >= 60


class Asker:
    """Asks, and sees that each answer comes soon and is no failure of the service."""

    def __init__(self, api: Api, user: dict[str, str]) -> None:
        self._http = api.http
        self._user = user

    async def __call__(self, method: str, path: str, **more: Any) -> httpx2.Response:
        start = time.monotonic()
        answer = await self._http.request(method, path, headers=self._user, **more)
        assert time.monotonic() - start < MAX_SECONDS, (method, path, more)
        return answer


@pytest.fixture
async def ask(api: Api) -> Asker:
    """Asks a service that has an event of each payload's name."""
    user = await api.add("alice")
    events = [
        {**EVENT, "name": each, "event_data": {"x": each, f"k {each}"[:200]: 1}}
        for each in PAYLOADS
    ]
    answer = await api.http.post("/events/batch", json=events, headers=user)
    assert answer.json()["failed"] == []
    return Asker(api, user)


def names(answer: httpx2.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [each["name"] for each in answer.json()]


async def test_as_a_value_it_finds_itself_and_nothing_else(ask: Asker) -> None:
    for payload in PAYLOADS:
        for field in "name", "event_data.x":
            found = await ask("GET", "/events", params={field: payload})
            assert names(found) == [payload]
            condition = {"field": field, "op": "eq", "value": payload}
            assert names(await ask("POST", "/events/search", json=condition)) == [payload]


async def test_as_a_piece_of_text_it_finds_what_has_it(ask: Asker) -> None:
    for payload in PAYLOADS:
        found = await ask("GET", "/events", params={"event_data.x[contains]": payload})
        if found.status_code == 422:
            continue  # too long, or too short, to look for
        assert payload in names(found)
        assert all(payload.lower() in name.lower() for name in names(found))


async def test_as_a_part_of_a_question_it_is_read_or_refused(ask: Asker) -> None:
    for payload in PAYLOADS:
        for parameters in (
            {"q": payload},
            {"q": f"name:{payload}"},
            {"q": f'"{payload}"'},
            {"name[like]": payload},
            {"event_data.x[gte]": payload},
            {"event_data.x[exists]": payload},
            {f"event_data.{payload}": "1"},
            {f"name[{payload}]": "1"},
            {payload: "1"},
            {"since": payload},
            {"sort": payload},
            {"limit": payload},
            {"cursor": payload},
        ):
            answer = await ask("GET", "/events", params=parameters)
            assert answer.status_code in {200, 400, 422}, (parameters, answer.text)


async def test_as_an_operator_or_a_field_it_is_refused(ask: Asker) -> None:
    for payload in PAYLOADS:
        documents: tuple[dict[str, Any], ...] = (
            {payload: {}},
            {"field": payload, "op": "eq", "value": "x"},
            {"field": "name", "op": payload, "value": "x"},
            {"field": "name", "op": "eq", "value": {payload: "x"}},
            {"field": {payload: 1}, "op": "eq", "value": "x"},
            {"all": [{payload: []}]},
        )
        for document in documents:
            answer = await ask("POST", "/events/search", json=document)
            assert answer.status_code == 422, (document, answer.text)


async def test_as_an_id_or_a_name_it_is_not_there(ask: Asker) -> None:
    for payload in PAYLOADS:
        there = quote(payload, safe="")
        for path in (
            f"/events/{there}",
            f"/events/{there}/proof",
            f"/users/{there}",
            f"/clients/{there}",
            f"/tenants/{there}",
            f"/holds/{there}",
            f"/erasures/{there}",
            f"/ledger/{there}/checkpoint",
            f"/ledger/default/tile/{there}",
        ):
            assert (await ask("GET", path)).status_code == 404, path


async def test_as_a_new_name_it_is_refused_unless_it_is_one(ask: Asker) -> None:
    made = set()
    for payload in PAYLOADS:
        for path, wish in (
            ("/users", {"name": payload, "password": "long enough for a password"}),
            ("/clients", {"name": payload, "scopes": []}),
            ("/tenants", {"name": payload}),
        ):
            answer = await ask("POST", path, json=wish)
            assert answer.status_code in {201, 422}, (path, payload)
            if answer.status_code == 201:
                made.add((path, payload))
    ordinary = "constructor.prototype", "0x41", "NULL", "1e1000"
    people = {(path, name) for path in ("/users", "/clients") for name in ordinary}
    assert made == {*people, ("/tenants", "0x41"), ("/tenants", "1e1000")}


async def test_as_a_user_name_it_signs_nobody_in(api: Api) -> None:
    await api.add("alice")
    for payload in PAYLOADS:
        form = {"username": payload, "password": payload}
        answer = await api.http.post("/token", data=form)
        assert answer.status_code in {400, 429}, payload
