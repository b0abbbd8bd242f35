"""Who calls when proxies stand in between: their word is taken only if an operator named them.

A proxy appends the address that it was called from. So the list is read from its end, and only
as long as the one who wrote an entry is trusted: what a caller wrote into it before, be it
malformed, is never reached.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Address: TypeAlias = "tuple[str, int]"  # and the port, 0 if it was not told
Headers: TypeAlias = "Sequence[tuple[bytes, bytes]]"
ForwardedHeader: TypeAlias = Literal["x-forwarded-for", "forwarded"]

_LONGEST = 64  # of an address as text: 45, and the name of an interface behind it
_SCHEMES = frozenset({"http", "https"})
# A comma or a semicolon in a quoted text is taken for a separator all the same: no address has
# one, and so a quote that a caller left open cannot swallow what the proxy appended.
_PAIR = re.compile(r"""\s*([!#$%&'*+.^_`|~\w-]+)=(?:"([^"\\]*)"|([^\s"]*))\s*""", re.ASCII)
_NODE = re.compile(r"(?:\[([\da-fA-F:.]+)\]|([\d.]+))(?::(\d{1,5}))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class TrustedProxies:
    """The proxies that are believed, and the header that they write.

    Only one header counts: a proxy that writes the one passes the other on as its caller sent it.
    """

    networks: tuple[IPv4Network | IPv6Network, ...] = ()
    header: ForwardedHeader = "x-forwarded-for"

    @classmethod
    def parse(cls, text: str, header: ForwardedHeader = "x-forwarded-for") -> TrustedProxies:
        """Return those of a list of addresses and networks (CIDR) with commas in between.

        Raises ValueError, with a sentence, if one of them is none.
        """
        told = [each.strip() for each in text.split(",") if each.strip()]
        return cls(tuple(ip_network(each) for each in told), header)

    def __contains__(self, host: str) -> bool:
        try:
            address = ip_address(host)
        except ValueError:
            return False
        return any(address in network for network in self.networks)


@dataclass(frozen=True, slots=True)
class Caller:
    """Where a request came from, and by which scheme; None if that is no network address."""

    client: Address | None
    scheme: str


@dataclass(frozen=True, slots=True)
class _Hop:
    """What one proxy said: who called it, and by which scheme if it said so."""

    node: str
    scheme: str | None = None


def find_caller(peer: Caller, headers: Headers, proxies: TrustedProxies) -> Caller:
    """Return who made the request that `peer` sent, as far as trusted proxies tell.

    `headers` have lower-case names. Where a proxy does not tell an address, it is the caller.
    """
    client, scheme = _plain_peer(peer.client), peer.scheme
    for hop in _hops(headers, proxies.header) if proxies.networks else ():
        if client is None or client[0] not in proxies:
            break
        scheme = hop.scheme or scheme
        told = _read_node(hop.node)
        if told is None:
            break
        client = told
    return Caller(client, scheme)


def _hops(headers: Headers, header: ForwardedHeader) -> Iterator[_Hop]:
    """Yield what the proxies said, the nearest first."""
    if header == "forwarded":
        yield from map(_read_element, _newest_first(headers, b"forwarded"))
        return
    # Each proxy puts its scheme in the place of the one before, so it goes with the nearest hop.
    scheme = next(_newest_first(headers, b"x-forwarded-proto"), "").lower()
    nodes = _newest_first(headers, b"x-forwarded-for")
    yield _Hop(next(nodes, ""), scheme if scheme in _SCHEMES else None)
    yield from map(_Hop, nodes)


def _newest_first(headers: Headers, name: bytes) -> Iterator[str]:
    for each, value in reversed(headers):
        if each == name:
            yield from (part.strip() for part in reversed(value.decode("latin-1").split(",")))


def _read_element(text: str) -> _Hop:
    """Return what a forwarded-element says (RFC 7239 §4); no address if it is not one."""
    pairs: dict[str, str] = {}
    for part in text.split(";"):
        match = _PAIR.fullmatch(part)
        if match is None or match[1].lower() in pairs:
            return _Hop("")
        pairs[match[1].lower()] = match[3] if match[2] is None else match[2]
    scheme = pairs.get("proto", "").lower()
    return _Hop(pairs.get("for", ""), scheme if scheme in _SCHEMES else None)


def _read_node(text: str) -> Address | None:
    """Return the address of a node (RFC 7239 §6); None if it is hidden or is none.

    X-Forwarded-For has IPv6 addresses without brackets too.
    """
    match = _NODE.fullmatch(text)
    host, port = (match[1] or match[2], int(match[3] or 0)) if match else (text, 0)
    try:
        return _plain((host, port))
    except ValueError:
        return None


def _plain_peer(client: Address | None) -> Address | None:
    """Return where the connection comes from; as it is if that is no network address."""
    try:
        return _plain(client) if client else None
    except ValueError:
        return client


def _plain(address: Address) -> Address:
    """Return the address in its one spelling: an IPv4 one also where IPv6 wraps it.

    Raises ValueError if it is none.
    """
    host, port = address
    if len(host) > _LONGEST:
        raise ValueError(host)
    return _plain_host(host), port


@lru_cache(maxsize=4_096)  # reading an address takes longer than all else here
def _plain_host(host: str) -> str:
    told = ip_address(host)
    if isinstance(told, IPv6Address) and told.ipv4_mapped:
        told = told.ipv4_mapped
    return str(told)
