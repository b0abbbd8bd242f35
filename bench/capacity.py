"""What a number of events a day takes: reckoned from measured figures, with no run of its own.

Figures and choices are the two tables in docs/scaling.md; what follows from them is the third,
which `--write` puts there, so that a new figure is changed in one place.

    python -m bench.capacity [--write]
"""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass
from math import ceil
from pathlib import Path

from bench.report import table

DOCUMENT = Path(__file__).parents[1] / "docs" / "scaling.md"
MEASURED, CHOSEN, FOLLOWS = "### Measured", "### Chosen", "### What follows"
_DAY = 86_400
_KB, _GIB, _TB = 1e3, 2**30, 1e12


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """By the names in the document, in its order."""

    api_cpu_us: float
    mongod_cpu_us: float
    told_bytes: float
    sent_bytes: float
    data_bytes: float
    index_bytes: float
    log_rate: float
    api_mib: float
    terms: float
    new_terms: float
    tombstone_bytes: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    events_a_day: float
    peak: float  # by the average
    busy: float  # per cent of a core, at the peak
    days: float  # that an event is kept
    copies: float
    node_cores: float
    node_tb: float
    node_gib: float
    full: float  # per cent of a disk
    hot: float  # per cent of the index that has to be in memory


def values(document: str, heading: str) -> list[float]:
    """Return the second column of the table under a heading."""
    rows = re.findall(r"^\| [^|]+ \| ([\d,.]+)", _under(document, heading), re.MULTILINE)
    return [float(each.replace(",", "")) for each in rows]


def figures(document: str) -> Figures:
    return Figures(**dict(zip(Figures.__slots__, values(document, MEASURED), strict=True)))


def choices(document: str) -> Choices:
    return Choices(**dict(zip(Choices.__slots__, values(document, CHOSEN), strict=True)))


def reckon(seen: Figures, chosen: Choices) -> list[tuple[str, str, str]]:
    """Return what is needed: what, how much, and how that comes about."""
    average = chosen.events_a_day / _DAY
    peak = average * chosen.peak
    free = chosen.busy / 100
    api_cores = peak * seen.api_cpu_us / 1e6 / free
    store_cores = peak * seen.mongod_cpu_us / 1e6 / free
    kept = chosen.events_a_day * chosen.days
    data, index = (kept * each / _TB for each in (seen.data_bytes, seen.index_bytes))
    memory = index * _TB * chosen.hot / 100 / _GIB
    shards = {
        "CPU": ceil(store_cores / chosen.node_cores),
        "disk": ceil((data + index) / (chosen.node_tb * chosen.full / 100)),
        "memory": ceil(memory / (chosen.node_gib / 2)),
    }
    most = max(shards, key=lambda name: shards[name])
    nodes = shards[most] * chosen.copies
    api_hours, node_hours = ceil(api_cores) * 24, nodes * 24
    return [
        ("events a second, average", _say(average), "events a day / 86,400"),
        ("events a second, at the peak", _say(peak), "average × peak"),
        ("logs to share them, at least", _say(ceil(peak / seen.log_rate)),
         "peak / events a second of one log"),
        ("API processes", _say(ceil(api_cores)), "peak × API CPU / busy"),
        ("memory of these", f"{_say(ceil(api_cores) * seen.api_mib / 1024)} GiB",
         "processes × memory of one"),
        ("cores for mongod, primaries", _say(ceil(store_cores)), "peak × mongod CPU / busy"),
        ("records on disk, one copy", f"{_say(data)} TB", "events × days × bytes without indexes"),
        ("indexes on disk, one copy", f"{_say(index)} TB", "events × days × bytes of indexes"),
        ("all copies", f"{_say((data + index) * chosen.copies)} TB", "both × copies"),
        ("tombstones on disk, one copy, each year",
         f"{_say(chosen.events_a_day * 365 * seen.tombstone_bytes / _TB)} TB",
         "events × 365 × bytes of one, if rules erase what is old"),
        ("index in memory, one copy", f"{_say(memory / 1024)} TiB", "indexes × hot share"),
        ("shards for CPU", _say(shards["CPU"]), "cores / cores of a node"),
        ("shards for the disk", _say(shards["disk"]), "one copy / room of a node"),
        ("shards for memory", _say(shards["memory"]), "index in memory / half of a node's"),
        (f"nodes, since {most} decides", _say(nodes), "most of the three × copies"),
        ("index places written anew, a second", _say(average * seen.new_terms),
         "average × new terms: reads at random where the index is not in memory"),
        ("network into the API, peak", f"{_say(peak * seen.told_bytes * 8 / 1e6)} Mbit/s",
         "peak × bytes told"),
        ("network into the primaries, peak", f"{_say(peak * seen.sent_bytes * 8 / 1e6)} Mbit/s",
         "peak × bytes sent to mongod; as much again to each further copy, before compression"),
        ("machine-hours a day: API cores", _say(api_hours), "processes × 24"),
        ("machine-hours a day: nodes", _say(node_hours), "nodes × 24"),
    ]  # fmt: skip


def reckoned(document: str) -> str:
    """Return the document with what follows from its figures: the first table there."""
    part, new = _under(document, FOLLOWS), _follows(document)
    told = re.sub(r"(?:^\|.*\n)+", f"{new}\n", part, count=1, flags=re.MULTILINE)
    return document.replace(part, told)


def _follows(document: str) -> str:
    rows = reckon(figures(document), choices(document))
    return table(("what", "how much", "how"), rows)


def _under(document: str, heading: str) -> str:
    found: str = document.split(f"{heading}\n", 1)[1]
    return re.split(r"^#", found, maxsplit=1, flags=re.MULTILINE)[0]


def _say(value: float) -> str:
    """Return two digits that count, or all of a count that is small."""
    if value == 0 or (value < 100 and value == int(value)):
        return f"{value:.0f}"
    return f"{float(f'{value:.2g}'):,.10g}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--write", action="store_true", help="put the table into the document")
    told = parser.parse_args()
    document = DOCUMENT.read_text()
    print(_follows(document))
    if told.write:
        DOCUMENT.write_text(reckoned(document))


if __name__ == "__main__":
    main()
