"""What the service says of itself: health, limits, figures, and the documents of its API."""

from __future__ import annotations

from typing import TYPE_CHECKING

from auditlogservice.errors import StoreUnreachable
from running import EVENT

if TYPE_CHECKING:
    import pytest

    from running import Api


async def test_a_healthy_service_is_alive_and_ready(api: Api) -> None:
    assert (await api.http.get("/livez")).json() == {"status": "alive"}
    ready = await api.http.get("/readyz")
    assert ready.status_code == 200
    assert ready.json() == {
        "status": "ready",
        "checks": {"store": "ok", "queue": "ok", "process": "ok"},
    }


async def test_readiness_says_why_not_while_liveness_stays(
    memory_api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def down() -> None:
        raise StoreUnreachable

    monkeypatch.setattr(memory_api.services.recorder, "close", memory_api.services.recorder.close)
    object.__setattr__(memory_api.services, "ping", down)
    answer = await memory_api.http.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["checks"]["store"] == "the database does not answer"
    assert answer.headers["retry-after"] == "1"
    assert (await memory_api.http.get("/livez")).status_code == 200


async def test_a_service_that_stops_is_not_ready_and_takes_nothing(memory_api: Api) -> None:
    user = await memory_api.add("alice")
    memory_api.services.follower.close()  # what SIGTERM does first
    ready = await memory_api.http.get("/readyz")
    assert (ready.status_code, ready.json()["checks"]["process"]) == (503, "stopping")
    memory_api.services.recorder.close()
    refused = await memory_api.http.post("/events", json=EVENT, headers=user)
    assert (refused.status_code, refused.json()["code"]) == (503, "overloaded")
    assert refused.headers["retry-after"] == "1"


async def test_the_figures_count_requests_by_route_and_commits(memory_api: Api) -> None:
    user = await memory_api.add("alice")
    record = await memory_api.record(user)
    for path in (record["_id"], "x" * 24, "y" * 24):
        await memory_api.http.get(f"/events/{path}", headers=user)
    await memory_api.http.get("/random/path/1")
    page = await memory_api.http.get("/metrics")
    assert page.headers["content-type"].startswith("text/plain")
    lines = page.text.splitlines()
    name = "auditlog_request_seconds_count"
    assert f'{name}{{method="POST",route="/events",status="201"}} 1.0' in lines
    assert f'{name}{{method="GET",route="/events/{{event_id}}",status="404"}} 2.0' in lines
    assert f'{name}{{method="GET",route="none",status="404"}} 1.0' in lines
    assert "auditlog_commit_events_sum 1.0" in lines
    assert "auditlog_queued_events 0.0" in lines


# People see what went wrong on the page from which they can try again.
PAGES = dict.fromkeys(("/signin", "/signin/oidc", "/signin/callback"), ("text/html",))


async def test_the_openapi_document_is_3_1_and_names_every_answer(memory_api: Api) -> None:
    document = (await memory_api.http.get("/openapi.json")).json()
    assert document["openapi"].startswith("3.1")
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert operation["summary"], (method, path)
            for status, answer in operation["responses"].items():
                if status.startswith(("4", "5")):
                    kinds = {"application/problem+json", *PAGES.get(path, ())}
                    assert set(answer["content"]) <= kinds, (method, path)
            if "requestBody" in operation:
                assert operation["responses"].keys() >= {"408", "413", "415"}, (method, path)
    text = str(document)
    for schema in document["components"]["schemas"]:
        assert f"#/components/schemas/{schema}" in text, f"{schema} is not used"
    security = document["paths"]["/events"]["post"]["security"]
    assert security == [{"OAuth2PasswordBearer": ["events:write"]}]


async def test_the_reference_lists_every_operation_and_loads_nothing_from_elsewhere(
    memory_api: Api,
) -> None:
    page = (await memory_api.http.get("/docs")).text
    document = (await memory_api.http.get("/openapi.json")).json()
    for path in document["paths"]:
        assert f"<code>{path}</code>" in page
    assert "http://" not in page
    assert "https://" not in page
    assert "<script" not in page
    assert (await memory_api.http.get("/style.css")).headers["content-type"].startswith("text/css")
