"""Bad inputs and their answers: one table, on both stores. Nothing of them is ever kept."""

from __future__ import annotations

import gzip
import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qs, quote, urlsplit

import pytest
import zstandard

from auditlogservice.runtime.stores import utc_now
from auditlogservice.web.problems import MEDIA_TYPE

if TYPE_CHECKING:
    from running import Api

GOOD = b'{"name":"n","event_type":"t","detail":"d"}'
BOMB = gzip.compress(b" " * 300_000_000, 1)


class Bad(NamedTuple):
    """One bad POST /events, or another call."""

    what: str
    status: int
    body: bytes = b""
    headers: dict[str, str] = {}  # noqa: RUF012 - a table's cell, never changed
    pointer: str | None = None
    call: str = "POST /events"


def asked(query: str, status: int, pointer: str | None = None) -> Bad:
    """A bad question in the address."""
    return Bad(query, status, pointer=pointer, call=f"GET /events?{query}")


def call(line: str, status: int) -> Bad:
    """Another bad call, without a body."""
    return Bad(line, status, call=line)


def event(**told: Any) -> bytes:
    return json.dumps({"name": "n", "event_type": "t", "detail": "d", **told}).encode()


def with_data(raw: str) -> bytes:
    return GOOD[:-1] + b',"event_data":' + raw.encode() + b"}"


def ahead(**by: float) -> str:
    return (utc_now() + timedelta(**by)).isoformat()


def nested(depth: int) -> str:
    return '{"a":' * depth + "1" + "}" * depth


