"""A suspension, and its end, on record: in the operator's log, and in the tenant's if it has one.

A tenant is added and removed in the operator's log alone: with a record in its own, one that was
made by mistake could never be removed.
"""

from __future__ import annotations

from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from auditlogservice.errors import LogDamaged
from auditlogservice.ledger.identity.telling import tenant_changed
from auditlogservice.ledger.selfaudit import acts

if TYPE_CHECKING:
    from auditlogservice.access import Tenant
    from auditlogservice.ledger.identity.tenants import Tenants
    from auditlogservice.ledger.selfaudit.recording import Caller, SelfAudit


async def set_suspended(
    tenants: Tenants, audit: SelfAudit, operator: Caller, name: str, *, suspended: bool
) -> Tenant:
    """Suspend or resume the tenant; return it as it is then.

    Raises NotFound, Conflict, and Unavailable if it cannot be put on record.
    """
    tenant = await tenants.get(name)
    entry = tenant_changed(tenant, suspended=suspended)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(audit.doing(acts.TENANT_CHANGED, operator, entry))
        if tenant.events and tenant.name != operator.tenant:
            itself = replace(operator, tenant=tenant.name)
            # A tenant whose log is damaged can be shut out all the same.
            with suppress(LogDamaged):
                await stack.enter_async_context(audit.doing(acts.TENANT_CHANGED, itself, entry))
        return await (tenants.suspend(name) if suspended else tenants.resume(name))
