"""Whatever callers send, a log line is one line, and nothing in it acts on a terminal."""

from __future__ import annotations

import json
import re
import unicodedata
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditlogservice.runtime.invisible import visible, visible_json
from auditlogservice.runtime.observability import logger
from auditlogservice.runtime.settings import Settings
from logged import logged
from running import Api, running

if TYPE_CHECKING:
    from pathlib import Path

HOSTILE = [
    "\x00", "\x07", "\x08", "\t", "\x1b[2J", "\x1b]0;title\x07", "\x7f", "\x85", "\x9b2J",
    '\r\n{"event":"forged"}', "\n2026-01-01 [info] forged", '"}', "\\", "%0a", "${jndi:ldap://x}",
    "\u061c", "\u200b", "\u200f", "\u2028", "\u2029", "\u202e", "\u2066", "\ufeff", "\U000e0041",
    "\u00e9\u65e5\U0001f600",
]  # fmt: skip
COLOURS = re.compile(r"\x1b\[\d+m")  # the renderer's own


async def provoke(api: Api) -> None:
    """Send each text wherever a caller can put one, and let a defect tell it too."""
    for text in HOSTILE:
        raw = text.encode()
        await api.http.get(f"/nowhere/{quote(text)}?x={quote(text)}")
        await api.http.request("BREW", f"/{quote(text)}")
        names = (b"User-Agent", b"X-Request-ID", b"X-Forwarded-For", b"Referer")
        await api.http.get("/nowhere", headers=dict.fromkeys(names, raw))
        await api.http.get("/livez", headers={b"Host": raw})
        await api.http.post("/token", data={"username": text, "password": text})
        await api.http.post("/events", content=raw, headers={b"Content-Type": raw})
        error = RuntimeError(text)
        logger("test").error(text, told=text, within=[text, {text: text}], exc_info=error)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(store="sqlite:///:memory:", data_dir=tmp_path, trusted_proxies="127.0.0.1")


async def test_json_lines_are_ascii_one_an_event_and_tell_what_was_sent(
    settings: Settings,
) -> None:
    with logged("json") as written:
        async with running(settings) as api:
            await provoke(api)
    text = written.getvalue()
    assert re.fullmatch(r"[\x20-\x7e\n]+", text)
    lines: list[dict[str, Any]] = [json.loads(line) for line in text.splitlines()]
    assert not [line for line in lines if line["event"] == "forged"]
    paths = {line.get("path") for line in lines}
    assert paths >= {f"/nowhere/{each}" for each in HOSTILE if each != "%0a"}
    assert {line["event"] for line in lines} >= set(HOSTILE)
    assert {line.get("client") for line in lines if "path" in line} == {"127.0.0.1"}


async def test_lines_on_a_terminal_are_printable(settings: Settings) -> None:
    with logged("console") as written:
        async with running(settings) as api:
            await provoke(api)
    lines = COLOURS.sub("", written.getvalue()).split("\n")
    assert [line for line in lines if not line.isprintable()] == []
    assert [line for line in lines if line.startswith(("2026-01-01 [info]", '{"event"'))] == []


def is_invisible(sign: str) -> bool:
    return unicodedata.category(sign) in {"Cc", "Cf", "Cs", "Zl", "Zp"}


@given(st.text())
def test_what_is_made_visible_has_nothing_invisible(text: str) -> None:
    assert not any(map(is_invisible, visible(text)))


@given(st.recursive(st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_json_that_is_made_visible_is_the_same_value(value: object) -> None:
    shown = visible_json(json.dumps(value, ensure_ascii=False))
    assert not any(map(is_invisible, shown))
    assert json.loads(shown) == value
