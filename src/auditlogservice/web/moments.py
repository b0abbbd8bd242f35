"""Moments in the bodies of requests: RFC 3339, in any offset."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, TypeAlias

from pydantic import BeforeValidator

from auditlogservice.times import parse_rfc3339


def _moment(value: object) -> object:
    return parse_rfc3339(value) if isinstance(value, str) else value


Moment: TypeAlias = Annotated[datetime, BeforeValidator(_moment)]
