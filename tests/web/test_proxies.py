"""Who calls is what the connection says, or what a proxy says that an operator named."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditlogservice.runtime.observability import AccessLines
from auditlogservice.runtime.settings import Settings
from auditlogservice.web.proxies import Caller, TrustedProxies, find_caller
from running import Api, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from auditlogservice.web.proxies import ForwardedHeader

PROXIES = "10.0.0.0/24, 2001:db8::1"
PEER = ("10.0.0.1", 4711)


def caller(
    *lines: tuple[str, str],
    peer: tuple[str, int] | None = PEER,
    header: ForwardedHeader = "x-forwarded-for",
    trusted: str = PROXIES,
) -> tuple[tuple[str, int] | None, str]:
    headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in lines]
    found = find_caller(Caller(peer, "http"), headers, TrustedProxies.parse(trusted, header))
    return found.client, found.scheme


FOR = "X-Forwarded-For"
PROTO = "X-Forwarded-Proto"


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([], (PEER, "http")),
        ([(FOR, "1.2.3.4")], (("1.2.3.4", 0), "http")),
        ([(FOR, "1.2.3.4:99")], (("1.2.3.4", 99), "http")),
        ([(FOR, "2001:DB8::9")], (("2001:db8::9", 0), "http")),
        ([(FOR, "[2001:db8::9]:99")], (("2001:db8::9", 99), "http")),
        ([(FOR, "::ffff:1.2.3.4")], (("1.2.3.4", 0), "http")),
        ([(FOR, "6.6.6.6, 1.2.3.4")], (("1.2.3.4", 0), "http")),
        ([(FOR, "6.6.6.6, 1.2.3.4, 10.0.0.7, 2001:db8::1")], (("1.2.3.4", 0), "http")),
        ([(FOR, "6.6.6.6"), (FOR, "1.2.3.4"), (FOR, "10.0.0.7")], (("1.2.3.4", 0), "http")),
        ([(FOR, "10.0.0.9, 10.0.0.8")], (("10.0.0.9", 0), "http")),
        ([(FOR, "1.2.3.4"), (PROTO, "https")], (("1.2.3.4", 0), "https")),
        ([(PROTO, "HTTPS")], (PEER, "https")),
        ([(PROTO, "https, http")], (PEER, "http")),
        ([(PROTO, "gopher")], (PEER, "http")),
        # What is no address is not believed, and nobody beyond it is looked at.
        ([(FOR, "1.2.3.4, unknown")], (PEER, "http")),
        ([(FOR, "1.2.3.4, \x1b[2J, 10.0.0.8")], (("10.0.0.8", 0), "http")),
        ([(FOR, "1.2.3.4, ")], (PEER, "http")),
        ([(FOR, "1.2.3.4:123456")], (PEER, "http")),
        ([(FOR, "127.1")], (PEER, "http")),
        ([("Forwarded", "for=1.2.3.4;proto=https")], (PEER, "http")),
    ],
)
def test_the_newest_entry_that_no_proxy_made_is_the_caller(
    lines: list[tuple[str, str]], expected: tuple[tuple[str, int], str]
) -> None:
    assert caller(*lines) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("for=1.2.3.4", (("1.2.3.4", 0), "http")),
        ('For="1.2.3.4:99" ; PROTO=https; by=10.0.0.1', (("1.2.3.4", 99), "https")),
        ('for="[2001:db8::9]:99"', (("2001:db8::9", 99), "http")),
        ("for=6.6.6.6;proto=https, for=1.2.3.4;proto=http", (("1.2.3.4", 0), "http")),
        ("for=1.2.3.4;proto=https, for=10.0.0.8;proto=http", (("1.2.3.4", 0), "https")),
        ("for=_hidden;proto=https", (PEER, "https")),
        ("for=unknown", (PEER, "http")),
        ("proto=https", (PEER, "https")),
        ("for=1.2.3.4;for=6.6.6.6", (PEER, "http")),
        # A caller who leaves a quote open does not swallow what the proxy appends.
        ('for="6.6.6.6, for=1.2.3.4', (("1.2.3.4", 0), "http")),
        ('for=6.6.6.6;x="a\\", for=1.2.3.4', (("1.2.3.4", 0), "http")),
        ("nonsense", (PEER, "http")),
        ("", (PEER, "http")),
    ],
)
def test_forwarded_is_read_as_rfc_7239_has_it(
    value: str, expected: tuple[tuple[str, int], str]
) -> None:
    told = caller(("Forwarded", value), (FOR, "9.9.9.9"), header="forwarded")
    assert told == expected


@pytest.mark.parametrize(
    "peer", [("1.2.3.4", 1), ("10.0.1.0", 1), ("2001:db8::2", 1), ("a", 1), None]
)
def test_who_is_no_proxy_is_not_believed(peer: tuple[str, int] | None) -> None:
    lines = [(FOR, "6.6.6.6"), (PROTO, "https"), ("Forwarded", "for=6.6.6.6;proto=https")]
    for header in ("x-forwarded-for", "forwarded"):
        assert caller(*lines, peer=peer, header=header) == (peer, "http")


def test_an_ipv4_address_is_one_also_where_ipv6_wraps_it() -> None:
    assert caller((FOR, "1.2.3.4"), peer=("::ffff:10.0.0.1", 1))[0] == ("1.2.3.4", 0)
    assert caller(peer=("::ffff:192.0.2.1", 1))[0] == ("192.0.2.1", 1)


def test_without_proxies_nobody_is_believed() -> None:
    assert caller((FOR, "6.6.6.6"), (PROTO, "https"), trusted="") == (PEER, "http")


ENTRIES = st.one_of(
    st.ip_addresses().map(str),
    st.sampled_from(["10.0.0.5", "unknown", "", 'for="', "for=6.6.6.6;proto=https", ";", '"']),
    st.text(st.characters(max_codepoint=255, exclude_characters="\r\n"), max_size=20),
)
LINES = st.lists(st.tuples(st.sampled_from([FOR, PROTO, "Forwarded"]), ENTRIES), max_size=8)


@given(lines=LINES, peer=st.ip_addresses(network="192.0.2.0/24"))
def test_nothing_that_a_stranger_sends_changes_what_is_seen_of_him(
    lines: list[tuple[str, str]], peer: object
) -> None:
    for header in ("x-forwarded-for", "forwarded"):
        address = (str(peer), 1)
        assert caller(*lines, peer=address, header=header) == (address, "http")


@given(lines=LINES, real=st.ip_addresses(network="192.0.2.0/24"))
def test_nothing_that_a_stranger_sends_changes_what_a_proxy_says_of_him(
    lines: list[tuple[str, str]], real: object
) -> None:
    """A proxy appends its entry to the last line, or in a line of its own, and sets its scheme."""
    own = {"x-forwarded-for": (FOR, str(real)), "forwarded": ("Forwarded", f"for={real}")}
    for header, (name, entry) in own.items():
        sent = [line for line in lines if line[0] != PROTO]
        expected = ((str(real), 0), "http")
        assert caller(*sent, (name, entry), header=header) == expected  # type: ignore[arg-type] # a key of the table
        joined = [(told, f"{value}, {entry}" if told == name else value) for told, value in sent]
        if joined and joined[-1][0] == name:
            assert caller(*joined, header=header) == expected  # type: ignore[arg-type] # a key of the table


@pytest.mark.parametrize("text", ["10.0.0.1/8", "proxy", "1.2.3", "*", "10.0.0.0/33"])
def test_a_list_of_proxies_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(text)):
        TrustedProxies.parse(text)


# ---- the service ------------------------------------------------------------------------


@pytest.fixture
async def behind(tmp_path: Path) -> AsyncIterator[Api]:
    """A service that trusts the proxy at 127.0.0.1, which is where its test client is."""
    settings = Settings(store="sqlite:///:memory:", data_dir=tmp_path, trusted_proxies="127.0.0.1")
    async with running(settings) as api:
        yield api


HSTS = "strict-transport-security"


async def test_https_through_a_trusted_proxy_is_https(behind: Api) -> None:
    for path in ("/livez", "/nowhere", "/events"):
        answer = await behind.http.get(path, headers={PROTO: "https"})
        assert answer.headers[HSTS] == "max-age=31536000"
        assert HSTS not in (await behind.http.get(path)).headers


async def test_https_is_not_taken_from_a_stranger(behind: Api) -> None:
    transport = httpx2.ASGITransport(app=behind.app, client=("192.0.2.9", 1))
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as stranger:
        answer = await stranger.get("/livez", headers={PROTO: "https", FOR: "127.0.0.1"})
        assert HSTS not in answer.headers


async def test_the_log_names_the_caller_and_not_the_proxy(
    behind: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[dict[str, Any]] = []
    monkeypatch.setattr(AccessLines, "request", lambda _, **line: lines.append(line))
    await behind.http.get("/nowhere", headers={FOR: "6.6.6.6, 192.0.2.77"})
    await behind.http.get("/nowhere")
    assert [line["client"] for line in lines] == ["192.0.2.77", "127.0.0.1"]
