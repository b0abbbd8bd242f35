"""What deploy files promise, as far as it can be told without an engine."""

from __future__ import annotations

import json
import re
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
import yaml

from auditlogservice.runtime.settings import Settings

ROOT = Path(__file__).parents[1]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
UNIT = (ROOT / "deploy" / "auditlogservice.service").read_text()

Service = dict[str, Any]


def compose() -> dict[str, Any]:
    return dict(yaml.safe_load((ROOT / "docker-compose.yml").read_text()))


def services(prefix: str) -> dict[str, Service]:
    found = compose()["services"]
    return {name: found[name] for name in found if name.startswith(prefix)}


# ---- compose --------------------------------------------------------------------


def test_only_the_proxy_publishes_a_port_and_only_to_this_machine() -> None:
    published = {
        name: service["ports"] for name, service in services("").items() if "ports" in service
    }
    assert published == {"proxy": ["127.0.0.1:${PORT:-8080}:8080"]}


def test_the_database_is_on_a_network_that_leads_nowhere_else() -> None:
    assert {tuple(mongo["networks"]) for mongo in services("mongo").values()} == {("database",)}
    assert compose()["networks"]["database"] == {"internal": True}


def test_the_proxy_cannot_reach_the_database() -> None:
    assert list(compose()["services"]["proxy"]["networks"]) == ["front"]


def test_the_nodes_believe_the_proxy_and_nobody_else() -> None:
    address = compose()["services"]["proxy"]["networks"]["front"]["ipv4_address"]
    (subnet,) = compose()["networks"]["front"]["ipam"]["config"]
    assert ip_address(address) in ip_network(subnet["subnet"])
    for node in services("api").values():
        assert node["environment"]["AUDITLOG_TRUSTED_PROXIES"] == address


def test_two_api_nodes_share_a_store_and_no_folder() -> None:
    nodes = services("api")
    assert {name: node["volumes"] for name, node in nodes.items()} == {
        "api1": ["api1-data:/data"],
        "api2": ["api2-data:/data"],
    }
    assert [node["environment"]["AUDITLOG_STORE"] for node in nodes.values()] == [
        "mongodb://mongo1,mongo2,mongo3/auditlog?replicaSet=rs0"
    ] * 2


def test_api_nodes_wait_for_a_primary_and_the_proxy_for_the_nodes() -> None:
    healthy = {"condition": "service_healthy"}
    assert [node["depends_on"] for node in services("api").values()] == [{"mongo1": healthy}] * 2
    assert compose()["services"]["proxy"]["depends_on"] == {"api1": healthy, "api2": healthy}


def test_the_replica_set_names_the_services_that_run() -> None:
    script = (ROOT / "deploy" / "mongodb-ready.js").read_text()
    hosts = re.findall(r'host: "(\w+):27017"', script)
    assert sorted(hosts) == sorted(services("mongo"))
    assert {tuple(mongo["command"]) for mongo in services("mongo").values()} == {
        ("mongod", "--replSet", "rs0", "--bind_ip_all")
    }


def test_each_volume_is_declared_and_used_once() -> None:
    used = [
        volume.split(":")[0]
        for service in services("").values()
        for volume in service["volumes"]
        if not volume.startswith("./")
    ]
    assert sorted(used) == sorted(compose()["volumes"])


def test_files_that_are_mounted_exist() -> None:
    mounted = [
        volume.split(":")[0]
        for service in services("").values()
        for volume in service["volumes"]
        if volume.startswith("./")
    ]
    assert len(mounted) == 2
    assert [path for path in mounted if not (ROOT / path).is_file()] == []


def test_all_that_stops_starts_again() -> None:
    assert {service["restart"] for service in services("").values()} == {"unless-stopped"}


def test_api_nodes_have_no_rights_to_lose() -> None:
    for node in services("api").values():
        assert node["read_only"] is True
        assert node["cap_drop"] == ["ALL"]
        assert node["security_opt"] == ["no-new-privileges:true"]


