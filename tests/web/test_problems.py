"""Every failure has one status and one form, and a page that explains it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from auditlogservice import errors
from auditlogservice.web.problems import ALL, MEDIA_TYPE, PROBLEMS, problem_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from running import Api


def leaves_of(cls: type[errors.AuditLogError]) -> Iterator[type[errors.AuditLogError]]:
    below = cls.__subclasses__()
    if not below:
        yield cls
    for each in below:
        yield from leaves_of(each)


@pytest.mark.parametrize("cls", list(leaves_of(errors.AuditLogError)))
def test_no_error_lacks_a_status(cls: type[errors.AuditLogError]) -> None:
    problem = problem_of(cls.__new__(cls))
    assert 400 <= problem.status <= 503
    assert problem.status != 500


def test_codes_are_unique() -> None:
    codes = [problem.code for problem in PROBLEMS.values()]
    assert len(codes) == len(set(codes))


def test_only_unavailability_is_a_5xx() -> None:
    for cls, problem in PROBLEMS.items():
        if problem.status >= 500:
            assert problem.status == 503
            assert issubclass(cls, (errors.Unavailable, errors.UnsafeSetup))


async def test_each_problem_has_a_page(memory_api: Api) -> None:
    for code, problem in ALL.items():
        page = await memory_api.http.get(f"/problems/{code}")
        assert page.status_code == 200
        assert problem.title in page.text
    assert (await memory_api.http.get("/problems/nothing")).status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nowhere", 404),
        ("PUT", "/events", 405),
        ("TRACE", "/events", 405),
        ("GET", "/events", 401),
        ("POST", "/token", 415),
        ("GET", "/problems/nothing", 404),
    ],
)
async def test_errors_of_the_framework_take_the_same_form(
    memory_api: Api, method: str, path: str, status: int
) -> None:
    answer = await memory_api.http.request(method, path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == MEDIA_TYPE
    problem = answer.json()
    assert problem["status"] == status
    assert problem["type"] == f"/problems/{problem['code']}"
    assert problem["instance"] == path
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert {"title", "detail"} <= problem.keys()


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/events", "GET, POST"),
        ("PUT", "/events/", "GET, POST"),
        ("POST", "/events/0", "GET, DELETE"),
        ("PUT", "/users/bob", "GET, PATCH, DELETE"),
        ("GET", "/token", "POST"),
        ("POST", "/openapi.json", "GET, HEAD"),
    ],
)
async def test_allow_lists_all_methods_of_the_address(
    memory_api: Api, method: str, path: str, allowed: str
) -> None:
    answer = await memory_api.http.request(method, path)
    assert (answer.status_code, answer.headers["allow"]) == (405, allowed)


async def test_a_defect_tells_nothing_of_its_inside(
    memory_api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = await memory_api.add("alice")

    async def broken(*_: object) -> None:
        raise RuntimeError("SELECT secret FROM inside")

    monkeypatch.setattr(type(memory_api.services.records), "page", broken)
    answer = await memory_api.http.get("/events", headers=user)
    assert answer.status_code == 500
    assert answer.headers["content-type"] == MEDIA_TYPE
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.json()["request_id"] == answer.headers["x-request-id"]
    assert "secret" not in answer.text


async def test_a_sane_request_id_is_kept_and_another_replaced(memory_api: Api) -> None:
    sane = await memory_api.http.get("/livez", headers={"X-Request-ID": "abc-1"})
    assert sane.headers["x-request-id"] == "abc-1"
    odd = await memory_api.http.get("/livez", headers={"X-Request-ID": 'x"; evil'})
    assert "evil" not in odd.headers["x-request-id"]
