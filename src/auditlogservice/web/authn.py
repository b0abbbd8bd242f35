"""Who is asking: the bearer token (RFC 6750) or a browser's session, and the scope of a route.

A route says whom it lets in by the type of one parameter: `caller: Writer`. The generated OpenAPI
document shows the same.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import OAuth2PasswordBearer, SecurityScopes

from auditlogservice.access import Principal, Scope
from auditlogservice.errors import NotAuthenticated, TwoAuthorizations
from auditlogservice.web import budgets
from auditlogservice.web.cookies import session_of
from auditlogservice.web.headers import header_values
from auditlogservice.web.services import services

_scheme = OAuth2PasswordBearer(
    tokenUrl="token",
    scopes={
        Scope.EVENTS_WRITE: "record events",
        Scope.EVENTS_READ: "read events",
        Scope.EVENTS_EXPORT: "export events",
        Scope.EVENTS_DELETE: "erase events",
        Scope.LEDGER_READ: "read checkpoints, tiles and proofs",
        Scope.USERS_MANAGE: "manage the users and clients of one's tenant",
        Scope.STREAMS_MANAGE: "manage the streams that feed other systems",
        Scope.TENANTS_MANAGE: "manage tenants, and with users:manage the users of any",
        Scope.ADMIN: "place legal holds and set how long events are kept",
    },
    # Ours tells a missing token from a bad one, and answers as problem+json.
    auto_error=False,
)


async def _caller(
    request: Request,
    needed: SecurityScopes,
    _documented: Annotated[str | None, Depends(_scheme)],
) -> Principal:
    return await let_in(request, *map(Scope, needed.scopes))


async def let_in(request: Request, *needed: Scope) -> Principal:
    """Return the caller, who has all of these scopes, and count the call.

    Raises NotAuthenticated, InsufficientScope, and what `budgets.begin` raises.
    """
    principal = await caller_of(request)
    request.state.principal = principal  # for the record, if it is refused
    for scope in needed:
        principal.require(scope)
    await budgets.begin(request, principal)
    return principal


async def caller_of(request: Request) -> Principal:
    """Return whom the request speaks for, as of now.

    A token in the Authorization header counts before a session in a cookie. Raises
    NotAuthenticated if there is neither, or for a suspended tenant, and CrossSiteRequest for a
    session that a page of another site has made its browser use.
    """
    here = services(request)
    given = header_values(request.scope, b"authorization")
    if not given and (session := session_of(request)):
        principal = await here.sessions.check(session)
    else:
        principal = await here.callers.check(_bearer(given))
    if await here.tenants.is_suspended(principal.tenant):
        raise NotAuthenticated(tried=True)
    return principal


async def require_still(request: Request, scope: Scope) -> None:
    """Return if the caller may still do this; an answer that takes long asks again.

    Raises NotAuthenticated or InsufficientScope.
    """
    (await caller_of(request)).require(scope)


def _bearer(given: list[str]) -> str:
    """Return the token of a request with these Authorization headers; it is nowhere else.

    Raises NotAuthenticated if there is none: another scheme is no try (RFC 6750 §3.1). Raises
    TwoAuthorizations if there are two headers, since two readers may each take another one.
    """
    if len(given) > 1:
        raise TwoAuthorizations
    scheme, _, token = given[0].partition(" ") if given else ("", "", "")
    if scheme.lower() != "bearer":
        raise NotAuthenticated(tried=False)
    return token.strip()


Anyone = Annotated[Principal, Security(_caller)]
Writer = Annotated[Principal, Security(_caller, scopes=[Scope.EVENTS_WRITE])]
Reader = Annotated[Principal, Security(_caller, scopes=[Scope.EVENTS_READ])]
Exporter = Annotated[Principal, Security(_caller, scopes=[Scope.EVENTS_EXPORT])]
Eraser = Annotated[Principal, Security(_caller, scopes=[Scope.EVENTS_DELETE])]
LedgerReader = Annotated[Principal, Security(_caller, scopes=[Scope.LEDGER_READ])]
Auditor = Annotated[Principal, Security(_caller, scopes=[Scope.LEDGER_READ, Scope.EVENTS_READ])]
UserManager = Annotated[Principal, Security(_caller, scopes=[Scope.USERS_MANAGE])]
Operator = Annotated[Principal, Security(_caller, scopes=[Scope.TENANTS_MANAGE])]
Admin = Annotated[Principal, Security(_caller, scopes=[Scope.ADMIN])]
