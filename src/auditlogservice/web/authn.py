"""Who is asking: the bearer token (RFC 6750), and the scope that a route asks for.

A route says whom it lets in by the type of one parameter: `caller: Writer`. The generated OpenAPI
document shows the same.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import OAuth2PasswordBearer, SecurityScopes

from auditlogservice.access import Principal, Scope
from auditlogservice.errors import NotAuthenticated
from auditlogservice.web.services import services

_scheme = OAuth2PasswordBearer(
    tokenUrl="token",
    scopes={
        Scope.EVENTS_WRITE: "record events",
        Scope.EVENTS_READ: "read events",
        Scope.EVENTS_EXPORT: "export events",
        Scope.EVENTS_DELETE: "erase events",
        Scope.LEDGER_READ: "read checkpoints, tiles and proofs",
        Scope.USERS_MANAGE: "manage the users of one's tenant",
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
    principal = await services(request).callers.check(bearer(request))
    for scope in needed.scopes:
        principal.require(Scope(scope))
    return principal


def bearer(request: Request) -> str:
    """Return the token of the request. Raises NotAuthenticated if there is none, or two."""
    given = request.headers.getlist("authorization")
    if len(given) != 1:
        raise NotAuthenticated(tried=bool(given))
    scheme, _, token = given[0].partition(" ")
    if scheme.lower() != "bearer":
        raise NotAuthenticated(tried=True)
    return token.strip()


Anyone = Annotated[Principal, Security(_caller)]
Writer = Annotated[Principal, Security(_caller, scopes=[Scope.EVENTS_WRITE])]
Reader = Annotated[Principal, Security(_caller, scopes=[Scope.EVENTS_READ])]
Exporter = Annotated[Principal, Security(_caller, scopes=[Scope.EVENTS_EXPORT])]
Eraser = Annotated[Principal, Security(_caller, scopes=[Scope.EVENTS_DELETE])]
LedgerReader = Annotated[Principal, Security(_caller, scopes=[Scope.LEDGER_READ])]
Auditor = Annotated[Principal, Security(_caller, scopes=[Scope.LEDGER_READ, Scope.EVENTS_READ])]
UserManager = Annotated[Principal, Security(_caller, scopes=[Scope.USERS_MANAGE])]
Admin = Annotated[Principal, Security(_caller, scopes=[Scope.ADMIN])]