NOTHING = {"content-type": "application/json"}
BAD = [
    Bad("over 256 KiB", 413, event(detail="x" * 300_000)),
    Bad("over 256 KiB once inflated", 413, gzip.compress(event(detail="x" * 300_000)),
        {"content-encoding": "gzip"}),
    Bad("a gzip bomb", 413, BOMB, {"content-encoding": "gzip"}),
    Bad("a zstd bomb", 413, zstandard.compress(b" " * 50_000_000), {"content-encoding": "zstd"}),
    Bad("an unknown encoding", 415, GOOD, {"content-encoding": "br"}),
    Bad("two encodings", 415, GOOD, {"content-encoding": "gzip, gzip"}),
    Bad("plain text", 415, GOOD, {"content-type": "text/plain"}),
    Bad("a form", 415, b"name=n", {"content-type": "application/x-www-form-urlencoded"}),
    Bad("gzip that is none", 400, GOOD, {"content-encoding": "gzip"}),
    Bad("gzip cut short", 400, gzip.compress(GOOD)[:-9], {"content-encoding": "gzip"}),
    Bad("zstd that is none", 400, GOOD, {"content-encoding": "zstd"}),
    Bad("zstd cut short", 400, zstandard.compress(GOOD * 50)[:-9], {"content-encoding": "zstd"}),
    Bad("gzip in too many members", 400, gzip.compress(GOOD) + gzip.compress(b"") * 20,
        {"content-encoding": "gzip"}),
    Bad("zstd in too many frames", 400, zstandard.compress(GOOD) + zstandard.compress(b"") * 20,
        {"content-encoding": "zstd"}),
    Bad("zstd cut between frames", 400, (zstandard.compress(GOOD) + zstandard.compress(b" "))[:-2],
        {"content-encoding": "zstd"}),
    Bad("an empty body", 400, b""),
    Bad("broken JSON", 400, GOOD[:-1]),
    Bad("bytes behind the end", 400, GOOD + b"x"),
    Bad("two documents", 400, GOOD + GOOD),
    Bad("NaN", 400, with_data('{"x":NaN}')),
    Bad("-Infinity", 400, with_data('{"x":-Infinity}')),
    Bad("a key twice", 400, b'{"name":"a",' + GOOD[1:]),
    Bad("a key twice, deep inside", 400, with_data('{"x":[{"k":1,"k" :2}]}')),
    Bad("invalid UTF-8", 400, GOOD.replace(b"n", b"\xff", 1)),
    Bad("a lone surrogate", 400, with_data(r'{"x":"\ud800"}')),
    Bad("a byte order mark", 400, b"\xef\xbb\xbf" + GOOD),
    Bad("UTF-16", 400, GOOD.decode().encode("utf-16")),
    Bad("an array", 422, b"[]", pointer=""),
    Bad("a string", 422, b'"x"', pointer=""),
    Bad("null", 422, b"null", pointer=""),
    Bad("no name", 422, b'{"event_type":"t","detail":"d"}', pointer="/name"),
    Bad("an empty name", 422, event(name=""), pointer="/name"),
    Bad("an empty event_type", 422, event(event_type=""), pointer="/event_type"),
    Bad("a number as name", 422, event(name=1), pointer="/name"),
    Bad("null as detail", 422, event(detail=None), pointer="/detail"),
    Bad("an unknown field", 422, event(colour="red"), pointer="/colour"),
    Bad("a field that is ours", 422, event(_id="6b053ea55300eb0ec891994c"), pointer="/_id"),
    Bad("an array as event_data", 422, event(event_data=[1]), pointer="/event_data"),
    Bad("a string as actor", 422, event(actor="alice"), pointer="/actor"),
    Bad("a number as actor.id", 422, event(actor={"id": 7}), pointer="/actor/id"),
    Bad("a number in targets", 422, event(targets=[{"id": "a"}, 7]), pointer="/targets/1"),
    Bad("another outcome", 422, event(outcome="maybe"), pointer="/outcome"),
    Bad("an integer beyond 64 bits", 422, with_data('{"a":[1,9223372036854775808]}'),
        pointer="/event_data/a/1"),
    Bad("an integer below 64 bits", 422, with_data('{"n":-9223372036854775809}'),
        pointer="/event_data/n"),
    Bad("an integer of 5,000 digits", 422, with_data('{"n":' + "9" * 5000 + "}"),
        pointer="/event_data/n"),
    Bad("a number beyond a double", 422, with_data('{"n":1e400}'), pointer="/event_data/n"),
    Bad("nesting beyond 64", 422, with_data(nested(65))),
    Bad("nesting of 900", 422, with_data(nested(900))),
    Bad("nesting of 20,000", 422, with_data(nested(20_000))),
    Bad("a key over 256 bytes", 422, event(event_data={"k" * 257: 1}), pointer="/event_data"),
    Bad("more than 1,000 keys", 422, event(event_data={str(n): n for n in range(1_001)}),
        pointer="/event_data"),
    Bad("a time without seconds", 422, event(occurred_at="2026-01-01T00:00Z"),
        pointer="/occurred_at"),
    Bad("the 24th hour", 422, event(occurred_at="2026-01-01T24:00:00Z"), pointer="/occurred_at"),
    Bad("a day of the year", 422, event(occurred_at="2026-001T00:00:00Z"),
        pointer="/occurred_at"),
    Bad("an offset of a day", 422, event(occurred_at="2026-01-01T00:00:00+24:00"),
        pointer="/occurred_at"),
    Bad("seconds since 1970", 422, event(occurred_at=1_767_225_600), pointer="/occurred_at"),
    Bad("no time at all", 422, event(occurred_at=""), pointer="/occurred_at"),
    Bad("25 hours ahead", 422, event(occurred_at=ahead(hours=25)), pointer="/occurred_at"),
    Bad("a date without offset", 422, event(occurred_at="2026-01-01T00:00:00"),
        pointer="/occurred_at"),
    Bad("30 February", 422, event(occurred_at="2026-02-30T00:00:00Z"), pointer="/occurred_at"),
    Bad("a week date", 422, event(occurred_at="2026-W01-1T00:00:00Z"), pointer="/occurred_at"),
    Bad("a date alone", 422, event(occurred_at="2026-01-01"), pointer="/occurred_at"),
    Bad("the far future", 422, event(occurred_at="2999-01-01T00:00:00Z"), pointer="/occurred_at"),
    Bad("an empty idempotency key", 400, GOOD, {"idempotency-key": ""}),
    Bad("an idempotency key of 256", 400, GOOD, {"idempotency-key": "k" * 256}),
    Bad("a blank in the key", 400, GOOD, {"idempotency-key": "a b"}),
    Bad("a key that is not ASCII", 400, GOOD, {"idempotency-key": "cl\u00e9"}),
    asked("limit=0", 422, "limit"),
    asked("limit=-1", 422, "limit"),
    asked("limit=1000000000", 422, "limit"),
    asked("limit=1001", 422, "limit"),
    asked("limit=1.5", 422, "limit"),
    asked("limit=", 422, "limit"),
    asked("limit=abc", 422, "limit"),
    asked("limit=%D9%A1", 422, "limit"),
    asked("limit=1&limit=2", 422, "limit"),
    asked("sort=name", 422, "sort"),
    asked("since=yesterday", 422, "since"),
    asked("until=2026-02-30T00:00:00Z", 422, "until"),
    asked("until=999999w", 422, "until"),
    asked("colour=red", 422, "colour"),
    asked("$where=1", 422, "$where"),
    asked("name[$ne]=1", 422, "name[$ne]"),
    asked("name[regex]=.*", 422, "name[regex]"),
    asked("&".join(f"name={n}" for n in range(101)), 422, ""),
    asked("cursor=", 400),
    asked("cursor=AAAA", 400),
    asked("cursor=%C3%A9", 400),
    asked("name=%FF", 400),
    *(
        call(f"GET /events/{bad}{more}", 404)
        for bad in ("0", "g" * 24, "0" * 23, "0" * 25, "-1", "%00", "%F0%9F%98%80", "0" * 4_000)
        for more in ("", "/proof")
    ),
    call("DELETE /events/none", 404),
    *(
        call(f"GET /ledger/default/{beyond}", 404)
        for beyond in (
            "tile/0/000.p/200", "tile/0/001", "tile/1/000", "tile/63/000", "tile/0/x999/999",
            "tile/entries/000.p/200", "tile/entries/001", "openings/1", "timestamps/9",
        )
    ),
    *(call(f"{method} /events", 405) for method in ("TRACE", "PUT", "PATCH", "DELETE", "X")),
    *(call(f"{method} /events/{'0' * 24}", 405) for method in ("TRACE", "PUT", "POST")),
]  # fmt: skip


