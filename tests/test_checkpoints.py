"""Checkpoints, proofs and requests to witnesses have the formats of C2SP, each in one spelling."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

import naive_tree
from auditlogservice.checkpoints import (
    MAX_PROOF_HASHES,
    AddCheckpoint,
    Checkpoint,
    EntryProof,
    open_checkpoint,
    parse_cosignatures,
    parse_size,
)
from auditlogservice.errors import MalformedInput, ProofInvalid
from auditlogservice.merkle import EMPTY_ROOT, MAX_SIZE
from auditlogservice.notes import Note, Signature, SigningKey, from_base64, to_base64

if TYPE_CHECKING:
    from collections.abc import Callable

LOG = SigningKey("log.example/ledger/acme", bytes(range(32)))
WITNESS = SigningKey("witness.example/w1", bytes(range(1, 33)))
LEAVES = [naive_tree.leaf(number) for number in range(7)]
CHECKPOINT = Checkpoint(LOG.name, 7, naive_tree.root(LEAVES))


def signed(checkpoint: Checkpoint, *more: Signature) -> Note:
    return Note(checkpoint.text, (LOG.sign(checkpoint.text), *more))


# ---- checkpoints --------------------------------------------------------------------------

# The examples of the specifications; their keys are not told.
SOFA = (
    "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
    "— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhc"
    "yv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
)
SOFA_COSIGNED = (
    f"{SOFA}— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9d"
    "lrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n"
)


@pytest.mark.parametrize("raw", [SOFA, SOFA_COSIGNED])
def test_published_checkpoints_are_read_and_written(raw: str) -> None:
    note = Note.parse(raw.encode())
    checkpoint = Checkpoint.parse(note.text)
    assert (checkpoint.origin, checkpoint.size) == ("example.com/behind-the-sofa", 20_852_163)
    assert to_base64(checkpoint.root) == "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I="
    assert replace(note, text=checkpoint.text).to_bytes() == raw.encode()


lines = st.text(
    st.characters(exclude_categories=["Cs"], min_codepoint=32), min_size=1, max_size=50
)


@given(lines, st.integers(1, MAX_SIZE), st.binary(min_size=32, max_size=32), st.lists(lines))
def test_any_checkpoint_is_read_as_it_was_written(
    origin: str, size: int, root: bytes, extensions: list[str]
) -> None:
    checkpoint = Checkpoint(origin, size, root, tuple(extensions))
    assert Checkpoint.parse(checkpoint.text) == checkpoint
    assert open_checkpoint(signed(replace(checkpoint, origin=LOG.name)), LOG.verifier) == (
        replace(checkpoint, origin=LOG.name),
        {},
    )


ROOT = to_base64(bytes(32))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "origin\n",
        "origin\n7\n",
        f"origin\n7\n{ROOT}",
        f"\n7\n{ROOT}\n",
        f"origin\n\n{ROOT}\n",
        f"origin\n07\n{ROOT}\n",
        f"origin\n+7\n{ROOT}\n",
        f"origin\n-7\n{ROOT}\n",
        f"origin\n 7\n{ROOT}\n",
        f"origin\n7 \n{ROOT}\n",
        f"origin\n7.0\n{ROOT}\n",
        f"origin\n1_000\n{ROOT}\n",
        f"origin\n\N{ARABIC-INDIC DIGIT SEVEN}\n{ROOT}\n",
        f"origin\n{2**63}\n{ROOT}\n",
        f"origin\n{'9' * 5_000}\n{ROOT}\n",
        f"origin\n00\n{to_base64(EMPTY_ROOT)}\n",
        f"origin\n0\n{ROOT}\n",
        "origin\n7\n\n",
        f"origin\n7\n{ROOT[:-1]}\n",
        f"origin\n7\n{ROOT[:-2]}B=\n",
        f"origin\n7\n{ROOT}=\n",
        f"origin\n7\n {ROOT}\n",
        f"origin\n7\n{to_base64(bytes(31))}\n",
        f"origin\n7\n{to_base64(bytes(33))}\n",
        f"origin\n7\n{to_base64(b'~' * 32).replace('+', '-')[:-1]}_\n",
        f"origin\n7\n{ROOT}\n\n",
        f"origin\n7\n{ROOT}\nextension\n\n",
        f"origin\n7\n{ROOT}\nextension",
    ],
)
def test_what_is_no_checkpoint_or_not_its_one_spelling_is_refused(text: str) -> None:
    with pytest.raises(MalformedInput):
        Checkpoint.parse(text)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Checkpoint("", 7, bytes(32)),
        lambda: Checkpoint("two\nlines", 7, bytes(32)),
        lambda: Checkpoint("origin", -1, bytes(32)),
        lambda: Checkpoint("origin", 2**63, bytes(32)),
        lambda: Checkpoint("origin", 7, bytes(31)),
        lambda: Checkpoint("origin", 0, bytes(32)),
        lambda: Checkpoint("origin", 7, bytes(32), ("",)),
        lambda: Checkpoint("origin", 7, bytes(32), ("two\nlines",)),
    ],
    ids=["no origin", "long origin", "below 0", "too large", "short root", "not empty",
         "no extension", "long extension"],
)  # fmt: skip
def test_a_checkpoint_that_cannot_be_read_again_is_not_made(
    make: Callable[[], Checkpoint],
) -> None:
    with pytest.raises(MalformedInput):
        make()


def test_the_checkpoint_of_an_empty_log_says_so() -> None:
    empty = Checkpoint(LOG.name, 0, EMPTY_ROOT)
    assert open_checkpoint(signed(empty), LOG.verifier) == (empty, {})


def test_a_checkpoint_is_opened_with_when_each_witness_cosigned_it() -> None:
    note = signed(CHECKPOINT, WITNESS.cosign(CHECKPOINT.text, at=1_700_000_000))
    opened = open_checkpoint(note, LOG.verifier, [WITNESS.witness])
    assert opened == (CHECKPOINT, {WITNESS.witness: 1_700_000_000})
    assert open_checkpoint(note, LOG.verifier) == (CHECKPOINT, {})


def test_a_wrong_cosignature_of_a_known_witness_refuses_the_checkpoint() -> None:
    note = signed(CHECKPOINT, WITNESS.cosign("another text\n", at=1_700_000_000))
    with pytest.raises(ProofInvalid, match="witness"):
        open_checkpoint(note, LOG.verifier, [WITNESS.witness])


def test_witnesses_alone_open_no_checkpoint() -> None:
    note = Note(CHECKPOINT.text, (WITNESS.cosign(CHECKPOINT.text, at=1_700_000_000),))
    with pytest.raises(ProofInvalid, match="itself"):
        open_checkpoint(note, LOG.verifier, [WITNESS.witness])


def test_the_checkpoint_of_another_log_is_refused() -> None:
    other = replace(CHECKPOINT, origin="log.example/ledger/other")
    with pytest.raises(ProofInvalid, match="another log"):
        open_checkpoint(signed(other), LOG.verifier)


# ---- the proof of one entry ---------------------------------------------------------------

PROOF = EntryProof(5, tuple(naive_tree.path(5, LEAVES)), signed(CHECKPOINT))


def test_a_proof_is_spelled_as_the_specification_says() -> None:
    assert replace(PROOF, extra=b"more").to_bytes().decode().split("\n") == [
        "c2sp.org/tlog-proof@v1",
        "extra bW9yZQ==",
        "index 5",
        *(to_base64(each) for each in PROOF.hashes),
        "",
        LOG.name,
        "7",
        to_base64(CHECKPOINT.root),
        "",
        LOG.sign(CHECKPOINT.text).line.removesuffix("\n"),
        "",
    ]


@given(
    st.integers(0, MAX_SIZE),
    st.lists(st.binary(min_size=32, max_size=32), max_size=MAX_PROOF_HASHES),
    st.binary(),
)
def test_any_proof_and_any_request_is_read_as_it_was_written(
    number: int, hashes: list[bytes], extra: bytes
) -> None:
    proof = EntryProof(number, tuple(hashes), signed(CHECKPOINT), extra)
    assert EntryProof.parse(proof.to_bytes()) == proof
    request = AddCheckpoint(number, tuple(hashes), signed(CHECKPOINT))
    assert AddCheckpoint.parse(request.to_bytes()) == request


@pytest.mark.parametrize("index", range(len(LEAVES)))
def test_a_proof_proves_its_leaf_and_no_other(index: int) -> None:
    raw = EntryProof(index, tuple(naive_tree.path(index, LEAVES)), signed(CHECKPOINT)).to_bytes()
    proof = EntryProof.parse(raw)
    for number, leaf in enumerate(LEAVES):
        if number == index:
            assert proof.verify(leaf, LOG.verifier) == CHECKPOINT
        else:
            with pytest.raises(ProofInvalid):
                proof.verify(leaf, LOG.verifier)


def test_a_proof_with_a_checkpoint_of_another_key_proves_nothing() -> None:
    forged = Note(CHECKPOINT.text, (SigningKey(LOG.name, bytes(32)).sign(CHECKPOINT.text),))
    with pytest.raises(ProofInvalid):
        replace(PROOF, checkpoint=forged).verify(LEAVES[5], LOG.verifier)


def changed(raw: bytes, old: str, new: str) -> bytes:
    assert old.encode() in raw
    return raw.replace(old.encode(), new.encode(), 1)


HASH = f"{to_base64(PROOF.hashes[0])}\n"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("c2sp.org/tlog-proof@v1", "c2sp.org/tlog-proof@v2"),
        ("c2sp.org/tlog-proof@v1\n", ""),
        ("c2sp.org", " c2sp.org"),
        ("index 5\n", ""),
        ("index 5", "index 05"),
        ("index 5", "index -5"),
        ("index 5", "index  5"),
        ("index 5", "index 5 "),
        ("index 5", "index"),
        ("index 5", "Index 5"),
        ("index 5", f"index {2**63}"),
        ("index 5", "index 5\nindex 5"),
        ("index 5", "extra \nindex 5"),
        ("index 5", "extra\nindex 5"),
        ("index 5", "extra bW9yZQ\nindex 5"),
        ("index 5", "extra bW9yZR==\nindex 5"),
        ("index 5", "extra bW9yZQ==\nextra bW9yZQ==\nindex 5"),
        ("index 5\n", "index 5\nextra bW9yZQ==\n"),
        ("index 5\n", "index 5\r\n"),
        ("index 5\n", "index 5\n\n"),
        (HASH, f"{HASH[:-2]}\n"),
        (HASH, f" {HASH}"),
        (HASH, f"{to_base64(bytes(31))}\n"),
        (HASH, f"{to_base64(bytes(64))}\n"),
        (HASH, HASH * MAX_PROOF_HASHES),
        ("\n\n", "\n"),
        (f"\n\n{LOG.name}", f"\n\n\n{LOG.name}"),
        ("\n\n—", "\n—"),
    ],
)
def test_what_is_no_proof_or_not_its_one_spelling_is_refused(old: str, new: str) -> None:
    raw = PROOF.to_bytes()
    assert EntryProof.parse(raw) == PROOF
    with pytest.raises(MalformedInput):
        EntryProof.parse(changed(raw, old, new))


@pytest.mark.parametrize("raw", [b"", b"\n", b"\n\n", b"\xff\n\n", b"c2sp.org/tlog-proof@v1\n"])
def test_what_is_no_proof_at_all_is_refused(raw: bytes) -> None:
    with pytest.raises(MalformedInput):
        EntryProof.parse(raw)
    with pytest.raises(MalformedInput):
        AddCheckpoint.parse(raw)


# ---- witnesses ----------------------------------------------------------------------------

# The examples of tlog-witness.
REQUEST = (
    "old 20852014\n"
    "PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\n"
    "jrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=\n"
    "5+pKlUdi2LeF/BcMHBn+Ku6yhPGNCswZZD1X/6QgPd8=\n"
    "/6WVhPs2CwSsb5rYBH5cjHV/wSmA79abXAwhXw3Kj/0=\n"
    "\n"
    f"{SOFA}— example.com/behind-the-sofa opLqBQsREYCgu6xQkYQwJr9fo45a62DN9EdmHXnZdXNqlcVGlCum2Wks"
    "+49/V6267UEjw6QUXTS5Rovnzv++qbSzm9Q=\n"
)
ANSWER = (
    "— witness.example/w1 CMp+6LWBU0anHGH5aNDTJkH/gj79sG+T6+iP2ThYN5krrDJbR1HDnucjL39QsZTSvVjyQLrd"
    "k3DXDqI5G2HgLatVs0pWh6Up69HVOw==\n"
    "— witness.example/w2 AWui8Sk55XjYLOijihBjhqEH6nS1ndDymE0a+6idX7pLcnoB+dhnz0854aLZgrrKbYKA7nC3"
    "HNJhm/kWl7oJlqU3rXXvpysAdyP3wQ==\n"
)


def test_the_published_request_is_read_and_written() -> None:
    request = AddCheckpoint.parse(REQUEST.encode())
    assert request.old == 20_852_014
    assert request.hashes[0] == from_base64("PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=")
    assert len(request.hashes) == 4
    assert request.to_bytes() == REQUEST.encode()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("old 20852014\n", ""),
        ("old 20852014", "old 020852014"),
        ("old 20852014", "old"),
        ("old 20852014", "old 20852014 "),
        ("old 20852014", f"old {2**63}"),
        ("PlRN", "PlR"),
        ("old 20852014\n", f"old 20852014\n{HASH * MAX_PROOF_HASHES}"),
        ("\n\n", "\n"),
    ],
)
def test_what_is_no_request_or_not_its_one_spelling_is_refused(old: str, new: str) -> None:
    with pytest.raises(MalformedInput):
        AddCheckpoint.parse(changed(REQUEST.encode(), old, new))


def test_the_published_answer_is_read() -> None:
    signatures = parse_cosignatures(ANSWER.encode())
    assert [each.name for each in signatures] == ["witness.example/w1", "witness.example/w2"]
    assert "".join(each.line for each in signatures) == ANSWER


def test_what_a_witness_answers_goes_below_the_checkpoint() -> None:
    answer = WITNESS.cosign(CHECKPOINT.text, at=1_700_000_000).line.encode()
    note = signed(CHECKPOINT, *parse_cosignatures(answer))
    assert open_checkpoint(note, LOG.verifier, [WITNESS.witness])[1] == {
        WITNESS.witness: 1_700_000_000
    }


@pytest.mark.parametrize("raw", [b"", b"\n", ANSWER.encode()[:-1], b"\xff\n", b"<html>\n"])
def test_an_answer_without_cosignatures_is_refused(raw: bytes) -> None:
    with pytest.raises(MalformedInput):
        parse_cosignatures(raw)


@pytest.mark.parametrize(
    ("raw", "size"), [(b"0\n", 0), (b"20852014\n", 20_852_014), (b"%d\n" % MAX_SIZE, MAX_SIZE)]
)
def test_a_witness_that_has_another_tree_says_how_large(raw: bytes, size: int) -> None:
    assert parse_size(raw) == size


@pytest.mark.parametrize(
    "raw",
    [b"", b"\n", b"7", b"07\n", b"+7\n", b"7 \n", b"7\r\n", b"7\n\n", b"7\n8\n", b"\xff\n",
     b"%d\n" % 2**63],
)  # fmt: skip
def test_another_spelling_of_a_size_is_refused(raw: bytes) -> None:
    with pytest.raises(MalformedInput):
        parse_size(raw)
