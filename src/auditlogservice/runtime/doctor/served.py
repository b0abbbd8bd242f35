"""The service as a stranger meets it, over HTTP and with no token."""

from __future__ import annotations

import socket
import ssl
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx2

from auditlogservice.runtime.doctor.findings import Finding, ok, weak, wrong
from auditlogservice.runtime.doctor.reach import check_end, is_local
from auditlogservice.web.edge import HSTS, SECURITY_HEADERS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_PATIENCE = 10.0  # seconds
_PREFLIGHT = {
    "Origin": "https://doctor.invalid",
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization",
}
_ERRORS = 400  # and above


def check_served(url: str, now: datetime) -> Iterator[Finding]:
    """Raises nothing: who does not answer is a finding."""
    try:
        with httpx2.Client(base_url=url, timeout=_PATIENCE) as client:
            yield check_alive(client)
            yield check_headers(client)
            yield check_origins(client)
            yield check_names(client)
            yield from check_open_pages(client)
            yield check_scheme(url, client)
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        yield wrong(
            "service", f"{url} does not answer: {error}", "Start it, or name another --url"
        )
    if urlsplit(url).scheme == "https":
        yield from check_handshake(url, now)


def check_alive(client: httpx2.Client) -> Finding:
    status = client.get("/readyz").status_code
    if status == httpx2.codes.OK:
        return ok("service", "ready")
    if client.get("/livez").status_code == httpx2.codes.OK:
        return wrong("service", f"alive and not ready ({status})", "/readyz says why")
    return wrong("service", f"answers {status}", "See that --url is this service's")


def check_headers(client: httpx2.Client) -> Finding:
    """Look at an answer and at a refusal, since proxies often treat the two differently."""
    flaws: set[str] = set()
    for path in ("/livez", "/doctor-was-here"):
        flaws.update(_flaws(client.get(path).headers))
    if flaws:
        return wrong("headers", ", ".join(sorted(flaws)), "See what the proxy does to headers")
    return ok("headers", "browsers are told to trust no answer too much")


def _flaws(headers: Mapping[str, str]) -> Iterator[str]:
    for name, value in SECURITY_HEADERS.items():
        if headers.get(name) != value:
            yield f"{name} is not {value!r}"
    if any(sign.isdigit() for sign in headers.get("Server", "")):
        yield "Server tells a version"


def check_origins(client: httpx2.Client) -> Finding:
    answers = (
        client.options("/events", headers=_PREFLIGHT),
        client.get("/livez", headers={"Origin": _PREFLIGHT["Origin"]}),
    )
    told = {
        name for each in answers for name in each.headers if name.startswith("access-control-")
    }
    if told:
        return wrong(
            "other origins",
            f"pages of other sites are let in by {', '.join(sorted(told))}",
            "Remove that from the proxy: this service sends no such header",
        )
    return ok("other origins", "no page of another site is let in")


def check_names(client: httpx2.Client) -> Finding:
    answer = client.get("/livez", headers={"Host": "doctor.invalid"})
    if answer.status_code < _ERRORS:
        return weak(
            "other names",
            "the service answers by a name that is not its own",
            "Set AUDITLOG_ALLOWED_HOSTS",
        )
    return ok("other names", "are refused")


def check_open_pages(client: httpx2.Client) -> Iterator[Finding]:
    for path, what in (("/metrics", "figures"), ("/docs", "the reference of the API")):
        if client.get(path).status_code == httpx2.codes.OK:
            yield weak(
                path,
                f"whoever reaches this address reads {what}",
                "Keep it from strangers in the proxy, if they are nobody's business",
            )
        else:
            yield ok(path, "not shown to strangers")


def check_scheme(url: str, client: httpx2.Client) -> Finding:
    parts = urlsplit(url)
    if parts.scheme != "https":
        if is_local(parts.hostname or ""):
            return ok("encryption", "none, within this machine")
        return wrong("encryption", "none", "Serve https: passwords and tokens come this way")
    if not set(client.get("/livez").headers).issuperset(name.lower() for name in HSTS):
        return weak(
            "encryption",
            "browsers are not told to use https alone",
            "Name the proxy in AUDITLOG_TRUSTED_PROXIES, and let it set X-Forwarded-Proto",
        )
    return ok("encryption", "https, and browsers are told to use nothing else")


def check_handshake(url: str, now: datetime) -> Iterator[Finding]:
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or 443
    context = ssl.create_default_context()
    try:
        with (
            socket.create_connection((host, port), _PATIENCE) as plain,
            context.wrap_socket(plain, server_hostname=host) as encrypted,
        ):
            version, certificate = encrypted.version(), encrypted.getpeercert() or {}
    except OSError as error:  # of which ssl.SSLError is one
        yield wrong("certificate of the address", f"not believed: {error}", "Get one that is")
        return
    yield ok("TLS", str(version))
    end = datetime.fromtimestamp(ssl.cert_time_to_seconds(str(certificate["notAfter"])), UTC)
    yield check_end("certificate of the address", end, now)
