"""Who works on the store itself: nobody who has signed in, but somebody with an account here."""

from __future__ import annotations

import getpass
import socket

from auditlogservice.ledger.selfaudit.diary import Actor, Origin
from auditlogservice.ledger.selfaudit.recording import Caller

_OPERATOR = "@operator"  # no user's name starts with @


def operator(tenant: str) -> Caller:
    """Return whoever runs this command on this machine, for the log of the tenant.

    The name is what the machine says. Whoever has the store can write anything into it, so it
    helps those who are honest, and proves nothing.
    """
    try:
        account = getpass.getuser()
    except (KeyError, OSError):  # a container may run as a number that nothing else knows
        account = "somebody"
    actor = Actor(_OPERATOR, "operator", name=f"{account}@{socket.gethostname()}")
    return Caller(actor=actor, tenant=tenant, origin=Origin())
