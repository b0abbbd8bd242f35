"""Shapes that nothing was tuned for: skewed values, values of a time, wide events, long texts.

Ranks are drawn as in Zipf's law. What belongs to a time stands in one stretch of the log alone:
a `campaign` in its first 3,000 events, an `incident` in the last 2,000 of each 100,000.
"""

from __future__ import annotations

import random
from datetime import timedelta
from typing import TYPE_CHECKING, TypeAlias

from bench.events import EVERY, START

if TYPE_CHECKING:
    from collections.abc import Callable

Told: TypeAlias = "dict[str, object]"

CAMPAIGN = 3_000
INCIDENT, INCIDENT_EVERY = 2_000, 100_000
USERS, HOSTS, VOCABULARY, FIELDS = 5_000, 20_000, 20_000, 60
KINDS = [
    f"{noun}.{verb}"
    for verb in ("read", "update", "create", "delete")
    for noun in ("file", "order", "session", "key", "invoice", "policy", "device", "group")
]
REGIONS = ("eu-west", "us-east", "ap-south", "sa-east")


def rank(chance: random.Random, most: int) -> int:
    """Return 0 for one in about ln(most) draws, and larger numbers ever less often."""
    return min(most - 1, int(most ** chance.random()) - 1)


def small(number: int) -> Told:
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


def wide(number: int) -> Told:
    """About 2.5 kB: sixty plain fields, a long text, and an array of objects."""
    chance = random.Random(number)
    data: Told = {f"field{at:02}": _value(chance, at) for at in range(FIELDS)}
    data["lines"] = [
        {"sku": f"sku-{rank(chance, 3_000)}", "count": rank(chance, 50) + 1, "gift": False}
        for _ in range(chance.randrange(1, 5))
    ]
    return {
        "name": "Row Changed",
        "event_type": f"row.{('insert', 'update', 'delete')[rank(chance, 3)]}",
        "detail": " ".join(f"w{rank(chance, VOCABULARY)}" for _ in range(60)),
        "actor": {"id": f"user-{rank(chance, USERS)}"},
        "event_data": data,
    }


def _value(chance: random.Random, at: int) -> object:
    match at % 5:
        case 0:
            return f"{REGIONS[rank(chance, 4)]}-{rank(chance, 10 * (at + 1))}"
        case 1:
            return rank(chance, 1_000 * (at + 1))
        case 2:
            return chance.random() < 1 / (at + 1)
        case 3:
            return round(chance.gauss(100, 15), 3)
        case _:
            return chance.choice(REGIONS)


SHAPES: dict[str, Callable[[int], Told]] = {"small": small, "wide": wide}
