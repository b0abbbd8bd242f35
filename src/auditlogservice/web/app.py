"""The application: routes, errors and the edge, put together. What they use is given."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from auditlogservice import __version__
from auditlogservice.web import problems
from auditlogservice.web.budgets import BUDGETS
from auditlogservice.web.documents import JSON, SCHEMAS
from auditlogservice.web.documents import problems as problem_answers
from auditlogservice.web.edge import Edge
from auditlogservice.web.fast_path import FastPath
from auditlogservice.web.links import add_links
from auditlogservice.web.routes import (
    anchors,
    api_tokens,
    batches,
    clients,
    discovery,
    erasures,
    events,
    exports,
    follow,
    health,
    holds,
    ledger,
    limits,
    lists,
    pages,
    quotas,
    redaction,
    retention,
    signin,
    tenants,
    tokens,
    users,
    verifications,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

    from auditlogservice.web.edge import AccessLog
    from auditlogservice.web.hosts import AllowedHosts
    from auditlogservice.web.proxies import TrustedProxies
    from auditlogservice.web.services import Metrics, Services


def create_app(
    open_services: Callable[[], AbstractAsyncContextManager[Services]],
    *,
    metrics: Metrics,
    log: AccessLog,
    new_id: Callable[[], str],
    hosts: AllowedHosts,
    proxies: TrustedProxies,
) -> FastAPI:
    """Return the ASGI application. `open_services` is entered at its start, left at its end."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_services() as opened:
            app.state.services = opened
            yield

    app = FastAPI(
        title="auditlogservice",
        version=__version__,
        description="Records events durably, and finds them.",
        lifespan=lifespan,
        redirect_slashes=False,
        docs_url=None,
        redoc_url=None,
        # The environment could turn it on, and addresses, with questions in them, would go out.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    problems.install(app)
    for module in (
        tokens, signin, batches, lists, follow, exports, events, erasures, holds, retention,
        redaction, ledger, anchors, verifications, users, clients, api_tokens, discovery, tenants,
        quotas,        health, limits, pages,
    ):  # fmt: skip
        app.include_router(module.router)
    app.add_middleware(FastPath)
    app.add_middleware(Edge, metrics=metrics, log=log, new_id=new_id, hosts=hosts, proxies=proxies)
    app.openapi = lambda: _document(app)  # type: ignore[method-assign] # FastAPI's documented way
    return app


def _document(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI 3.1 document, made at the first request for it."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            openapi_version="3.1.0",
            routes=app.routes,
        )
        for operations in document["paths"].values():
            for operation in operations.values():
                # What FastAPI would answer to a bad path; here every text is a good one.
                if JSON in operation["responses"].get("422", {}).get("content", {}):
                    del operation["responses"]["422"]
        for method, path in BUDGETS:
            operation = document["paths"][path][method.lower()]
            operation["responses"].setdefault("429", problem_answers(429)[429])
        add_links(document)
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        schemas.clear()  # FastAPI's own errors, which this service never answers
        schemas.update(SCHEMAS)
        app.openapi_schema = document
    return app.openapi_schema
