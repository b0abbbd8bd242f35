"""Erasing over HTTP: what stays is who, when and why; what is refused erases nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from auditlogservice.governance import MAX_REASON

if TYPE_CHECKING:
    from running import Api


async def test_an_erased_event_answers_with_who_erased_it_and_why(api: Api) -> None:
    user = await api.add("alice")
    record = await api.record(user)
    address = f"/events/{record['_id']}"
    reason = "é" * MAX_REASON
    erased = await api.http.delete(address, params={"reason": reason}, headers=user)
    assert (erased.status_code, erased.content) == (204, b"")
    for method in ("GET", "DELETE"):
        answer = await api.http.request(method, address, headers=user)
        assert answer.status_code == 410
        told = answer.json()
        assert (told["erased_by"], told["reason"]) == ("alice", reason)
        assert told["sequence"] == record["sequence"]


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        (f"reason={'x' * (MAX_REASON + 1)}", "reason"),
        ("reason=a&reason=b", "reason"),
        ("raeson=a", "raeson"),
    ],
    ids=["too long", "twice", "misspelled"],
)
async def test_an_erasure_that_is_refused_erases_nothing(
    api: Api, query: str, pointer: str
) -> None:
    user = await api.add("alice")
    record = await api.record(user)
    address = f"/events/{record['_id']}"
    refused = await api.http.delete(f"{address}?{query}", headers=user)
    assert refused.status_code == 422
    assert [flaw["pointer"] for flaw in refused.json()["errors"]] == [pointer]
    assert (await api.http.get(address, headers=user)).json() == record
