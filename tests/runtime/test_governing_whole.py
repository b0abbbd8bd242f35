"""Erasures across the deaths of servers, and the commands for all that erases and keeps."""

from __future__ import annotations

import json
import random
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest
from test_cli_whole import command
from test_serve import EVENT, PASSWORD, Server

from stub import run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import httpx2


@pytest.fixture(params=["sqlite", "mongodb"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    """A server with a user who may do everything."""
    store = request.getfixturevalue("mongodb_url") if request.param == "mongodb" else None
    made = Server(tmp_path / "data", store)
    made.start()
    try:
        scopes = ("events:write", "events:read", "events:delete", "admin")
        added = made.users(
            "add", "alice", *(f"--scope={each}" for each in scopes), "--password-stdin",
            entered=PASSWORD,
        )  # fmt: skip
        assert added.returncode == 0, added.stderr
        yield made
    finally:
        made.stop(signal.SIGKILL)


def until(holds: Callable[[], bool], *, seconds: float = 120) -> None:
    give_up = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < give_up
        time.sleep(0.05)


def all_records(client: httpx2.Client, query: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    path: str | None = f"/events?limit=1000&{query}"
    while path:
        answer = client.get(path)
        found += answer.json()
        path = answer.links["next"]["url"] if "next" in answer.links else None
    return found


@pytest.mark.timeout(400)
def test_an_erasure_is_done_once_for_each_event_whatever_dies_on_the_way(server: Server) -> None:
    client = server.sign_in("alice")
    events: list[str] = []
    for _ in range(2):
        batch = client.post("/events/batch", json=[EVENT] * 1_000).json()
        events += [each["_id"] for each in batch["successful"]]
    wish = {"q": "event_type:t", "reason": "asked for"}
    address = client.post("/erasures", json=wish).headers["location"]
    kept = client.post("/events", json=EVENT).json()
    seen = 0
    for _ in range(2):
        until(lambda: client.get(address).json()["erased"] > seen)  # noqa: B023 - ends here
        time.sleep(random.uniform(0, 0.5))
        server.stop(signal.SIGKILL)
        server.start()
        client = server.sign_in("alice")
        job = client.get(address).json()
        assert job["state"] == "running", "it had ended before the kill: nothing was shown"
        seen = job["erased"]
    until(lambda: client.get(address).json()["state"] != "running")
    job = client.get(address).json()
    assert (job["state"], job["erased"], job["held"]) == ("done", len(events), 0)
    stones = all_records(client, "event_type=audit.event.erased")
    assert sorted(stone["event_data"]["_id"] for stone in stones) == sorted(events)
    assert client.get(f"/events/{kept['_id']}").json() == kept
    assert client.get(f"/events/{events[0]}").status_code == 410
    for state in ("requested", "done"):
        assert len(all_records(client, f"event_type=audit.erasure.{state}")) == 1


@pytest.mark.parametrize("server", ["sqlite"], indirect=True)
def test_what_is_erased_and_kept_is_decided_at_the_command_line(
    server: Server, tmp_path: Path
) -> None:
    def done(*arguments: str, entered: str = "") -> bytes:
        return command(server, *arguments, entered=entered)

    def read(*arguments: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in done(*arguments, "--json").splitlines()]

    done("login", "alice", "--password-stdin", "--url", server.url, entered=PASSWORD)
    lines = [{**EVENT, "actor": {"id": "bob" if n % 2 else "eve"}} for n in range(10)]
    done("import", "-", entered="\n".join(map(json.dumps, lines)))

    (hold,) = read("holds", "place", "--q", "actor.id:bob", "--reason", "case 7")
    assert read("holds", "list") == [hold]
    assert b"case 7" in done("holds", "list")
    everything = ("--where", '{"all": []}', "--reason", "asked for")
    (preview,) = read("erasures", "start", *everything, "--preview")
    assert (preview["matching"]["value"], preview["held"]["value"]) == (10, 5)
    assert done("erasures", "start", *everything, "--preview").startswith(b"10 match, 5 held\n")
    (ended,) = read("erasures", "start", *everything, "--wait")
    assert (ended["state"], ended["erased"], ended["held"]) == ("done", 5, 5)
    assert read("erasures", "list") == read("erasures", "show", ended["id"]) == [ended]
    assert b"done" in done("erasures", "list")

    done("holds", "lift", hold["id"], "--reason", "closed")
    assert read("holds", "list") == []
    bobs = read("list", "actor.id=bob")
    done("erase", bobs[0]["_id"], "--reason", "asked for")
    assert len(read("list", "actor.id=bob")) == len(bobs) - 1

    assert done("retention", "show") == b""
    done("retention", "set", "--rule", "auth.*=365", "--rule", "a=b=30")
    file = tmp_path / "rules.json"
    file.write_bytes(done("retention", "show", "--json"))
    rules = [{"event_type": "auth.*", "days": 365}, {"event_type": "a=b", "days": 30}]
    assert json.loads(file.read_bytes()) == {"rules": rules}
    done("retention", "set", "-", entered='{"rules": []}')
    assert b"auth" not in done("retention", "show")
    assert b"365" in done("retention", "set", str(file))

    assert done("redaction", "show") == b""
    done("redaction", "set", "--rule", "mask=event_data.**.password", "--rule", "drop=source")
    told = done("redaction", "show", "--json")
    assert json.loads(told)["rules"][1] == {"action": "drop", "path": "source"}
    done(
        "import",
        "-",
        entered=json.dumps({**EVENT, "event_data": {"password": "x"}, "source": "s"}),
    )
    (newest,) = read("list", "redacted.action=drop")
    assert (newest["event_data"], "source" in newest) == ({"password": "[redacted]"}, False)
    done("redaction", "set", "-", entered='{"rules": []}')
    assert done("redaction", "set", "-", "--json", entered=told.decode()) == told
    assert b"mask" in done("redaction", "show")


@pytest.mark.parametrize(
    "args",
    [
        ["erase"],
        ["erase", "x"],
        ["erasures", "start", "--reason", "r"],
        ["erasures", "start", "--q", "a"],
        ["erasures", "start", "--q", "a", "--where", "{}", "--reason", "r"],
        ["erasures", "start", "--where", "{", "--reason", "r"],
        ["holds", "place", "--reason", "r"],
        ["holds", "lift", "x"],
        ["retention", "set"],
        ["retention", "set", "-"],
        ["retention", "set", "x", "--rule", "a=1"],
        ["retention", "set", "--rule", "a"],
        ["retention", "set", "--rule", "a=-1"],
        ["retention", "set", "--rule", "=1"],
        ["redaction", "set"],
        ["redaction", "set", "-"],
        ["redaction", "set", "--rule", "burn=detail"],
        ["redaction", "set", "--rule", "mask="],
    ],
    ids=" ".join,
)
@pytest.mark.usefixtures("home")
def test_wrong_usage_is_exit_2(args: list[str]) -> None:
    assert run(*args).exit_code == 2


@pytest.mark.usefixtures("home")
def test_rules_that_are_nowhere_are_exit_1() -> None:
    result = run("retention", "set", "nowhere.json")
    assert (result.exit_code, result.stderr.startswith("auditlogservice: nowhere.json:")) == (
        1,
        True,
    )
