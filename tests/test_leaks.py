"""What looks like a secret: each kind is found where it stands, and its likes are not."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from auditlogservice.canonical import dump
from auditlogservice.leaks import _SHAPES, MAX_FLAGS, flags

# Put together here, so that no scanner of this repository takes them for secrets.
AWS = "AKIA" + "IOSFODNN7EXAMPLE"
JWT = "eyJhbGciOiJFZERTQSJ9" + ".eyJzdWIiOiJhbGljZSJ9" + ".c2lnbmF0dXJl"
FOUND = {
    AWS: "aws-access-key",
    f"key={AWS}&x": "aws-access-key",
    "ASIA" + "ABCDEFGHIJKLMNOP": "aws-access-key",
    "Authorization: Bearer " + "abcdefghijklmnopqrstuvwxyz": "bearer-token",
    "authorization: BEARER " + "a1.b2-c3_d4~e5+f6/g7=h8": "bearer-token",
    "Basic " + "YWxpY2U6b3BlbiBzZXNhbWU=": "basic-credentials",
    JWT: "jwt",
    "-----BEGIN RSA " + "PRIVATE KEY-----\nMIIE": "private-key",
    "-----BEGIN " + "PRIVATE KEY-----": "private-key",
    "gh" + "p_" + "a1" * 18: "github-token",
    "github" + "_pat_" + "a1" * 20: "github-token",
    "xox" + "b-1234567890-abc": "slack-token",
    "AI" + "za" + "b" * 35: "google-api-key",
    "sk_" + "live_" + "a1" * 8: "stripe-key",
    "al" + "s_" + "a1" * 20: "auditlog-token",
    "postgres://alice:" + "s3cret@db/x": "password-in-url",
    "4111 1111 1111 1111": "card-number",
    "card 5500-0000-0000-0004.": "card-number",
    "340000000000009": "card-number",
}
INNOCENT = [
    "", "alice signed in", "2026-11-24T10:00:00.000000Z", "1234567890123", "4111111111111112",
    "0000000000000000", "9223372036854775807", "-9214364837600034816", "AKIA", "AKIAabc",
    "bearer of bad news", "Bearer short", "basic training", "https://example.com/a:b@c",
    "https://alice@example.com/", "eyJhbGciOiJFZERTQSJ9", "xoxo", "+1 650-555-1234",
    "3f2504e0-4f89-11d3-9a0c-0305e82c3301", "4.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1",
]  # fmt: skip


def found(**told: Any) -> list[Any]:
    event = {"name": "n", "event_type": "t", "detail": "d", "event_data": None, **told}
    return flags(event, dump(event))


@pytest.mark.parametrize("text", FOUND, ids=range(len(FOUND)))
def test_a_secret_is_flagged_by_kind_and_place(text: str) -> None:
    flag = {"kind": FOUND[text], "pointer": "/event_data/x/0/y"}
    assert flag in found(event_data={"x": [{"y": text}]})
    for around in (f"a\n{text}\tb", f'"{text}"', f"é {text} é", f"\x00{text}", f"\\{text}\\"):
        assert {"kind": FOUND[text], "pointer": "/detail"} in found(detail=around)


@pytest.mark.parametrize("text", ["://a\\t:b@", "\\basic YWxpY2U6b3Blbg", "٣ 4111111111111111"])
def test_a_secret_is_flagged_beside_what_json_would_escape(text: str) -> None:
    """A backslash and a letter are two characters of it, and no tab."""
    assert len(found(detail=text)) == 1


@pytest.mark.parametrize("text", INNOCENT)
def test_what_only_resembles_a_secret_is_not_flagged(text: str) -> None:
    assert found(detail=text, event_data={"x": text}) == []


def test_a_secret_never_stands_in_its_own_flag() -> None:
    flagged = found(detail=f"{AWS} {JWT}", actor={"id": AWS}, event_data={"a": {"b": [JWT, AWS]}})
    assert len(flagged) == 5
    assert not any(secret in str(flagged) for secret in (AWS, JWT))


def test_an_event_full_of_secrets_has_a_bounded_number_of_flags() -> None:
    assert len(found(event_data={str(n): AWS for n in range(900)})) == MAX_FLAGS


_PIECES = st.sampled_from([
    *FOUND, *INNOCENT, "\n", "\0", "\\", "\\t", '"', "é", " ", "-", ".", "4", "1", "_", "x", "٣",
])  # fmt: skip


@given(st.lists(st.lists(_PIECES, max_size=4).map("".join), max_size=3))
@example(["4111-1111-1111-1111", "٣\n4111111111111111", "\x004111111111111111"])
@example(["7.4111111111111111", "4111111111111111.5", "x-4111111111111111-"])
@example(
    [
        "00 - 340000000000009",
        "1234567890123,4111111111111111",
        "4111111111111112 1.4111111111111111x5",
    ]
)
def test_a_glance_overlooks_nothing(said: list[str]) -> None:
    """What each pattern finds in each text, without a look at the whole before."""
    flagged = [
        {"kind": shape.kind, "pointer": f"/event_data/{at}"}
        for at, text in enumerate(said)
        for shape in _SHAPES
        if any(shape.is_one(match[0]) for match in shape.pattern.finditer(text))
    ]
    assert found(event_data=said) == flagged


@pytest.mark.parametrize(
    "piece",
    ["-eyJaaaaaaaa", "eyJaaaaaaaa.", "://a:", "://", "Bearer a", "Basic AAAA", "4 ", "4-1", "AKIA",
     "-----BEGIN ", "-----BEGIN A", "xoxb-", "ghp_a", "://:a", "4111111111111111 "],
)  # fmt: skip
def test_no_text_makes_the_look_take_long(piece: str) -> None:
    """The largest event there can be, in CPU seconds; a quadratic pattern would take minutes."""
    start = time.process_time()
    found(detail=piece * (250_000 // len(piece)))
    assert time.process_time() - start < 5


def test_the_table_of_kinds_in_the_docs_is_that_of_the_code() -> None:
    text = (Path(__file__).parents[1] / "docs" / "redaction.md").read_text()
    told = re.findall(
        r"^\| `([a-z-]+)` \|", text.partition("## Secrets by their shape")[2], re.MULTILINE
    )
    assert told == [shape.kind for shape in _SHAPES]
