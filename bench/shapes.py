"""Events that nothing was tuned for: skewed values, wide records, and values of a time.

Ranks are drawn as in Zipf's law. What belongs to a time stands in one stretch of the log alone:
a `campaign` in its first 3,000 events, an `incident` in the last 2,000 of each 100,000; of the
wide ones a `legacy_id` in the first 10,000, and each `release` in 10,000.
"""

from __future__ import annotations

import random
import uuid
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


STRETCH = 10_000  # events that one release of the wide ones has seen
CONTACTS = 30_000
CHANGES = ("contact.updated", "deal.updated", "email.sent", "session.opened", "export.requested")
_OFTEN = (50, 25, 15, 9, 1)  # in a hundred
_STEPS = ("lead", "qualified", "proposal", "won", "lost")
_BROWSERS = tuple(
    f"Mozilla/5.0 ({system}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{version}.0"
    for system in ("Windows NT 10.0; Win64; x64", "Macintosh; Intel Mac OS X 10_15_7")
    for version in range(130, 140)
)


def one_of(chance: random.Random) -> bool:
    """Return true for one in two."""
    return chance.getrandbits(1) == 1


def wide(number: int) -> Told:
    """About 1.6 kB: forty flat fields of a customer's record before and after, and a note.

    Of `remote`, `billable` and `manual` any two meet in a quarter of all, and all three never.
    """
    chance = random.Random(number)
    (kind,) = chance.choices(CHANGES, _OFTEN)
    remote, billable = one_of(chance), one_of(chance)
    before, after = rank(chance, len(_STEPS)), rank(chance, len(_STEPS))
    contact = f"contact{rank(chance, CONTACTS)}@example{chance.randrange(300)}.com"
    address = f"10.{chance.randrange(256)}.{chance.randrange(256)}.{chance.randrange(1, 255)}"
    moment = START + number * EVERY
    return {
        "name": kind.replace(".", " ").title(),
        "event_type": kind,
        "detail": " ".join(f"n{rank(chance, VOCABULARY)}" for _ in range(30)),
        "occurred_at": moment.isoformat(),
        "actor": {"id": f"agent{rank(chance, 400)}@crm.example.com", "type": "user"},
        "outcome": "success" if chance.random() < 0.999 else "failure",
        "source": "crm-web" if remote else "crm-desk",
        "context": {
            "ip": address,
            "user_agent": chance.choice(_BROWSERS),
            "session_id": _uuid(chance),
        },
        "event_data": _row(number, chance) | {
            "record_id": _uuid(chance),
            "contact_email": contact,
            "page_url": f"https://crm.example.com/eu/contacts/{chance.randrange(CONTACTS)}/edit",
            "remote": remote,
            "billable": billable,
            "manual": remote != billable,
            "old_stage": _STEPS[before],
            "new_stage": _STEPS[after],
            "old_amount": f"{chance.randrange(10**6) / 100:.2f}",
            "new_amount": f"{chance.lognormvariate(5, 2):.2f}",
            "closes_on": (moment + timedelta(days=chance.randrange(365))).isoformat(),
            "changes": [
                {"field": "stage", "before": _STEPS[before], "after": _STEPS[after]},
                {"field": "owner", "before": _owner(chance), "after": _owner(chance)},
            ],
        },
    }  # fmt: skip


def _row(number: int, chance: random.Random) -> Told:
    """Return the fields whose values say little, and those of a time."""
    row: Told = {
        "plan": chance.choices(("free", "team", "enterprise"), (50, 45, 5))[0],
        "currency": chance.choices(("EUR", "USD", "CHF"), (60, 39, 1))[0],
        "beta": chance.random() < 0.001,
        "deleted_at": None,
        "release": f"r{number // STRETCH}",
        "retries": rank(chance, 8),
        "score": chance.randrange(1_000),
        "country": f"c{rank(chance, 190)}",
    }
    row |= {f"custom_{each:02}": f"v{rank(chance, 12)}" for each in range(10)}
    if number < STRETCH:
        row["legacy_id"] = number
    return row


def _owner(chance: random.Random) -> str:
    return f"o{rank(chance, 90)}"


def _uuid(chance: random.Random) -> str:
    return str(uuid.UUID(int=chance.getrandbits(128), version=4))