def test_no_program_gains_rights_that_it_was_not_given() -> None:
    for service in services("").values():
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert "privileged" not in service
    assert services("proxy")["proxy"]["cap_drop"] == ["ALL"]
    assert services("proxy")["proxy"]["read_only"] is True


def test_the_engine_waits_longer_than_a_graceful_stop_takes() -> None:
    grace = Settings.model_fields["shutdown_grace"].default.total_seconds()
    for node in services("api").values():
        assert int(node["stop_grace_period"].removesuffix("s")) > grace
    stop = re.search(r"^TimeoutStopSec=(\d+)$", UNIT, re.MULTILINE)
    assert stop
    assert int(stop[1]) > grace


def test_the_proxy_balances_the_nodes_that_are_ready() -> None:
    caddy = (ROOT / "deploy" / "Caddyfile").read_text()
    upstreams = re.search(r"reverse_proxy (.*) {", caddy)
    assert upstreams
    assert upstreams[1].split() == [f"{name}:8080" for name in services("api")]
    assert "health_uri /readyz" in caddy


# ---- the image --------------------------------------------------------------------


def instructions(name: str) -> list[str]:
    """The arguments of each instruction of this name in the last stage."""
    last = DOCKERFILE.replace("\\\n", " ").split("\nFROM ")[-1]
    return re.findall(rf"^{name} +(.*)$", last, re.MULTILINE)


def test_the_image_runs_as_nobody_in_particular() -> None:
    assert instructions("USER") == ["10001:10001"]


@pytest.mark.parametrize(("certificate", "scheme"), [("", "http"), ("cert.pem", "https")])
def test_the_image_asks_itself_over_the_scheme_that_it_speaks(
    monkeypatch: pytest.MonkeyPatch, certificate: str, scheme: str
) -> None:
    (check,) = re.findall(r"^  CMD (\[.*\])$", DOCKERFILE, re.MULTILINE)
    asked: list[str] = []
    monkeypatch.setattr("urllib.request.urlopen", lambda url, **_: asked.append(url))
    monkeypatch.setenv("AUDITLOG_PORT", "9")
    monkeypatch.setenv("AUDITLOG_TLS_CERT", certificate)
    exec(json.loads(check)[2], {})
    assert asked == [f"{scheme}://127.0.0.1:9/readyz"]


def test_the_server_is_process_one_and_gets_the_signal() -> None:
    assert instructions("ENTRYPOINT") == ['["auditlogservice"]']
    assert instructions("CMD") == ['["serve"]']
    assert instructions("STOPSIGNAL") == ["SIGTERM"]


def test_the_image_keeps_its_data_in_the_volume() -> None:
    assert instructions("VOLUME") == ["/data"]
    (environment,) = instructions("ENV")
    assert "AUDITLOG_DATA_DIR=/data" in environment.split()
    assert "AUDITLOG_HOST=0.0.0.0" in environment.split()


def test_every_install_of_the_image_is_hashed_or_offline() -> None:
    installs = re.findall(r"pip .*?(?:install|wheel) .*", DOCKERFILE)
    assert len(installs) == 4
    for line in installs:
        assert "--require-hashes" in line or "--no-deps" in line


def test_the_build_gets_only_what_the_dockerfile_copies() -> None:
    kept = re.findall(r"^!(.*)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    copied = [
        path
        for line in re.findall(r"^COPY (?!--from)(.*) \S+$", DOCKERFILE, re.MULTILINE)
        for path in line.split()
    ]
    assert sorted(kept) == sorted(copied)


# ---- systemd ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        "DynamicUser=yes", "NoNewPrivileges=yes", "ProtectSystem=strict", "CapabilityBoundingSet=",
        "UMask=0077", "StateDirectoryMode=0700", "ProtectHome=yes", "PrivateDevices=yes",
        "RestrictNamespaces=yes", "MemoryDenyWriteExecute=yes",
        "RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX",
    ],
)  # fmt: skip
def test_the_unit_gives_no_rights_away(line: str) -> None:
    assert line in UNIT.splitlines()
