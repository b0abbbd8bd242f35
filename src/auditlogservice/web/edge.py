"""The outermost layer: what holds for every request and every answer, errors too.

Plain ASGI, since it stands in front of each request: who calls, behind trusted proxies; by which
name; one spelling of paths (a trailing slash means the same, without a redirect), a request id,
security headers, one log line, one count.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Protocol, TypeAlias

from starlette.requests import ClientDisconnect, Request

from auditlogservice.errors import MalformedInput
from auditlogservice.web.headers import header_value, header_values
from auditlogservice.web.hosts import AllowedHosts, read_host
from auditlogservice.web.patience import SlowReader
from auditlogservice.web.problems import INTERNAL, MISDIRECTED, PROBLEMS, answer
from auditlogservice.web.proxies import Caller, TrustedProxies, find_caller
from auditlogservice.web.rate_limits import rate_limit_fields

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from auditlogservice.web.services import Metrics

RawHeader: TypeAlias = tuple[bytes, bytes]

_HUNG_UP = 499  # in the log: no answer was sent, the caller had gone
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")

SECURITY_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
# A browser that has seen it uses https alone, for a year (RFC 6797).
HSTS = {"Strict-Transport-Security": "max-age=31536000"}


def security_headers(scheme: str) -> dict[str, str]:
    """Return what every answer carries. Over plain http, HSTS must not be sent (RFC 6797 §7.2)."""
    return SECURITY_HEADERS | HSTS if scheme == "https" else SECURITY_HEADERS


class AccessLog(Protocol):
    """Who writes the line about a request."""

    def request(
        self,
        *,
        method: str,
        path: str,
        status: int,
        seconds: float,
        request_id: str,
        client: str | None,
    ) -> None: ...

    def defect(self, error: Exception, *, request_id: str) -> None: ...

    def dropped(self, *, path: str, request_id: str) -> None: ...


class Edge:
    def __init__(
        self,
        app: ASGIApp,
        *,
        metrics: Metrics,
        log: AccessLog,
        new_id: Callable[[], str],
        hosts: AllowedHosts,
        proxies: TrustedProxies,
    ) -> None:
        self._app = app
        self._hosts = hosts
        self._proxies = proxies
        self._metrics = metrics
        self._log = log
        self._new_id = new_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        self._name_caller(scope)
        told = scope["path"]
        if len(told) > 1 and told.endswith("/"):
            scope["path"] = told[:-1]
        given = header_value(scope, b"x-request-id", "")
        scope["request_id"] = given if _REQUEST_ID.fullmatch(given) else self._new_id()
        exchange = _Exchange(send, scope)
        start = time.perf_counter()
        try:
            await self._run(scope, receive, exchange)
        finally:
            self._tell(scope, told, exchange.status, time.perf_counter() - start)

    def _name_caller(self, scope: Scope) -> None:
        """Let everything behind see the caller in the place of the proxies before this service."""
        peer = Caller(scope.get("client"), scope.get("scheme", "http"))
        caller = find_caller(peer, scope["headers"], self._proxies)
        scope["client"], scope["scheme"] = caller.client, caller.scheme

    async def _run(self, scope: Scope, receive: Receive, exchange: _Exchange) -> None:
        try:
            refusal = self._refusal(scope)
            await (refusal or self._app)(scope, receive, exchange.send)
        except ClientDisconnect:
            pass  # nobody is left to answer
        except SlowReader:
            # Returning with the answer unfinished makes the server break off the connection.
            self._log.dropped(path=scope["path"], request_id=scope["request_id"])
        except Exception as error:  # noqa: BLE001 - the last place where a defect can be told
            self._log.defect(error, request_id=scope["request_id"])
            if exchange.status == _HUNG_UP:
                defect = answer(Request(scope), INTERNAL, detail="this is a defect of the service")
                await defect(scope, receive, exchange.send)

    def _refusal(self, scope: Scope) -> ASGIApp | None:
        """Return the answer to who calls this service by a name that is not its own."""
        host = read_host(header_values(scope, b"host"), http_version=scope["http_version"])
        if host is None:
            why = "a request has one Host header, with the name or the address of this service"
            return answer(Request(scope), PROBLEMS[MalformedInput], detail=why)
        if host not in self._hosts:
            why = "this service does not answer by the name in the Host header"
            return answer(Request(scope), MISDIRECTED, detail=why)
        return None

    def _tell(self, scope: Scope, path: str, status: int, seconds: float) -> None:
        # The pattern of the route, not the path: paths without end would fill the memory.
        route = getattr(scope.get("route"), "path", "none")
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self._metrics.answered(method=method, route=route, status=status, seconds=seconds)
        self._log.request(
            method=scope["method"],
            path=path,
            status=status,
            seconds=seconds,
            request_id=scope["request_id"],
            client=scope["client"][0] if scope["client"] else None,
        )


class _Exchange:
    """The sending side of one request: marks the answer, and remembers its status."""

    def __init__(self, send: Send, scope: Scope) -> None:
        self._send = send
        self._scope = scope
        self.status = _HUNG_UP

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = self._completed(message.get("headers", ()))
        await self._send(message)

    def _completed(self, headers: Iterable[RawHeader]) -> list[RawHeader]:
        """Return the headers of an answer, and those of every answer that it does not have."""
        own = list(headers)
        told = {name for name, _ in own}
        limits = rate_limit_fields(self._scope.get("standings", ()))
        return [
            *own,
            (b"x-request-id", self._scope["request_id"].encode()),
            *(each for each in _ALWAYS[self._scope["scheme"]] if each[0] not in told),
            # A refusal says itself what refused it.
            *(each for each in _raw(limits) if each[0] not in told),
        ]


def _raw(headers: Mapping[str, str]) -> list[RawHeader]:
    return [(name.lower().encode(), value.encode()) for name, value in headers.items()]


# By scheme, as they go out: made once, since every answer has them.
_ALWAYS = {scheme: _raw(security_headers(scheme)) for scheme in ("http", "https")}
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
