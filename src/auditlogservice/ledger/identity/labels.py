"""What people say of a secret when they ask for it: what it is for, and until when."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from auditlogservice.errors import Flaw, InvalidInput

if TYPE_CHECKING:
    from datetime import datetime

MAX_LABEL = 100  # characters
USE_NOTED_EVERY = timedelta(minutes=1)  # a write for each use would cost more than the use
API_TOKEN_DAYS = 90
MAX_API_TOKEN_DAYS = 366


def check_label(label: str) -> None:
    if len(label) > MAX_LABEL or not label.isprintable():
        rule = f"a label has up to {MAX_LABEL} printable characters"
        raise InvalidInput([Flaw("/label", rule)])


def check_expiry(expires_at: datetime, *, now: datetime, most: timedelta | None = None) -> None:
    """Raise InvalidInput if the moment is over, or further away than `most`."""
    if expires_at <= now:
        raise InvalidInput([Flaw("/expires_at", "this moment is over")])
    if most is not None and expires_at > now + most:
        raise InvalidInput([Flaw("/expires_at", f"this may be good for {most.days} days at most")])