async def test_each_bad_input_is_refused_with_its_status_and_nothing_is_kept(api: Api) -> None:
    user = await api.add("alice")
    for bad in BAD:
        told = {**NOTHING, **user, **bad.headers}
        headers = {name.encode(): value.encode() for name, value in told.items()}
        method, _, path = bad.call.partition(" ")
        answer = await api.http.request(method, path, content=bad.body, headers=headers)
        assert answer.status_code == bad.status, (bad.what, answer.text)
        assert answer.headers["content-type"] == MEDIA_TYPE, bad.what
        if bad.pointer is not None:
            pointers = [flaw["pointer"] for flaw in answer.json()["errors"]]
            assert bad.pointer in pointers, (bad.what, pointers)
    assert await api.listed(user) == []


async def test_a_cursor_that_was_forged_or_made_for_another_question_is_refused(api: Api) -> None:
    user = await api.add("alice")
    for _ in range(3):
        await api.record(user)
    page = await api.http.get("/events?limit=1", headers=user)
    cursor = parse_qs(urlsplit(page.links["next"]["url"]).query)["cursor"][0]
    assert len(await api.listed(user, f"?limit=1&cursor={quote(cursor)}")) == 1
    middle = len(cursor) // 2
    forged = cursor[:middle] + ("A" if cursor[middle] != "A" else "B") + cursor[middle + 1 :]
    for query in (
        f"limit=1&cursor={quote(forged)}",
        f"limit=1&cursor={quote(cursor + 'A')}",
        f"limit=1&cursor={quote(cursor[:-1])}",
        f"limit=1&cursor={quote(cursor)}&sort=-timestamp",
        f"limit=1&cursor={quote(cursor)}&name=other",
    ):
        answer = await api.http.get(f"/events?{query}", headers=user)
        assert (answer.status_code, answer.headers["content-type"]) == (400, MEDIA_TYPE), query
    stranger = await api.add("bob", tenant="acme")
    foreign = f"/events?limit=1&cursor={quote(cursor)}"
    assert (await api.http.get(foreign, headers=stranger)).status_code == 400


INJECTIONS: list[dict[str, Any]] = [
    {"$where": "sleep(1000)"}, {"a.b": 1}, {"@timestamp": "x"}, {"__proto__": {"x": 1}},
    {"": {"": 0}}, {"$ne": None}, {"constructor": []}, {"\u0000": "\u0000"},
    {"x": "' OR 1=1 --"}, {"x": '"); DROP TABLE records; --'}, {"x": "${jndi:ldap://x}"},
    {"x": "=cmd|'/c calc'!A1"}, {"x": "<script>alert(1)</script>"}, {"x": "\u001b[31m\u202e"},
    {"x": "(a+)+$"}, {"x": "*"}, {"x": "a OR b NEAR c"}, {"x": '"'}, {"x": "\U0001f600"},
]  # fmt: skip


async def test_hostile_values_are_kept_exactly_and_found_literally(api: Api) -> None:
    user = await api.add("alice")
    kept = [await api.record(user, event_data=data) for data in INJECTIONS]
    assert [record["event_data"] for record in kept] == INJECTIONS
    assert [record["event_data"] for record in await api.listed(user)] == INJECTIONS
    for record, data in zip(kept, INJECTIONS, strict=True):
        ((key, value),) = data.items()
        if isinstance(value, str):
            asked = {f"event_data.{key}": value}
            answer = await api.http.get("/events", params=asked, headers=user)
            assert answer.json() == [record]


