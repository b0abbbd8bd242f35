"""Clients and tokens from the command line: on the store itself, and at a server that runs."""

from __future__ import annotations

import json
import re
import signal
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from test_serve import Server

from stub import run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from typer.testing import Result


def on(folder: Path, *arguments: str, stdin: str = "") -> Result:
    """Call a command that works on the store of this folder."""
    return run(*arguments, "--data-dir", str(folder), stdin=stdin)


def made(folder: Path, *arguments: str) -> tuple[str, str]:
    """Add a client; return its id and its secret, which are printed this once."""
    result = on(folder, "clients", "add", "web-shop", *arguments)
    assert result.exit_code == 0, result.output
    printed = re.search(r"client_id (\w+)\nclient_secret (\w+)\n", result.stdout)
    assert printed
    return printed[1], printed[2]


def shown(folder: Path) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(on(folder, "clients", "show", "web-shop").stdout)
    return told


# ---- on the store itself ------------------------------------------------------------------


def test_a_client_is_added_shown_listed_and_removed(tmp_path: Path) -> None:
    client, secret = made(tmp_path, "--scope", "events:read", "--scope", "events:write")
    told = shown(tmp_path)
    assert (told["id"], told["name"], told["tenant"]) == (client, "web-shop", "default")
    assert told["scopes"] == ["events:write", "events:read"]
    (listed,) = json.loads(on(tmp_path, "clients", "list", "--json").stdout)
    assert listed == told
    assert "web-shop" in on(tmp_path, "clients", "list").stdout
    assert secret not in json.dumps(told)
    assert on(tmp_path, "clients", "remove", "web-shop").exit_code == 0
    gone = on(tmp_path, "clients", "show", "web-shop")
    assert (gone.exit_code, gone.stderr) == (1, "auditlogservice: no client has this id\n")


def test_a_client_can_only_record_if_nothing_else_is_said(tmp_path: Path) -> None:
    made(tmp_path)
    assert shown(tmp_path)["scopes"] == ["events:write"]


def test_a_client_is_kept_out_and_let_in_again(tmp_path: Path) -> None:
    made(tmp_path)
    for command, disabled in (("disable", True), ("enable", False)):
        assert on(tmp_path, "clients", command, "web-shop").exit_code == 0
        assert shown(tmp_path)["disabled"] is disabled


def test_a_secret_is_added_beside_the_other_and_removed(tmp_path: Path) -> None:
    made(tmp_path)
    arguments = ("--label", "next", "--days", "30")
    added = on(tmp_path, "clients", "secret", "add", "web-shop", *arguments)
    assert re.search(r"^client_secret alsc_\w{49}$", added.stdout, re.MULTILINE)
    first, second = shown(tmp_path)["secrets"]
    assert (first["label"], second["label"]) == ("", "next")
    assert second["expires_at"]
    third = on(tmp_path, "clients", "secret", "add", "web-shop")
    assert (third.exit_code, third.stdout) == (1, "")
    done = on(tmp_path, "clients", "secret", "remove", "web-shop", first["id"])
    assert done.exit_code == 0
    assert shown(tmp_path)["secrets"] == [second]


def test_a_client_of_another_tenant_is_another_client(tmp_path: Path) -> None:
    made(tmp_path, "--tenant", "acme")
    assert on(tmp_path, "clients", "disable", "web-shop").exit_code == 1
    assert on(tmp_path, "clients", "disable", "web-shop", "--tenant", "acme").exit_code == 0


def test_a_store_that_is_not_there_is_not_made_by_asking(tmp_path: Path) -> None:
    for command in (("list",), ("show", "a"), ("remove", "a"), ("secret", "add", "a")):
        assert on(tmp_path / "nowhere", "clients", *command).exit_code == 1
    assert on(tmp_path / "nowhere", "token", "retire-key", "x").exit_code == 1
    assert on(tmp_path / "nowhere", "token", "rotate-key").exit_code == 1
    assert list(tmp_path.iterdir()) == []


# ---- at a server --------------------------------------------------------------------------


@pytest.fixture
def server(tmp_path: Path, home: Path) -> Iterator[Server]:
    assert home.exists()
    started = Server(tmp_path / "data")
    started.start()
    try:
        yield started
    finally:
        started.stop(signal.SIGKILL)


def printed(*arguments: str, **more: Any) -> str:
    """What a command that ends well prints, but for the end of the line."""
    result = run(*arguments, **more)
    assert result.exit_code == 0, result.output
    return result.stdout.strip()


def who(server: Server, token: str) -> httpx2.Response:
    headers = {"Authorization": f"Bearer {token}"}
    return httpx2.get(f"{server.url}/me", headers=headers, timeout=30)


def test_a_program_gets_tokens_and_keys_follow_one_another_while_the_server_runs(
    server: Server,
) -> None:
    """One server for all of it: to start one takes longer than all that is asked of it."""
    client, secret = made(server.folder, "--scope", "events:write", "--scope", "events:read")
    ask = ("token", "--client-id", client, "--url", server.url)
    signed = printed(*ask, stdin=f"{secret}\n")
    assert who(server, signed).json()["name"] == "client:web-shop"
    narrow = printed(*ask, "--scope", "events:read", env={"AUDITLOG_CLIENT_SECRET": secret})
    assert who(server, narrow).json()["scopes"] == ["events:read"]
    refused = run(*ask, stdin="wrong\n")
    assert refused.exit_code == 1
    assert "the client or its secret is not right" in refused.stderr

    # API tokens of one's own, as whoever AUDITLOG_TOKEN speaks for.
    as_client: dict[str, str | None] = {"AUDITLOG_URL": server.url, "AUDITLOG_TOKEN": signed}
    options = ("--label", "[/job]", "--scope", "events:read", "--days", "7")
    kept = printed("token", "create", *options, env=as_client)
    assert who(server, kept).json()["scopes"] == ["events:read"]
    as_job: dict[str, str | None] = {**as_client, "AUDITLOG_TOKEN": kept}
    assert printed("count", "user_id[ne]=@auditlogservice", env=as_job) == "0 events"
    (listed,) = json.loads(run("token", "list", "--json", env=as_client).stdout)
    assert (listed["label"], listed["scopes"]) == ("[/job]", ["events:read"])
    assert kept.startswith(listed["prefix"])
    assert "[/job]" in run("token", "list", env=as_client).stdout
    assert run("token", "revoke", listed["id"], env=as_client).exit_code == 0
    assert who(server, kept).status_code == 401

    # Keys.
    old = jwks(server)
    assert on(server.folder, "token", "rotate-key").exit_code == 0
    after = printed(*ask, stdin=f"{secret}\n")
    both = jwks(server)
    assert old < both
    assert [who(server, each).status_code for each in (signed, after)] == [200, 200]
    (stolen,) = old
    assert on(server.folder, "token", "retire-key", stolen).exit_code == 0
    assert until_refused(server, signed)
    assert who(server, after).status_code == 200
    assert jwks(server) == both - old
    assert on(server.folder, "token", "retire-key", "x").exit_code == 1


def jwks(server: Server) -> set[str]:
    told = httpx2.get(f"{server.url}/.well-known/jwks.json", timeout=30).json()
    return {key["kid"] for key in told["keys"]}


def until_refused(server: Server, token: str) -> bool:
    """Whether the token is refused within some seconds; how soon is told elsewhere."""
    return any(who(server, token).status_code == 401 for _ in range(2_000))


def test_a_name_and_a_client_at_once_are_a_mistake() -> None:
    for arguments in (("get",), ("get", "alice", "--client-id", "x")):
        assert run("token", *arguments).exit_code == 2
