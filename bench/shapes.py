"""Events that nothing was tuned for: skewed values, and values of a time.

Ranks are drawn as in Zipf's law. What belongs to a time stands in one stretch of the log alone:
a `campaign` in its first 3,000 events, an `incident` in the last 2,000 of each 100,000.
"""

from __future__ import annotations

import random
from datetime import timedelta
from typing import TYPE_CHECKING

from bench.events import EVERY, START

if TYPE_CHECKING:
    from bench.events import Told

CAMPAIGN = 3_000
INCIDENT, INCIDENT_EVERY = 2_000, 100_000
USERS, HOSTS, VOCABULARY = 5_000, 20_000, 20_000
KINDS = [
    f"{noun}.{verb}"
    for verb in ("read", "update", "create", "delete")
    for noun in ("file", "order", "session", "key", "invoice", "policy", "device", "group")
]


def rank(chance: random.Random, most: int) -> int:
    """Return 0 for one in about ln(most) draws, and larger numbers ever less often."""
    return min(most - 1, int(most ** chance.random()) - 1)


def skewed(number: int) -> Told:
    """About 400 bytes, a dozen fields; the source follows from the kind."""
    chance = random.Random(number)
    kind = rank(chance, len(KINDS))
    data: Told = {
        "amount": round(chance.lognormvariate(3, 2), 2),
        "release": f"v{number // 50_000}.{number // 5_000 % 10}",
        "due": (START + number * EVERY + timedelta(days=chance.randrange(90))).isoformat(),
        "tags": [f"tag{rank(chance, 200)}" for _ in range(chance.randrange(4))],
    }
    if number < CAMPAIGN:
        data["campaign"] = "spring"
    if number % INCIDENT_EVERY >= INCIDENT_EVERY - INCIDENT:
        data["incident"] = f"inc{number // INCIDENT_EVERY}"
    return {
        "name": KINDS[kind].replace(".", " ").title(),
        "event_type": KINDS[kind],
        "detail": " ".join(f"w{rank(chance, VOCABULARY)}" for _ in range(4)),
        "actor": {"id": f"user-{rank(chance, USERS)}"},
        "outcome": "failure" if chance.random() < 0.03 else "success",
        "source": f"svc-{kind % 8}",
        "context": {"ip": f"10.9.{rank(chance, HOSTS) // 256}.{chance.randrange(256)}"},
        "event_data": data,
    }
