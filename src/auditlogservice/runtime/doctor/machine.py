"""The process and what it is made of: who it runs as, and whether its parts are still mended."""

from __future__ import annotations

import re
from datetime import date
from typing import TYPE_CHECKING

from auditlogservice.runtime.doctor.findings import Finding, ok, weak, wrong

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

# The last month in which security is mended: PEP 664, 693, 719 and 745.
_PYTHON_ENDS = {
    (3, 11): date(2027, 10, 31),
    (3, 12): date(2028, 10, 31),
    (3, 13): date(2029, 10, 31),
    (3, 14): date(2030, 10, 31),
}
_OLDEST_OPENSSL = (3, 0)
_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?>=([0-9.]+)")


def check_user(uid: int | None) -> Finding:
    """`uid` is the effective one; None where there are none."""
    if uid == 0:
        return weak(
            "user",
            "this command runs as root",
            "If the server does too, give it a user of its own: it needs no right of root's",
        )
    return ok("user", "not root")


def check_python(version: tuple[int, int], today: date) -> Finding:
    name = ".".join(map(str, version))
    ends = _PYTHON_ENDS.get(version)
    if ends and ends < today:
        return weak("python", f"{name} is not mended since {ends}", "Install a newer Python")
    return ok("python", name)


def check_openssl(version: tuple[int, ...], name: str) -> Finding:
    if version[:2] < _OLDEST_OPENSSL:
        return wrong("openssl", f"{name} is not mended any more", "Install OpenSSL 3 or newer")
    return ok("openssl", name)


def check_packages(requirements: Iterable[str], installed: Callable[[str], str | None]) -> Finding:
    """Compare what is installed with the floors of this package's own metadata (PEP 508).

    Floors are raised when a release mends a weakness. What is not installed is not needed.
    """
    old = [
        f"{name} {found} (needs {floor})"
        for name, floor in _floors(requirements)
        if (found := installed(name)) and _release(found) < _release(floor)
    ]
    if old:
        return wrong("packages", f"too old: {', '.join(old)}", "Install from the lock file")
    return ok("packages", "none is older than it may be")


def _floors(requirements: Iterable[str]) -> Iterable[tuple[str, str]]:
    for line in requirements:
        if match := _REQUIREMENT.match(line):
            yield match[1], match[2]


def _release(version: str) -> tuple[int, ...]:
    """Return the numbers of a release (PEP 440), without zeros at their end."""
    numbers = re.match(r"\d+(?:\.\d+)*", version)
    told = [int(each) for each in numbers[0].split(".")] if numbers else []
    while told and told[-1] == 0:
        told.pop()
    return tuple(told)
