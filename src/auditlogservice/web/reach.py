"""How far those reach who manage others: into which tenants, and no further than their scopes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from auditlogservice.access import Scope, parse_scopes
from auditlogservice.errors import NotFound
from auditlogservice.web.documents import parameter
from auditlogservice.web.questions import Parameters
from auditlogservice.web.services import services

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.requests import Request

    from auditlogservice.access import Principal

TENANT = parameter(
    "tenant",
    {"type": "string"},
    "Of which tenant; if not given, the caller's own. Another one takes `tenants:manage` besides.",
)


async def tenant_of(request: Request, caller: Principal) -> str:
    """Return the tenant that `?tenant=` names, or the caller's own; a call has no more parameters.

    Raises NotFound if there is no such tenant, and just so if it is another one and the caller no
    operator; InvalidInput for any other parameter.
    """
    parameters = Parameters.read(request.scope["query_string"])
    asked = parameters.single("tenant")
    parameters.end()
    if asked is None or asked == caller.tenant:
        return caller.tenant
    if Scope.TENANTS_MANAGE not in caller.scopes:
        raise NotFound("no tenant has this name")
    return (await services(request).tenants.get(asked)).name


def with_tenant(path: str, tenant: str, caller: Principal) -> str:
    """Return the address under which the caller finds what is at this path of the tenant."""
    return path if tenant == caller.tenant else f"{path}?tenant={tenant}"


def grantable(caller: Principal, words: Iterable[str]) -> frozenset[Scope]:
    """Return the scopes with these names. Raises InsufficientScope if the caller lacks one."""
    scopes = parse_scopes(words, pointer="/scopes")
    require_all(caller, scopes)
    return scopes


def require_all(caller: Principal, scopes: frozenset[Scope]) -> None:
    """Raise InsufficientScope if the caller lacks one of these.

    Whoever sets a user's password can sign in as that user, so a manager reaches only as far as
    their own scopes do.
    """
    for scope in sorted(scopes):
        caller.require(scope)
