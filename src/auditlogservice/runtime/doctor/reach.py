"""How the service is reached, by whom, and who outside could contradict it: settings alone."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.x509 import load_pem_x509_certificates

from auditlogservice.errors import UnsafeSetup
from auditlogservice.runtime.doctor.findings import Finding, ok, weak, wrong
from auditlogservice.runtime.tls import check_tls
from auditlogservice.web.hosts import ANY, AllowedHosts
from auditlogservice.web.proxies import TrustedProxies

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from auditlogservice.runtime.settings import Settings

_DAYS_TO_RENEW = 14


def check_reach(settings: Settings, now: datetime) -> Iterator[Finding]:
    yield check_address(settings)
    yield check_certificate(settings, now)
    yield check_hosts(settings)
    yield check_proxies(settings)
    yield check_ledger_host(settings)
    yield from check_anchors(settings)


def is_local(host: str) -> bool:
    """Whether only this machine has this name or address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_address(settings: Settings) -> Finding:
    host = settings.host
    if is_local(host):
        return ok("address", f"{host} is reached from this machine only")
    if settings.tls_cert:
        return ok("address", f"{host} speaks TLS")
    if settings.trusted_proxies:
        return ok("address", f"{host} leaves TLS to {settings.trusted_proxies}")
    advice = (
        "Set AUDITLOG_TLS_CERT, or AUDITLOG_TRUSTED_PROXIES if a proxy speaks TLS, or "
        "AUDITLOG_HOST=127.0.0.1"
    )
    what = f"passwords and tokens come to {host} in the clear"
    return weak("address", what, advice) if _is_private(host) else wrong("address", what, advice)


def _is_private(host: str) -> bool:
    try:
        address = ip_address(host)
    except ValueError:
        return False
    return address.is_private and not address.is_unspecified


def check_certificate(settings: Settings, now: datetime) -> Finding:
    try:
        check_tls(settings)
    except UnsafeSetup as error:
        return wrong("certificate", str(error), "The server refuses to start with it")
    if not settings.tls_cert:
        return ok("certificate", "none, and none is needed")
    first, *_ = load_pem_x509_certificates(Path(settings.tls_cert).read_bytes())
    return check_end("certificate", first.not_valid_after_utc, now)


def check_end(check: str, end: datetime, now: datetime) -> Finding:
    """Say whether a certificate that is good until `end` has time left for its renewal."""
    until = f"good until {end:%Y-%m-%d}"
    if end <= now:
        return wrong(check, f"was {until}", "Renew it: callers refuse it, or have learnt not to")
    if (end - now).days < _DAYS_TO_RENEW:
        return weak(check, until, "Renew it, and see why that was not done by itself")
    return ok(check, until)


def check_hosts(settings: Settings) -> Finding:
    names = AllowedHosts.parse(settings.allowed_hosts).names
    if ANY in names:
        return weak(
            "hosts",
            "any name is answered, also one that another site has made to point here",
            "Set AUDITLOG_ALLOWED_HOSTS to the names of this service",
        )
    return ok("hosts", f"answers by {', '.join(sorted(names)) or 'its addresses'} only")


def check_proxies(settings: Settings) -> Finding:
    networks = TrustedProxies.parse(settings.trusted_proxies).networks
    if any(network.prefixlen == 0 for network in networks):
        return wrong(
            "proxies",
            "everybody is believed who says to be a proxy, and may write any address into the log",
            "Set AUDITLOG_TRUSTED_PROXIES to the addresses of the proxies",
        )
    if networks:
        return ok("proxies", f"{settings.trusted_proxies} say who calls, and nobody else")
    return ok("proxies", "nobody is believed who says to be one")


def check_ledger_host(settings: Settings) -> Finding:
    name = settings.ledger_host
    if is_local(name) and not is_local(settings.host):
        return weak(
            "ledger name",
            f"verifiers know the logs of this service as those of {name}, as anybody's",
            "Choose AUDITLOG_LEDGER_HOST before the first event; another name is another log",
        )
    return ok("ledger name", name)


def check_anchors(settings: Settings) -> Iterator[Finding]:
    if settings.witnesses:
        yield ok("witnesses", f"{settings.witnesses.count(',') + 1} cosign")
    else:
        yield weak(
            "witnesses",
            "nobody else sees the log, so whoever has the key could show two",
            "Set AUDITLOG_WITNESSES (docs/anchors.md)",
        )
    if settings.timestamp_url:
        yield ok("timestamps", "an authority says when the log was as it is")
    else:
        yield weak(
            "timestamps",
            "no authority says when the log was as it is",
            "Set AUDITLOG_TIMESTAMP_URL (docs/anchors.md)",
        )
