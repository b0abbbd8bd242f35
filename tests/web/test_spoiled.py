"""What rotted in the store: told as such to the tenant whose it is, and to no other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import pytest

from auditlogservice.store.port import Document
from running import Time, running
from waiting import ended, until

if TYPE_CHECKING:
    from auditlogservice.runtime.settings import Settings
    from running import Api

BODIES = (
    b"",
    b"\xff",
    b"[]",
    b"{}",
    b'{"where":{"field":"x"},"placed_at":"2026-01-31T12:00:00Z"}',
)
EVERYTHING: dict[str, Any] = {"all": []}


async def put_rotten(
    api: Api, kind: Literal["hold", "retention", "erasure", "witnessed", "timestamp"], body: bytes
) -> None:
    """Leave something of the tenant `ours` that nobody can read."""
    name = {"retention": "rules"}.get(kind, "a" * 24)
    document = Document(kind=kind, tenant="ours", id=name, body=body)
    assert await api.services.erasures._documents.put(document)


@pytest.mark.parametrize("body", BODIES)
async def test_what_cannot_be_read_is_a_documented_answer(api: Api, body: bytes) -> None:
    user = await api.add("alice", tenant="ours")
    record = await api.record(user)
    for kind in ("hold", "retention", "erasure", "witnessed", "timestamp"):
        await put_rotten(api, kind, body)
    asked = {"where": EVERYTHING, "reason": "r"}
    answers = [
        await api.http.get("/holds", headers=user),
        await api.http.get(f"/holds/{'a' * 24}", headers=user),
        await api.http.post("/holds", json=asked, headers=user),
        await api.http.delete(f"/events/{record['_id']}", headers=user),
        await api.http.get("/retention", headers=user),
        await api.http.put("/retention", json={"rules": []}, headers=user),
        await api.http.get("/erasures", headers=user),
        await api.http.post("/erasures", json={**asked, "preview": True}, headers=user),
        await api.http.get("/ledger/ours/witnessed", headers=user),
        await api.http.get("/ledger/ours/timestamps", headers=user),
    ]
    told = [(answer.status_code, answer.json()["code"]) for answer in answers]
    assert told == [(503, "store-broken")] * len(answers)
    assert await api.listed(user) == [record]
    await api.record(user)


async def test_rot_of_one_tenant_keeps_nothing_of_another_from_being_done(
    settings: Settings,
) -> None:
    """Rules that cannot be read stop neither the service at its start nor other rules."""
    time = Time()
    async with running(settings, time) as api:
        for kind in ("hold", "retention", "erasure"):
            await put_rotten(api, kind, b"[]")
        theirs = await api.add("bob", tenant="theirs")
        expired = await api.record(theirs)
        time.advance(days=2)
        theirs = await api.sign_in("bob")
        rules = {"rules": [{"event_type": "*", "days": 1}]}
        answer = await api.http.put("/retention", json=rules, headers=theirs)
        assert answer.status_code == 200
    async with running(settings, time) as api:
        theirs = await api.sign_in("bob")

        async def is_gone() -> bool:
            answer = await api.http.get(f"/events/{expired['_id']}", headers=theirs)
            return answer.status_code == 410

        await until(is_gone)
        await api.record(theirs)
        asked = {"where": EVERYTHING, "reason": "r"}
        answer = await api.http.post("/erasures", json=asked, headers=theirs)
        assert (await ended(api, theirs, answer.headers["location"]))["erased"] == 1
        ours = await api.add("alice", tenant="ours")
        await api.record(ours)
