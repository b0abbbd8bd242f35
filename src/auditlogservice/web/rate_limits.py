"""Where a caller stands, as fields of an answer (draft-ietf-httpapi-ratelimit-headers-10)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from auditlogservice.budgets import Standing


def rate_limit_fields(standings: Sequence[Standing]) -> dict[str, str]:
    """Return `RateLimit-Policy` and `RateLimit`, each a list with an item for each policy."""
    if not standings:
        return {}
    return {
        "RateLimit-Policy": ", ".join(
            f'"{each.policy}";q={each.quota};w={each.window}' for each in standings
        ),
        "RateLimit": ", ".join(
            f'"{each.policy}";r={each.left};t={each.reset}' for each in standings
        ),
    }
