"""A timestamp is kept only if it is of the bytes that were sent, for this request, and of now."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rfc3161_client import HashAlgorithm, TimestampRequestBuilder

from auditlogservice.anchors import Refused, Stamped, Unreachable
from auditlogservice.client.timestamping import HttpAuthority, read_reply
from auditlogservice.runtime.stores import utc_now
from witnesses import serving

if TYPE_CHECKING:
    from collections.abc import Callable

    from rfc3161_client import TimeStampRequest

    from auditlogservice.anchors import StampAnswer
    from authority import OpensslAuthority

NOTE = b"log.example/ledger/acme\n1\nroot\n\n-- a signature\n"


def request_for(
    data: bytes, hash_algorithm: HashAlgorithm = HashAlgorithm.SHA256
) -> TimeStampRequest:
    return TimestampRequestBuilder(data=data, hash_algorithm=hash_algorithm).build()


async def stamped(
    answer: Callable[[bytes], tuple[int, bytes]], clock: Callable[[], datetime] = utc_now
) -> StampAnswer:
    with serving(answer) as url:
        async with httpx2.AsyncClient() as http:
            return await HttpAuthority(http, url, clock=clock).stamp(NOTE)


async def test_openssl_verifies_what_an_authority_said_of_these_bytes_and_no_others(
    authority: OpensslAuthority,
) -> None:
    told = await stamped(authority.answer)
    assert isinstance(told, Stamped), told
    assert abs(told.time - utc_now()) < timedelta(minutes=5)
    assert authority.verify(told.reply, NOTE)
    assert not authority.verify(told.reply, NOTE + b"\n")


async def test_an_authority_is_named_by_its_host() -> None:
    async with httpx2.AsyncClient() as http:
        named = HttpAuthority(http, "https://tsa.example:8080/tsr", clock=utc_now)
    assert named.name == "tsa.example:8080"


async def test_a_timestamp_of_other_bytes_is_refused(authority: OpensslAuthority) -> None:
    other = request_for(b"other").as_bytes()
    told = await stamped(lambda _: authority.answer(other))
    assert told == Refused("its timestamp is of other bytes")


async def test_a_timestamp_with_another_hash_is_refused(
    new_authority: Callable[[str], OpensslAuthority],
) -> None:
    liberal = new_authority("sha512")
    longer = request_for(NOTE, HashAlgorithm.SHA512).as_bytes()
    told = await stamped(lambda _: liberal.answer(longer))
    assert told == Refused("its timestamp is of other bytes")


async def test_a_timestamp_for_another_request_is_refused(authority: OpensslAuthority) -> None:
    earlier = authority.answer(request_for(NOTE).as_bytes())
    told = await stamped(lambda _: earlier)
    assert told == Refused("its timestamp is for another request")


async def test_a_timestamp_without_a_nonce_is_refused(authority: OpensslAuthority) -> None:
    plain = TimestampRequestBuilder(NOTE, HashAlgorithm.SHA256, nonce=False).build().as_bytes()
    told = await stamped(lambda _: authority.answer(plain))
    assert told == Refused("its timestamp is for another request")


@pytest.mark.parametrize("hours", [-1, 1])
async def test_an_authority_with_another_clock_is_refused(
    authority: OpensslAuthority, hours: int
) -> None:
    told = await stamped(authority.answer, lambda: utc_now() + timedelta(hours=hours))
    assert isinstance(told, Refused)
    assert "its clock says" in told.why


async def test_a_refusal_is_told_in_the_words_of_the_authority(
    new_authority: Callable[[str], OpensslAuthority],
) -> None:
    strict = new_authority("sha512")
    told = await stamped(strict.answer)
    assert told == Refused("it refuses: Message digest algorithm is not supported.")


async def test_an_authority_that_is_ill_or_lost_is_told_apart() -> None:
    assert isinstance(await stamped(lambda _: (503, b"")), Unreachable)
    assert await stamped(lambda _: (404, b"no")) == Refused("it answers 404")
    with serving(lambda _: (200, b"")) as url:
        pass
    async with httpx2.AsyncClient() as http:
        gone = await HttpAuthority(http, url, clock=utc_now).stamp(NOTE)
    assert isinstance(gone, Unreachable)


@given(st.binary(max_size=200))
def test_any_other_bytes_are_no_timestamp(reply: bytes) -> None:
    told = read_reply(reply, request_for(NOTE), NOTE, now=datetime(2026, 1, 1, tzinfo=UTC))
    assert isinstance(told, Refused)


async def test_a_damaged_reply_is_no_failure_of_ours(authority: OpensslAuthority) -> None:
    request = request_for(NOTE)
    _, reply = authority.answer(request.as_bytes())
    for at in range(0, len(reply), 3):
        damaged = reply[:at] + bytes([reply[at] ^ 0x40]) + reply[at + 1 :]
        for told in (damaged, reply[:at]):
            # Damage to the signature passes: it is the auditor who verifies that.
            assert isinstance(read_reply(told, request, NOTE, now=utc_now()), Stamped | Refused)
    assert isinstance(read_reply(reply, request, NOTE, now=utc_now()), Stamped)
