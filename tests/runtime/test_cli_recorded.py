"""What is changed on the store itself is on record: clients, tenants, and the keys that sign."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from test_cli_tenants import Line
from test_cli_users import log_of

from auditlogservice.ledger.identity.credentials import ApiToken, Credentials, change_credentials
from auditlogservice.runtime.keys import load_ledger_key, load_token_key
from auditlogservice.runtime.signing import public_of
from auditlogservice.runtime.stores import open_store
from auditlogservice.runtime.wiring import settle_ledger_keys
from running import PASSWORD
from strategies import NOON

if TYPE_CHECKING:
    from auditlogservice.runtime.settings import Settings


@pytest.fixture
def line(settings: Settings) -> Line:
    """The command line of a node that has been started once."""
    asyncio.run(settle_ledger_keys(settings))
    load_token_key(settings.data_dir)
    return Line(settings)


def done(line: Line, *words: str) -> str:
    result = line(*words)
    assert result.exit_code == 0, result.output
    return result.output


def told(settings: Settings, tenant: str = "default") -> list[tuple[str, str, Any]]:
    """The type, the target and the details of each record, all of them of the operator."""
    found = asyncio.run(log_of(settings, tenant))
    assert {(one["actor"]["id"], one["actor"]["type"]) for one in found} <= {
        ("@operator", "operator")
    }
    return [(one["event_type"], one["targets"][0]["id"], one["event_data"]) for one in found]


def test_changes_of_clients_are_in_their_tenants_log(settings: Settings, line: Line) -> None:
    at = ("--tenant", "acme")
    printed = done(line, "clients", "add", "web-shop", *at)
    secret = printed.split("client_secret ")[1].strip()
    shown = json.loads(done(line, "clients", "show", "web-shop", *at))
    (first,) = shown["secrets"]
    done(line, "clients", "disable", "web-shop", *at)
    done(line, "clients", "secret", "remove", "web-shop", first["id"], *at)
    done(line, "clients", "remove", "web-shop", *at)
    found = told(settings, "acme")
    assert found == [
        (f"audit.client.{what}", "client:web-shop", data)
        for what, data in (
            ("added", {"scopes": ["events:write"]}),
            ("changed", {"secret_added": {"id": first["id"], "label": "", "expires_at": None}}),
            ("changed", {"before": {"disabled": False}, "after": {"disabled": True}}),
            ("changed", {"secret_removed": {"id": first["id"]}}),
            ("removed", {"client_id": shown["id"], "scopes": ["events:write"]}),
        )
    ]
    assert secret not in json.dumps(found)


def test_changes_of_tenants_are_in_the_log_of_the_default_tenant(
    settings: Settings, line: Line
) -> None:
    for command in ("add", "suspend", "resume", "remove"):
        done(line, "tenants", command, "acme")
    assert told(settings) == [
        ("audit.tenant.added", "acme", {}),
        (
            "audit.tenant.changed",
            "acme",
            {"before": {"suspended": False}, "after": {"suspended": True}},
        ),
        (
            "audit.tenant.changed",
            "acme",
            {"before": {"suspended": True}, "after": {"suspended": False}},
        ),
        ("audit.tenant.removed", "acme", {}),
    ]


def test_a_suspension_is_also_in_the_log_of_a_tenant_that_has_one(
    settings: Settings, line: Line
) -> None:
    done(line, "clients", "add", "web-shop", "--tenant", "acme")
    done(line, "tenants", "suspend", "acme")
    (*_, (of_type, target, data)) = told(settings, "acme")
    assert (of_type, target) == ("audit.tenant.changed", "acme")
    assert data["after"] == {"suspended": True}


def test_rotated_and_retired_keys_are_on_record(settings: Settings, line: Line) -> None:
    folder = settings.data_dir / "ledger-keys"
    old = load_token_key(settings.data_dir).thumbprint()
    first = public_of(load_ledger_key(folder / "0001.pem")).hex()
    done(line, "token", "rotate-key")
    done(line, "ledger", "rotate")
    done(line, "ledger", "retire", str(folder / "0001.pem"))
    second = public_of(load_ledger_key(folder / "0002.pem")).hex()
    assert told(settings) == [
        ("audit.key.rotated", old, {"signs": "tokens"}),
        ("audit.key.rotated", second, {"signs": "logs"}),
        ("audit.key.retired", first, {"signs": "logs"}),
    ]


@pytest.mark.parametrize(
    "words",
    [
        ("token", "retire-key", "unknown"), ("ledger", "retire", "{only}"),
        ("clients", "remove", "nobody"), ("clients", "add", "a b"),
        ("tenants", "remove", "nobody"), ("tenants", "suspend", "nobody"),
        ("tenants", "add", "A"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_what_a_command_refuses_leaves_no_record(
    settings: Settings, line: Line, words: tuple[str, ...]
) -> None:
    only = settings.data_dir / "ledger-keys" / "0001.pem"
    assert line(*(word.format(only=only) for word in words)).exit_code == 1
    assert told(settings) == []


def test_a_user_who_is_removed_leaves_no_api_tokens_behind(settings: Settings, line: Line) -> None:
    added = line("users", "add", "bob", "--password-stdin", entered=f"{PASSWORD}\n")
    assert added.exit_code == 0
    token = ApiToken(
        id="0" * 24, label="", prefix="", digest="", scopes=frozenset(), created_at=NOON,
        expires_at=NOON,
    )  # fmt: skip

    async def left(*, give: bool) -> int:
        store = await open_store(settings)
        user = await store.accounts.user_named("bob")
        if give and user:
            await change_credentials(
                store.documents, user.id, lambda _: Credentials(tokens=(token,))
            )
        count = len(await store.documents.all("credentials"))
        await store.close()
        return count

    assert asyncio.run(left(give=True)) == 1
    done(line, "users", "remove", "bob")
    assert asyncio.run(left(give=False)) == 0
