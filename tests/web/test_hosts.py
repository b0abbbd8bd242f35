"""The service answers by its own names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from auditlogservice.runtime.settings import Settings
from auditlogservice.web.hosts import AllowedHosts, read_host
from auditlogservice.web.problems import MEDIA_TYPE
from running import Api, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.mark.parametrize(
    ("allowed", "host", "answers"),
    [
        ("*", "whatever", True),
        ("*", "", True),
        ("audit.example.com", "audit.example.com", True),
        ("Audit.Example.com", "audit.example.com", True),
        ("audit.example.com", "evil.example.com", False),
        ("audit.example.com", "audit.example.com.evil", False),
        ("audit.example.com", "xaudit.example.com", False),
        ("a, b", "b", True),
        ("*.example.com", "a.b.example.com", True),
        ("*.example.com", "example.com", False),
        ("*.example.com", "evilexample.com", False),
        ("a", "", False),
        ("", "a", False),
        ("a", "localhost", True),
        ("a", "api.localhost", True),
        ("a", "notlocalhost", False),
        ("a", "127.0.0.1", True),
        ("a", "192.0.2.1", True),
        ("a", "::1", True),
        ("a", "1.2.3.4.evil", False),
    ],
)
def test_a_name_is_allowed_or_it_is_not(allowed: str, host: str, answers: bool) -> None:  # noqa: FBT001 - the expected value
    assert (host in AllowedHosts.parse(allowed)) is answers


@pytest.mark.parametrize("text", ["https://a", "a:80", "a/b", "*a", "a.*", "**", "a b", ".a"])
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not the name of a host"):
        AllowedHosts.parse(text)


@pytest.mark.parametrize(
    ("values", "version", "expected"),
    [
        (["a"], "1.1", "a"),
        (["A.b:80"], "1.1", "a.b"),
        (["a.b."], "1.1", "a.b"),
        (["[::1]:80"], "1.1", "::1"),
        (["a:"], "1.1", "a"),
        ([""], "1.1", ""),
        ([], "1.0", ""),
        ([], "1.1", None),
        (["a", "a"], "1.1", None),
        (["a", "b"], "1.0", None),
        (["a b"], "1.1", None),
        (["a,b"], "1.1", None),
        (["user@a"], "1.1", None),
        (["a/"], "1.1", None),
        (["a#"], "1.1", None),
        (["a:b"], "1.1", None),
        (["[::1"], "1.1", None),
        (["\xe9"], "1.1", None),
        (["a\x00"], "1.1", None),
        (["a\n"], "1.1", None),
    ],
)
def test_a_request_has_one_host(values: list[str], version: str, expected: str | None) -> None:
    assert read_host(values, http_version=version) == expected


@pytest.fixture
async def named(tmp_path: Path) -> AsyncIterator[Api]:
    settings = Settings(
        store="sqlite:///:memory:", data_dir=tmp_path, allowed_hosts="audit.example.com"
    )
    async with running(settings) as api:
        yield api


@pytest.mark.parametrize(
    ("host", "status", "code"),
    [
        ("audit.example.com", 404, "not-found"),
        ("audit.example.com:8443", 404, "not-found"),
        ("127.0.0.1:8080", 404, "not-found"),
        ("evil.example", 421, "misdirected"),
        ("audit.example.com@evil.example", 400, "malformed"),
        ("[", 400, "malformed"),
    ],
)
async def test_another_name_gets_a_problem_before_anything_is_done(
    named: Api, host: str, status: int, code: str
) -> None:
    answer = await named.http.get("/nowhere", headers={"Host": host})
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == MEDIA_TYPE
    assert answer.json()["request_id"] == answer.headers["x-request-id"]
