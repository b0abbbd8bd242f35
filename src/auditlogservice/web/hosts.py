"""By which names the service answers: a page of another site cannot pass for it (DNS rebinding).

No answer is built from the name of a request, so this is the second of two walls.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

ANY = "*"
# uri-host [ ":" port ] of RFC 9110 §7.2, with the signs that names of hosts have.
_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]*))(?::[0-9]{0,5})?")
_PATTERN = re.compile(r"(?:\*\.)?[a-z0-9_-]+(?:\.[a-z0-9_-]+)*")


@dataclass(frozen=True, slots=True)
class AllowedHosts:
    """Names of this service; `*.example.com` stands for every name below example.com.

    The names of the machine itself and bare addresses are always allowed: no other site has
    them, and health checks use them.
    """

    names: frozenset[str] = frozenset({ANY})

    @classmethod
    def parse(cls, text: str) -> AllowedHosts:
        """Return those of a list with commas in between; `*` allows every name.

        Raises ValueError, with a sentence, if one of them is no name.
        """
        names = frozenset(each.strip().lower() for each in text.split(",") if each.strip())
        for name in names - {ANY}:
            if not _PATTERN.fullmatch(name):
                raise ValueError(f"{name!r} is not the name of a host, without scheme and port")
        return cls(names)

    def __contains__(self, host: str) -> bool:
        """Whether a host, as `read_host` gives it, is one of these."""
        return (
            ANY in self.names or _is_own(host) or any(_matches(host, name) for name in self.names)
        )


def read_host(values: Sequence[str], *, http_version: str) -> str | None:
    """Return the host of the Host header, in lower case and without its port.

    None if there is not the one that a request must have (RFC 9112 §3.2), or if it is none.
    HTTP/1.0 may leave it out.
    """
    if not values and http_version == "1.0":
        return ""
    match = _HOST.fullmatch(values[0]) if len(values) == 1 else None
    if match is None:
        return None
    return (match[1] or match[2]).lower().removesuffix(".")


def _matches(host: str, name: str) -> bool:
    return host.endswith(name[1:]) if name.startswith("*.") else host == name


def _is_own(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
