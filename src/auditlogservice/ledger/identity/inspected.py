"""What a token is, for whoever asks about it instead of showing it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from auditlogservice.access import Principal


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspected:
    """A token that is good, whom it speaks for, and from when until when."""

    principal: Principal
    issuer: str
    issued_at: datetime
    expires_at: datetime
