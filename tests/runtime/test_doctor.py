"""`doctor` says of each thing on its list whether it is right, and what to do if it is not."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from typer.testing import CliRunner

from auditlogservice.ledger.proving.keyring import SignerKey
from auditlogservice.runtime.cli.app import app
from auditlogservice.runtime.doctor.examination import examine
from auditlogservice.runtime.doctor.files import (
    check_file_system,
    check_files,
    check_folder,
    check_room,
    read_mounts,
)
from auditlogservice.runtime.doctor.keeping import (
    check_keys,
    check_mongodb,
    check_mongodb_url,
    check_structure,
)
from auditlogservice.runtime.doctor.machine import (
    check_openssl,
    check_packages,
    check_python,
    check_user,
)
from auditlogservice.runtime.doctor.reach import check_reach
from auditlogservice.runtime.doctor.served import check_handshake, check_served
from auditlogservice.runtime.settings import Settings
from auditlogservice.runtime.stores import utc_now
from auditlogservice.web.edge import HSTS, SECURITY_HEADERS
from certificates import CertificateAuthority
from running import EVENT, running
from served import served

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from auditlogservice.runtime.doctor.findings import Finding

NOW = datetime(2026, 6, 1, tzinfo=UTC)


def states(findings: Iterable[Finding]) -> dict[str, str]:
    return {finding.check: finding.state for finding in findings}


def test_what_is_not_ok_comes_with_advice(tmp_path: Path) -> None:
    found = list(check_reach(Settings(data_dir=tmp_path), NOW))
    assert {finding.state for finding in found} == {"ok", "weak"}
    for finding in found:
        assert bool(finding.advice) is (finding.state != "ok")
        assert finding.advice in str(finding)


# ---- the machine ------------------------------------------------------------------------


def test_root_is_told_from_others() -> None:
    assert [check_user(uid).state for uid in (0, 1000, None)] == ["weak", "ok", "ok"]


def test_a_python_that_is_mended_no_more_is_weak() -> None:
    day = date(2027, 11, 1)
    assert check_python((3, 11), day).state == "weak"
    assert check_python((3, 11), day - timedelta(days=1)).state == "ok"
    assert check_python((3, 99), day).state == "ok"


def test_an_openssl_that_is_mended_no_more_is_wrong() -> None:
    assert check_openssl((1, 1, 1, 23, 15), "OpenSSL 1.1.1w").state == "wrong"
    assert check_openssl((3, 0, 0, 19, 0), "OpenSSL 3.0.19").state == "ok"


@pytest.mark.parametrize(
    ("version", "state"),
    [("1.3.0", "wrong"), ("1.3", "wrong"), ("1.3.1", "ok"), ("1.10", "ok"), (None, "ok")],
)
def test_a_package_below_its_floor_is_wrong(version: str | None, state: str) -> None:
    floors = ['starlette>=1.3.1; extra == "server"', "x"]
    found = check_packages(floors, lambda name: version if name == "starlette" else "0")
    assert found.state == state
    assert ("starlette" in found.what) is (state == "wrong")


@pytest.mark.parametrize(
    ("package", "old"), [("starlette", "1.3.0"), ("python-multipart", "0.0.30")]
)
def test_the_floors_are_those_below_which_a_weakness_is_known(package: str, old: str) -> None:
    def installed(name: str) -> str | None:
        return old if name == package else None

    requirements = metadata.requires("auditlogservice") or []
    assert check_packages(requirements, installed).state == "wrong"


# ---- how it is reached ------------------------------------------------------------------


def reach(folder: Path, *, now: datetime = NOW, **chosen: Any) -> dict[str, str]:
    return states(check_reach(Settings(data_dir=folder, **chosen), now))


@pytest.mark.parametrize(
    ("chosen", "check", "state"),
    [
        ({}, "address", "ok"),
        ({"host": "::1"}, "address", "ok"),
        ({"host": "localhost"}, "address", "ok"),
        ({"host": "0.0.0.0"}, "address", "wrong"),
        ({"host": "::"}, "address", "wrong"),
        ({"host": "203.0.113.1"}, "address", "weak"),
        ({"host": "8.8.8.8"}, "address", "wrong"),
        ({"host": "10.0.0.1"}, "address", "weak"),
        ({"host": "audit.example.com"}, "address", "wrong"),
        ({"host": "0.0.0.0", "trusted_proxies": "10.0.0.1"}, "address", "ok"),
        ({}, "hosts", "weak"),
        ({"allowed_hosts": "a, *"}, "hosts", "weak"),
        ({"allowed_hosts": "a"}, "hosts", "ok"),
        ({}, "proxies", "ok"),
        ({"trusted_proxies": "10.0.0.0/8"}, "proxies", "ok"),
        ({"trusted_proxies": "10.0.0.1,0.0.0.0/0"}, "proxies", "wrong"),
        ({"trusted_proxies": "::/0"}, "proxies", "wrong"),
        ({}, "ledger name", "ok"),
        ({"host": "0.0.0.0"}, "ledger name", "weak"),
        ({"host": "0.0.0.0", "ledger_host": "audit.example.com"}, "ledger name", "ok"),
        ({}, "witnesses", "weak"),
        ({"witnesses": "https://w w+1+A"}, "witnesses", "ok"),
        ({}, "timestamps", "weak"),
        ({"timestamp_url": "https://t"}, "timestamps", "ok"),
        ({"tls_key": "key.pem"}, "certificate", "wrong"),
    ],
)  # fmt: skip
def test_settings_are_right_weak_or_wrong(
    tmp_path: Path, chosen: dict[str, Any], check: str, state: str
) -> None:
    assert reach(tmp_path, **chosen)[check] == state


@pytest.mark.parametrize(("days", "state"), [(30, "ok"), (13, "weak"), (-1, "wrong")])
def test_a_certificate_is_told_to_end_in_time(tmp_path: Path, days: int, state: str) -> None:
    pair = CertificateAuthority(tmp_path).issue("one", days=days)
    files: dict[str, Any] = {"tls_cert": str(pair.certificate), "tls_key": str(pair.key)}
    found = reach(tmp_path, now=utc_now(), host="0.0.0.0", **files)
    assert (found["certificate"], found["address"]) == (state, "ok")


# ---- files ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "state"), [(0o700, "ok"), (0o755, "weak"), (0o720, "wrong"), (0o777, "wrong")]
)
def test_a_folder_is_its_owners_alone(tmp_path: Path, mode: int, state: str) -> None:
    tmp_path.chmod(mode)
    assert check_folder(tmp_path).state == state


def test_a_folder_that_is_not_there_is_wrong(tmp_path: Path) -> None:
    assert check_folder(tmp_path / "nowhere").state == "wrong"


@pytest.mark.parametrize(
    ("mode", "state"), [(0o600, "ok"), (0o400, "ok"), (0o640, "wrong"), (0o604, "wrong")]
)
def test_files_are_their_owners_alone(tmp_path: Path, mode: int, state: str) -> None:
    file = tmp_path / "ledger-keys" / "0001.pem"
    file.parent.mkdir()
    file.touch()
    file.chmod(mode)
    found = check_files(tmp_path)
    assert (found.state, "0001.pem" in found.what) == (state, state == "wrong")


@pytest.mark.parametrize(
    ("path", "state"),
    [("/data/audit.db", "wrong"), ("/data/local/audit.db", "ok"), ("/database/audit.db", "ok")],
)
def test_a_database_on_another_machines_disk_is_wrong(path: str, state: str) -> None:
    mounts = [("/", "ext4"), ("/data", "nfs4"), ("/data/local", "xfs")]
    assert check_file_system(Path(path), mounts).state == state


@pytest.mark.skipif(not Path("/proc/self/mounts").exists(), reason="asks /proc")
def test_the_system_is_asked_what_is_mounted() -> None:
    assert "/" in dict(read_mounts())


@pytest.mark.parametrize(("free", "state"), [(99, "wrong"), (150, "weak"), (200, "ok")])
def test_room_on_the_disk_is_more_than_the_reserve(free: int, state: str) -> None:
    assert check_room(free, 100).state == state


# ---- the store --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "connection", "user"),
    [
        ("mongodb://127.0.0.1:27017/a", "ok", "weak"),
        ("mongodb://[::1]:27017,localhost/a", "ok", "weak"),
        ("mongodb://db1,localhost/a?replicaSet=rs0", "weak", "weak"),
        ("mongodb://u:p%40@db1,db2/a?tls=true", "ok", "ok"),
        ("mongodb://u:p@db1/a?ssl=true", "ok", "ok"),
        ("mongodb://u:p@db1/a?tls=false", "weak", "ok"),
        ("mongodb+srv://u:p@db/a", "ok", "ok"),
        ("mongodb+srv://u:p@db/a?tls=false", "weak", "ok"),
        ("mongodb://db/a?tls=true&authMechanism=MONGODB-X509", "ok", "ok"),
    ],
)
def test_the_address_of_mongodb_asks_for_tls_and_a_user(
    url: str, connection: str, user: str
) -> None:
    found = states(check_mongodb_url(url))
    assert found == {"database connection": connection, "database user": user}


@pytest.mark.parametrize(
    ("hello", "seconds", "members", "clock"),
    [
        ({"setName": "rs0", "hosts": ["a", "b", "c"]}, 0.5, "ok", "ok"),
        ({"setName": "rs0", "hosts": ["a"]}, -2, "weak", "weak"),
        ({"setName": "rs0", "hosts": ["a", "b"]}, 10, "weak", "wrong"),
        ({"msg": "isdbgrid"}, 0, "ok", "ok"),
    ],
)
def test_mongodb_has_members_enough_and_our_time(
    hello: dict[str, Any], seconds: float, members: str, clock: str
) -> None:
    there = {**hello, "localTime": NOW + timedelta(seconds=seconds)}
    assert states(check_mongodb(there, NOW)) == {"replica set": members, "clock": clock}


ONE, OTHER = (SignerKey(bytes([number]) * 32, NOW) for number in (1, 2))


@pytest.mark.parametrize(
    ("here", "known", "state"),
    [
        ([ONE], [ONE], "ok"),
        ([], [], "weak"),
        ([], [ONE], "weak"),
        ([OTHER], [ONE], "wrong"),
        ([ONE], [replace(ONE, retired=NOW)], "wrong"),
        ([ONE], [replace(ONE, retired=NOW), OTHER], "weak"),
    ],
)
def test_this_node_signs_with_a_key_that_all_know(
    here: list[SignerKey], known: list[SignerKey], state: str
) -> None:
    assert check_keys([key.public for key in here], known).state == state


@pytest.fixture
async def used(settings: Settings) -> Settings:
    """A store with an event in it, and nobody who uses it now."""
    async with running(settings) as api:
        await api.record(await api.add("alice"))
    return settings


async def looked_at(settings: Settings) -> dict[str, Finding]:
    return {each.check: each async for each in examine(settings, utc_now)}


async def test_a_store_in_use_has_nothing_wrong(used: Settings) -> None:
    async with running(used):
        found = await looked_at(used)
    assert [each for each in found.values() if each.state == "wrong"] == []
    assert found["store"].state == found["signing key"].state == "ok"
    assert found["retention"].state == "weak"


async def test_rules_of_retention_are_seen_until_they_are_taken_back(used: Settings) -> None:
    for rules, state in (([{"event_type": "*", "days": 30}], "ok"), ([], "weak")):
        async with running(used) as api:
            user = await api.sign_in("alice")
            answer = await api.http.put("/retention", json={"rules": rules}, headers=user)
            assert answer.status_code == 200
        assert (await looked_at(used))["retention"].state == state


async def test_a_signing_key_that_is_exposed_or_missing_is_told(used: Settings) -> None:
    (key,) = (used.data_dir / "ledger-keys").glob("*.pem")
    key.chmod(0o644)
    found = await looked_at(used)
    assert (found["signing key"].state, found["files"].state) == ("wrong", "wrong")
    key.unlink()
    assert (await looked_at(used))["signing key"].state == "weak"


async def test_a_store_that_is_not_there_is_told_and_not_made(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    assert (await looked_at(settings))["store"].state == "wrong"
    assert not any(os.scandir(tmp_path))


async def test_a_file_that_is_not_whole_is_wrong(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, min_free_bytes=0)
    async with running(settings) as api:
        user = await api.add("alice")
        await api.http.post("/events/batch", json=[EVENT] * 200, headers=user)
    path = tmp_path / "audit.db"
    assert check_structure(path).state == "ok"
    content = bytearray(path.read_bytes())
    for page in range(8, len(content) // 4096):  # behind the schema
        content[page * 4096 : page * 4096 + 64] = os.urandom(64)
    path.write_bytes(content)
    assert check_structure(path).state == "wrong"


async def test_a_disk_that_is_nearly_full_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(data_dir=tmp_path, min_free_bytes=1_000)
    async with running(settings):
        pass
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=10))
    assert (await looked_at(settings))["room"].state == "wrong"


# ---- over HTTP --------------------------------------------------------------------------


class Site:
    """What a stranger meets: a service as it should be, apart from what a test changes."""

    def __init__(self) -> None:
        self.status = {"/readyz": 200, "/livez": 200, "/metrics": 403, "/docs": 403}
        self.headers = {**SECURITY_HEADERS, **HSTS}
        self.names = {"audit.example.com", "localhost"}

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        if request.headers["host"] not in self.names:
            return httpx2.Response(421, headers=self.headers)
        return httpx2.Response(self.status.get(request.url.path, 404), headers=self.headers)


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Site:
    site = Site()
    client = httpx2.Client

    def connected(**chosen: Any) -> httpx2.Client:
        return client(transport=httpx2.MockTransport(site), **chosen)

    monkeypatch.setattr(httpx2, "Client", connected)
    monkeypatch.setattr("auditlogservice.runtime.doctor.served.check_handshake", no_handshake)
    return site


def no_handshake(url: str, now: datetime) -> Iterator[Finding]:
    """In the place of a connection: a site of a test has none."""
    del url, now
    yield from ()


URL = "https://audit.example.com"


def test_a_service_as_it_should_be_is_ok(site: Site) -> None:
    del site
    found = states(check_served(URL, NOW))
    assert set(found.values()) == {"ok"}
    assert len(found) == 7


@pytest.mark.parametrize("name", list(SECURITY_HEADERS))
def test_a_header_that_a_proxy_takes_away_is_missed(site: Site, name: str) -> None:
    del site.headers[name]
    (finding,) = [each for each in check_served(URL, NOW) if each.state == "wrong"]
    assert finding.check == "headers"
    assert name in finding.what


@pytest.mark.parametrize(
    ("header", "value", "check", "state"),
    [
        ("Server", "nginx/1.18.0", "headers", "wrong"),
        ("Server", "Caddy", "headers", "ok"),
        ("Access-Control-Allow-Origin", "*", "other origins", "wrong"),
        ("Access-Control-Allow-Credentials", "true", "other origins", "wrong"),
    ],
)
def test_a_header_that_a_proxy_adds_is_seen(
    site: Site, header: str, value: str, check: str, state: str
) -> None:
    site.headers[header] = value
    assert states(check_served(URL, NOW))[check] == state


def test_a_service_that_is_not_ready_or_not_there_is_wrong(site: Site) -> None:
    site.status["/readyz"] = 503
    assert states(check_served(URL, NOW))["service"] == "wrong"
    site.status["/livez"] = 404
    assert states(check_served(URL, NOW))["service"] == "wrong"


def test_any_name_and_open_pages_are_weak(site: Site) -> None:
    site.names.add("doctor.invalid")
    site.status |= {"/metrics": 200, "/docs": 200}
    found = states(check_served(URL, NOW))
    assert (found["other names"], found["/metrics"], found["/docs"]) == ("weak",) * 3


def test_encryption_is_missed_where_it_is_needed(site: Site) -> None:
    assert states(check_served("http://audit.example.com", NOW))["encryption"] == "wrong"
    assert states(check_served("http://localhost", NOW))["encryption"] == "ok"
    del site.headers["Strict-Transport-Security"]
    assert states(check_served(URL, NOW))["encryption"] == "weak"


def test_nobody_there_is_one_finding() -> None:
    (finding,) = check_served("http://127.0.0.1:1", NOW)
    assert (finding.check, finding.state) == ("service", "wrong")


# ---- the command ------------------------------------------------------------------------


def run(*arguments: str, folder: Path) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["doctor", "--data-dir", str(folder), *arguments])
    return done.exit_code, done.output


@pytest.fixture
async def folder(tmp_path: Path) -> Path:
    """The folder of a service on SQLite, with nothing wrong."""
    node = tmp_path / "node"
    async with running(Settings(data_dir=node, min_free_bytes=0)):
        return node


@pytest.fixture(autouse=True)
def nothing_else_is_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AUDITLOG_MIN_FREE_BYTES", "0")


def test_weak_ends_with_0_and_only_strictly_with_1(folder: Path) -> None:
    code, told = run(folder=folder)
    assert code == 0, told
    assert "weak   witnesses: " in told
    assert "Not looked at: whether there are backups" in told
    assert run("--strict", folder=folder)[0] == 1


def test_wrong_ends_with_1_and_says_what_to_do(folder: Path) -> None:
    (folder / "token-key.pem").chmod(0o644)
    code, told = run(folder=folder)
    assert code == 1
    assert (
        f"wrong  files: others may read or change token-key.pem. Run: chmod -R go= {folder}"
        in told
    )


def test_programs_get_json(folder: Path) -> None:
    code, told = run("--json", folder=folder)
    found = json.loads(told)
    assert code == 0
    assert {"address": "ok", "hosts": "weak"}.items() <= {
        each["check"]: each["state"] for each in found["findings"]
    }.items()
    assert all(set(each) == {"check", "state", "what", "advice"} for each in found["findings"])
    assert len(found["not_looked_at"]) == 4


def test_the_address_is_looked_at_too(folder: Path, site: Site) -> None:
    del site.headers["Referrer-Policy"]
    code, told = run("--url", f"{URL}/", folder=folder)
    assert code == 1
    assert "wrong  headers: Referrer-Policy" in told


def test_settings_that_cannot_be_read_are_told_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUDITLOG_TRUSTED_PROXIES", "proxy")
    code, told = run(folder=tmp_path)
    assert code == 1
    assert told.count("\n") == 1
    assert "AUDITLOG_TRUSTED_PROXIES" in told


# ---- a real connection ------------------------------------------------------------------


async def test_the_handshake_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = CertificateAuthority(tmp_path / "authority")
    pair = authority.issue("one", days=5)
    settings = Settings(
        store="sqlite:///:memory:",
        data_dir=tmp_path,
        tls_cert=str(pair.certificate),
        tls_key=str(pair.key),
    )

    def look() -> dict[str, str]:
        return states(check_handshake(f"https://localhost:{port}", utc_now()))

    async with running(settings) as api, served(api, settings) as port:
        assert await asyncio.to_thread(look) == {"certificate of the address": "wrong"}
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
        found = await asyncio.to_thread(look)
    assert found == {"TLS": "ok", "certificate of the address": "weak"}
