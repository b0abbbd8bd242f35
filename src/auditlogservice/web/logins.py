"""A login by name and password, whether a program asks for a token or a person for a session."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from auditlogservice.errors import (
    InvalidGrant,
    InvalidTokenRequest,
    Overloaded,
    TooManyAttempts,
)
from auditlogservice.web.budgets import address
from auditlogservice.web.callers import origin_of
from auditlogservice.web.patience import while_connected
from auditlogservice.web.services import services

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

    from auditlogservice.access import User

REFUSAL_DELAY = 1.0  # seconds


async def log_in(request: Request, form: Mapping[str, str]) -> User:
    """Return the user whose name and password the form has.

    Raises InvalidTokenRequest if it lacks one, and what `Accounts.sign_in` raises. Who fails is
    counted by address, and goes on record.
    """
    if "username" not in form or "password" not in form:
        raise InvalidTokenRequest("username and password are needed")
    signing_in = services(request).accounts.sign_in(
        form["username"], form["password"], address=address(request)
    )
    try:
        # Of a flood that hangs up, nothing is left waiting for its turn.
        return await while_connected(request, signing_in)
    except InvalidGrant:
        record_failure(request, form)
        raise
    except (Overloaded, TooManyAttempts):
        # Who tries again at once, again and again, would keep the loop from everybody's work.
        await asyncio.sleep(REFUSAL_DELAY)
        raise


def record_failure(request: Request, form: Mapping[str, str]) -> None:
    """Have it go on record that a login of this name came to nothing."""
    services(request).failed_logins.tell(form["username"], origin_of(request))
