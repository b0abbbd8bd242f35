"""The commands that talk to a server, against one that is as small as the contract allows."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from auditlogservice import __version__
from auditlogservice.client.shapes.known import BY_NAME
from auditlogservice.runtime.cli import app as commands
from auditlogservice.runtime.cli import connection
from auditlogservice.runtime.cli.importing import Format
from auditlogservice.runtime.invisible import visible, visible_json
from stub import NASTY, StubServer, run

DATA = Path(__file__).parents[1] / "data"


# ---- signing in -----------------------------------------------------------------------


def test_login_keeps_the_token_where_only_its_owner_reads(
    signed_in: StubServer, home: Path
) -> None:
    file = home / "config" / "auditlogservice" / "credentials.json"
    assert json.loads(file.read_bytes()) == {
        "url": signed_in.url,
        "tokens": {signed_in.url: "good"},
    }
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [item.name for item in file.parent.iterdir()] == ["credentials.json"]


def test_login_asks_for_what_is_missing_and_shows_no_secret(
    server: StubServer, home: Path
) -> None:
    assert home.exists()
    result = run("login", "--url", server.url, stdin="alice\npw\n")
    assert result.exit_code == 0
    assert "good" not in result.output
    assert "pw" not in result.output.replace("passw", "")


@pytest.mark.usefixtures("home")
def test_a_wrong_password_is_one_line_and_exit_1(server: StubServer) -> None:
    result = run("login", "alice", "--password-stdin", "--url", server.url, stdin="no\n")
    assert (result.exit_code, result.stderr) == (1, "auditlogservice: not right\n")


@pytest.mark.usefixtures("home")
def test_token_prints_the_token_and_keeps_nothing(server: StubServer, home: Path) -> None:
    result = run("token", "alice", "--password-stdin", "--url", server.url, stdin="pw\n")
    assert (result.exit_code, result.stdout) == (0, "good\n")
    assert not (home / "config").exists()


def test_a_kept_token_goes_to_no_other_server(signed_in: StubServer) -> None:
    other = signed_in.url.replace("127.0.0.1", "localhost")
    result = run("list", "--url", other)
    assert result.exit_code == 1
    assert "sign in with `auditlogservice login`" in result.stderr


@pytest.mark.usefixtures("home")
def test_address_and_token_come_from_the_environment(server: StubServer) -> None:
    env: dict[str, str | None] = {"AUDITLOG_URL": server.url, "AUDITLOG_TOKEN": "good"}
    assert run("list", env=env).exit_code == 0


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("token", ["eyJsecret\neyJ", "eyJé"])
def test_a_token_that_is_none_is_not_shown(server: StubServer, token: str) -> None:
    result = run("list", env={"AUDITLOG_URL": server.url, "AUDITLOG_TOKEN": token})
    assert result.exit_code == 1
    assert result.stderr.startswith("auditlogservice: the token is none: ")
    assert "eyJ" not in result.output


@pytest.mark.usefixtures("home")
def test_a_token_may_end_in_a_newline(server: StubServer) -> None:
    assert run("list", env={"AUDITLOG_URL": server.url, "AUDITLOG_TOKEN": "good\n"}).exit_code == 0


@pytest.mark.usefixtures("home")
def test_a_server_that_is_not_there_is_named() -> None:
    result = run("list", "--url", "http://127.0.0.1:1")
    assert result.exit_code == 1
    assert result.stderr.startswith("auditlogservice: no answer from http://127.0.0.1:1: ")
    assert result.stderr.count("\n") == 1


# ---- send -----------------------------------------------------------------------------


def test_send_makes_an_event_of_options_and_prints_its_id(signed_in: StubServer) -> None:
    result = run(
        *["send", "--name", "n", "--type", "t", "--detail", "d", "--actor", "alice"],
        *["--target", "a", "--target", "b", "--outcome", "failure", "--source", "s"],
        *["--data", '{"k":-9214364837600034816}', "--occurred-at", "2025-01-01T00:00:00Z"],
    )
    assert (result.exit_code, result.stdout) == (0, f"{0:024x}\n")
    (record,) = signed_in.records
    del record["_id"], record["sequence"], record["timestamp"]
    assert record == {
        "name": "n",
        "event_type": "t",
        "detail": "d",
        "actor": {"id": "alice"},
        "targets": [{"id": "a"}, {"id": "b"}],
        "outcome": "failure",
        "source": "s",
        "event_data": {"k": -9214364837600034816},
        "occurred_at": "2025-01-01T00:00:00Z",
    }


def test_send_reads_an_event_from_standard_input_and_prints_the_record(
    signed_in: StubServer,
) -> None:
    result = run("send", "--json", stdin='{"name":"n","event_type":"t","detail":"d"}')
    assert result.exit_code == 0
    assert json.loads(result.stdout) == signed_in.records[0]


@pytest.mark.usefixtures("signed_in")
def test_a_refused_event_says_where_and_moves_no_cursor() -> None:
    result = run("send", stdin='{"name":"","event_type":"t","detail":"d"}')
    assert result.exit_code == 1
    shown = "auditlogservice: refused (/name: too short evil\\x1b[31m\\u202egnp\\x9b\\x0d\\x0a)\n"
    assert result.stderr == shown


@pytest.mark.parametrize(
    ("args", "stdin"),
    [
        (["send"], "{broken"),
        (["send"], "[1]"),
        (["send", "--name", "n"], ""),
        (["send", "--name", "n", "--type", "t", "--data", "7"], ""),
        (["send", "--outcome", "maybe"], ""),
        (["list", "no-filter"], ""),
        (["list", "--sort", "name"], ""),
        (["import", "no-such-file"], ""),
        (["import", "-", "--map", "nome=x"], ""),
        (["import", "-", "--format", "excel"], ""),
        (["import", "-", "--batch-size", "0"], ""),
        (["nonsense"], ""),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
@pytest.mark.usefixtures("signed_in")
def test_wrong_usage_is_exit_2(args: list[str], stdin: str) -> None:
    assert run(*args, stdin=stdin).exit_code == 2


# ---- list -----------------------------------------------------------------------------


def test_list_passes_filters_on_and_shows_a_table_that_is_safe(signed_in: StubServer) -> None:
    signed_in.keep(
        {"name": "n", "event_type": "t", "detail": NASTY, "actor": {"name": "[bold]x"}}, "k"
    )
    result = run("list", "actor.id=a=b", "actor.id=c", "--since", "7d", "--limit", "5")
    assert result.exit_code == 0
    assert "evil\\x1b[31m\\u202egnp\\x9b\\x0d\\x0a" in result.stdout
    assert "[bold]x" in result.stdout
    assert "2026-01-01 00:00:00" in result.stdout
    assert signed_in.queries == [
        {"actor.id": ["a=b", "c"], "since": ["7d"], "sort": ["-timestamp"], "limit": ["5"]}
    ]


def test_list_as_json_gives_every_record_byte_for_byte(signed_in: StubServer) -> None:
    for number in range(1_005):
        signed_in.keep({"name": "n", "detail": NASTY, "n": number}, str(number))
    result = run("list", "--json", "--limit", "0", "--sort", "timestamp")
    lines = result.stdout_bytes.splitlines()
    assert lines == [json.dumps(r, ensure_ascii=False).encode() for r in signed_in.records]
    assert result.stderr == ""


# ---- import ---------------------------------------------------------------------------


def test_import_stores_every_record_once_and_counts(signed_in: StubServer) -> None:
    file = DATA / "windows-security.ndjson"
    originals = [json.loads(line) for line in file.read_bytes().splitlines()]
    result = run("import", str(file), "--batch-size", "10")
    assert (result.exit_code, result.stdout) == (
        0,
        "read 47, stored 47, already there 0, refused 0\n",
    )
    assert [record["event_data"] for record in signed_in.records] == originals
    again = run("import", "-", "--json", stdin=file.read_bytes())
    assert json.loads(again.stdout) == {
        "read": 47,
        "stored": 0,
        "already_there": 47,
        "refused": 0,
        "reasons": [],
    }


def test_import_reports_bad_lines_and_goes_on(signed_in: StubServer) -> None:
    lines = ["{broken", *(f'{{"a":"{name}"}}' for name in ("x", "x", "bad", "bad", "y"))]
    result = run("import", "-", "--map", "name=a", stdin="\n".join(lines))
    assert result.exit_code == 1
    assert result.stdout == "read 6, stored 3, already there 0, refused 3\n"
    assert "  2 x /name: no (line 4, line 5)\n" in result.stderr
    assert "(line 1)\n" in result.stderr
    assert [record["name"] for record in signed_in.records] == ["x", "x", "y"]


def test_import_refuses_what_it_does_not_know_before_anything_is_sent(
    signed_in: StubServer,
) -> None:
    result = run("import", "-", stdin='{"a":1}')
    assert result.exit_code == 1
    assert "known are native, cloudevents, kubernetes, cloudtrail" in result.stderr
    assert signed_in.records == []


@pytest.mark.usefixtures("home")
def test_a_dry_run_shows_the_first_events_and_needs_no_server() -> None:
    result = run("import", str(DATA / "cloudtrail.ndjson"), "--dry-run")
    assert result.exit_code == 0
    assert "line 1:\n" in result.stdout
    assert "  event_type: aws.ec2.DescribeInstances\n" in result.stdout
    assert result.stdout.endswith("read 20, ready 20, refused 0; nothing was sent\n")


def test_an_import_that_is_stopped_says_that_it_can_go_on(
    signed_in: StubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(StubServer, "keep", lambda *_: 1 / 0)
    monkeypatch.setattr(connection.PATIENT.__class__, "wait", lambda *_, **__: 0.0)
    monkeypatch.setattr(signed_in, "handle_error", lambda *_: None)
    result = run("import", str(DATA / "cloudtrail.ndjson"))
    assert result.exit_code == 1
    assert "the same command goes on, and stores nothing twice" in result.stderr
    assert f"no answer from {signed_in.url}" in result.stderr


def test_the_formats_of_the_option_are_those_we_know() -> None:
    assert {item.value for item in Format} == {"auto", *BY_NAME}


# ---- the whole ------------------------------------------------------------------------


def test_the_version_is_printed() -> None:
    assert run("--version").stdout == f"auditlogservice {__version__}\n"


def test_without_the_servers_packages_its_commands_say_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing(_: object) -> None:
        raise ModuleNotFoundError("No module named 'fastapi'", name="fastapi")

    monkeypatch.setitem(commands._SERVER_COMMANDS, "serve", missing)
    result = run("serve", "--port", "1")
    assert result.exit_code == 1
    assert "pip install 'auditlogservice[server]'" in result.stderr


def test_everything_invisible_is_written_out_and_nothing_else() -> None:
    text = "a\x00\x1b\x7f\x85\u200b\u202e\u2028\U000e0041 é 日本 \xa0"
    assert visible(text) == ("a\\x00\\x1b\\x7f\\x85\\u200b\\u202e\\u2028\\ue0041 é 日本 \xa0")
    assert json.loads(visible_json(json.dumps(text, ensure_ascii=False))) == text
