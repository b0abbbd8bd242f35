"""A witness is asked for its cosignature, and nothing that it says is believed without one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import httpx2
import pytest

from auditlogservice.anchors import Cosigned, Disputed, LastCosigned, Refused, Unreachable
from auditlogservice.checkpoints import AddCheckpoint, Checkpoint
from auditlogservice.client import foreign
from auditlogservice.client.foreign import MAX_ANSWER
from auditlogservice.client.witness import HttpWitness, WitnessAddress, parse_witnesses
from auditlogservice.errors import MalformedInput
from auditlogservice.merkle import leaf_hash
from auditlogservice.notes import Note, SigningKey
from naive_tree import proof, root
from witnesses import OTHER_WITNESS, WITNESS, StrictWitness, serving

if TYPE_CHECKING:
    from auditlogservice.anchors import WitnessAnswer

LOG = SigningKey("log.example/ledger/acme", b"s" * 32)
LEAVES = [leaf_hash(bytes([n])) for n in range(9)]
OTHERS = [leaf_hash(bytes([n, n])) for n in range(9)]


def asking(
    old: int, new: int, leaves: list[bytes] = LEAVES, key: SigningKey = LOG
) -> AddCheckpoint:
    """Ask for the first `new` of these leaves, with the proof that they extend the first `old`."""
    text = Checkpoint(key.name, new, root(leaves[:new])).text
    hashes = proof(old, leaves[:new]) if 0 < old < new else []
    return AddCheckpoint(old, tuple(hashes), Note(text, (key.sign(text),)))


def address(url: str = "http://witness.example") -> WitnessAddress:
    return WitnessAddress(url, WITNESS.witness)


async def ask(witness: StrictWitness, request: AddCheckpoint) -> WitnessAnswer:
    async with witness.client() as http:
        return await HttpWitness(http, address()).add_checkpoint(request)


@pytest.fixture
def witness() -> StrictWitness:
    strict = StrictWitness()
    strict.trust(LOG.verifier)
    return strict


# ---- a witness that keeps the rules -----------------------------------------------------


async def test_a_log_that_only_grows_is_cosigned_each_time(witness: StrictWitness) -> None:
    for old, new in [(0, 1), (1, 1), (1, 5), (5, 8), (8, 9)]:
        request = asking(old, new)
        answer = await ask(witness, request)
        assert isinstance(answer, Cosigned), (old, new, answer)
        WITNESS.witness.verify(request.checkpoint.text, answer.signature.signed)
    assert witness.statuses == [200] * 5


async def test_a_witness_that_is_elsewhere_says_where(witness: StrictWitness) -> None:
    await ask(witness, asking(0, 5))
    assert await ask(witness, asking(0, 8)) == LastCosigned(5)
    assert await ask(witness, asking(6, 8)) == LastCosigned(5)


async def test_a_rewritten_log_is_disputed(witness: StrictWitness) -> None:
    await ask(witness, asking(0, 5))
    assert isinstance(await ask(witness, asking(5, 8, OTHERS)), Disputed)


@pytest.mark.parametrize("status", [409, 422])
async def test_another_tree_of_the_same_size_is_disputed_in_both_versions_of_the_protocol(
    witness: StrictWitness, status: int
) -> None:
    witness.of_same_size = status
    await ask(witness, asking(0, 5))
    assert isinstance(await ask(witness, asking(5, 5, OTHERS)), Disputed)


async def test_what_the_operator_of_the_witness_has_to_do_is_told(witness: StrictWitness) -> None:
    unknown = await ask(witness, asking(0, 1, key=SigningKey("log.example/x", b"s" * 32)))
    foreign = await ask(witness, asking(0, 1, key=SigningKey(LOG.name, b"x" * 32)))
    assert witness.statuses == [404, 403]
    assert isinstance(unknown, Refused)
    assert "has to add it" in unknown.why
    assert isinstance(foreign, Refused)
    assert "other keys" in foreign.why


# ---- one that does not ------------------------------------------------------------------


def line(key: SigningKey, text: str) -> bytes:
    return key.cosign(text, at=1).line.encode()


ASKED = asking(4, 8)
TEXT = ASKED.checkpoint.text
SMALLER = asking(0, 4).checkpoint.text


@pytest.mark.parametrize(
    ("status", "content", "kind"),
    [
        (200, line(WITNESS, SMALLER), Refused),
        (200, line(OTHER_WITNESS, TEXT), Refused),
        (200, line(SigningKey(WITNESS.name, b"x" * 32), TEXT), Refused),
        (200, WITNESS.sign(TEXT).line.encode(), Refused),
        (200, line(WITNESS, TEXT)[:-1], Refused),
        (200, line(WITNESS, TEXT) * 101, Refused),
        (200, b"", Refused),
        (200, b"<html>", Refused),
        (200, b"\xff\n", Refused),
        (200, b"x" * (MAX_ANSWER + 1), Refused),
        (302, b"", Refused),
        (400, b"", Refused),
        (409, b"", Refused),
        (409, b"4\n", Refused),
        (409, b"05\n", Refused),
        (409, b"-1\n", Refused),
        (409, b"9223372036854775808\n", Refused),
        (418, b"", Refused),
        (429, b"", Unreachable),
        (500, line(WITNESS, TEXT), Unreachable),
        (503, b"", Unreachable),
    ],
)
async def test_what_is_no_cosignature_of_this_witness_for_this_tree_is_not_taken_for_one(
    witness: StrictWitness, status: int, content: bytes, kind: type
) -> None:
    witness.lie = lambda _: (status, content)
    assert isinstance(await ask(witness, ASKED), kind)


async def test_a_good_cosignature_among_those_of_strangers_is_found(
    witness: StrictWitness,
) -> None:
    witness.lie = lambda _: (200, line(OTHER_WITNESS, SMALLER) + line(WITNESS, TEXT))
    answer = await ask(witness, ASKED)
    assert isinstance(answer, Cosigned)
    assert answer.signature.name == WITNESS.name


async def test_a_slow_witness_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foreign, "PATIENCE", 0.05)

    async def dawdle(_: httpx2.Request) -> httpx2.Response:
        await asyncio.sleep(60)
        return httpx2.Response(200)

    async with httpx2.AsyncClient(transport=httpx2.MockTransport(dawdle)) as http:
        answer = await HttpWitness(http, address()).add_checkpoint(ASKED)
    assert answer == Unreachable("it has not answered within 0.05 s")


async def test_a_witness_that_is_gone_is_unreachable() -> None:
    with serving(lambda _: (200, b"")) as url:
        pass
    async with httpx2.AsyncClient() as http:
        answer = await HttpWitness(http, address(url)).add_checkpoint(ASKED)
    assert isinstance(answer, Unreachable)


# ---- its address ------------------------------------------------------------------------


def test_witnesses_are_told_with_commas_or_lines_in_between() -> None:
    one, other = WITNESS.witness, OTHER_WITNESS.witness
    expected = (WitnessAddress("https://a/x", one), WitnessAddress("http://b", other))
    assert parse_witnesses(f"https://a/x/ {one}, http://b {other}") == expected
    assert parse_witnesses(f"\nhttps://a/x  {one}\n http://b/ {other}\n") == expected
    assert parse_witnesses(" ") == ()


@pytest.mark.parametrize(
    "text",
    [
        "https://a",
        str(WITNESS.witness),
        f"a {WITNESS.witness}",
        f"ftp://a {WITNESS.witness}",
        f"https://a {WITNESS.verifier}",
        f"https://a {WITNESS.witness} more",
        f"https://a {WITNESS.witness}x",
        f"https://a {WITNESS.witness} https://b {OTHER_WITNESS.witness}",
    ],
)
def test_what_is_no_witness_is_refused(text: str) -> None:
    with pytest.raises(MalformedInput):
        parse_witnesses(text)