A_FIELD = b'--x\r\nContent-Disposition: form-data; name="username"\r\n\r\n+2AA-\r\n--x--\r\n'
A_FILE = (
    b'--x\r\nContent-Disposition: form-data; name="username"; filename="f"\r\n\r\na\r\n--x--\r\n'
)


@pytest.mark.parametrize(
    ("body", "media", "status", "code"),
    [
        (b"", "application/x-www-form-urlencoded", 400, "invalid_request"),
        (b"username=a", "application/x-www-form-urlencoded", 400, "invalid_request"),
        (b"username=a&username=b&password=c", "application/x-www-form-urlencoded", 400,
         "invalid_request"),
        (b"username=a&password=c&grant_type=magic", "application/x-www-form-urlencoded", 400,
         "unsupported_grant_type"),
        (b"username=a&password=c&scope=root", "application/x-www-form-urlencoded", 400,
         "invalid_scope"),
        (b"username=a&password=" + b"x" * 17_000, "application/x-www-form-urlencoded", 413,
         "too-large"),
        (b"&".join(b"f%d=1" % n for n in range(50)), "application/x-www-form-urlencoded", 400,
         "malformed"),
        (b"{}", "application/json", 415, "unsupported-media"),
        (b"no boundary", "multipart/form-data", 400, "malformed"),
        (b"--x\r\nbroken", "multipart/form-data; boundary=x", 400, "invalid_request"),
        (A_FILE, "multipart/form-data; boundary=x", 400, "malformed"),
        (A_FIELD, "multipart/form-data; boundary=x; charset=utf-7", 415, "unsupported-media"),
        (A_FIELD, "multipart/form-data; boundary=x; charset=unicode_escape", 415,
         "unsupported-media"),
    ],
)  # fmt: skip
async def test_bad_token_forms_are_refused(
    memory_api: Api, body: bytes, media: str, status: int, code: str
) -> None:
    answer = await memory_api.http.post("/token", content=body, headers={"content-type": media})
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text


FORMS = ("/token", "/revoke", "/introspect", "/signin")
AS_FORM = {
    "content-type": "application/x-www-form-urlencoded",
    "sec-fetch-site": "same-origin",  # the page to sign in takes no other
}


@pytest.mark.parametrize("path", FORMS)
async def test_a_form_is_small_wherever_one_is_taken(memory_api: Api, path: str) -> None:
    async def ask(body: bytes, **more: str) -> int:
        answer = await memory_api.http.post(path, content=body, headers=AS_FORM | more)
        return answer.status_code

    assert await ask(b"token=" + b"x" * 16_385) == 413
    assert (
        await ask(gzip.compress(b"token=" + b"x" * 99_999), **{"content-encoding": "gzip"}) == 413
    )
    assert await ask(BOMB, **{"content-encoding": "gzip"}) == 413
    assert await ask(b"&".join(b"f%d=1" % number for number in range(21))) == 400
    assert await ask(b"token=a&token=b") == 400


@pytest.mark.parametrize(
    ("path", "media"),
    [
        ("/events", "application/json"),
        ("/events/batch", "application/x-ndjson"),
        ("/events/search", "application/json"),
        ("/users", "application/json"),
        ("/holds", "application/json"),
        *((path, AS_FORM["content-type"]) for path in FORMS),
    ],
)
async def test_an_endless_body_is_cut_off_at_the_limit(
    memory_api: Api, path: str, media: str
) -> None:
    user = await memory_api.add("alice")
    sent = 0

    async def endless() -> Any:
        nonlocal sent
        while True:
            sent += 65_536
            yield b" " * 65_536

    headers = {**AS_FORM, "content-type": media, **user}
    answer = await memory_api.http.post(path, content=endless(), headers=headers)
    assert answer.status_code == 413
    assert sent < 1_000_000 or (path == "/events/batch" and sent < 20_000_000)


@pytest.mark.parametrize("number", ["9" * 20, "9" * 5_000, "²", "-1", "1" + "0" * 4_300])
@pytest.mark.parametrize("path", ["/ledger/default/openings", "/ledger/default/timestamps"])
async def test_a_number_that_is_none_or_too_large_is_not_found(
    memory_api: Api, path: str, number: str
) -> None:
    user = await memory_api.add("alice")
    assert (await memory_api.http.get(f"{path}/{number}", headers=user)).status_code == 404
