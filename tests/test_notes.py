"""Notes are signed and read as c2sp.org/signed-note says, and in no other way."""

from __future__ import annotations

import base64
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditlogservice.errors import MalformedInput, ProofInvalid
from auditlogservice.notes import (
    MAX_NOTE_BYTES,
    MAX_SIGNATURES,
    Note,
    Signature,
    SignatureType,
    SigningKey,
    VerifierKey,
    cosigned_at,
    to_base64,
)

TEXT = "a text\n\nof three lines\n"
ALICE = SigningKey("alice.example", bytes(range(32)))
BOB = SigningKey("bob.example", bytes(range(1, 33)))


# ---- published vectors --------------------------------------------------------------------

# The example of the proposal for Go's checksum database.
EXAMPLE_KEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
EXAMPLE_NOTE = (
    "This is an example message.\n\n"
    "— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXm"
    "RKuwHjG1Yu72IneyaQM=\n"
)
# The example of golang.org/x/mod/sumdb/note, which tells the private key as well.
NEUMANN_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
NEUMANN_SEED = base64.b64decode("AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz")[1:]
NEUMANN_NOTE = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n\n"
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdng"
    "otpRZb6KE6RyyBwJnAM=\n"
)
# The example of the specification; its key is not told.
QUASIMODO_NOTE = (
    "Ognuno sta solo sul cuor della terra\ntrafitto da un raggio di sole:\n\n"
    "ed è subito sera.\n\n"
    "— quasimodo.example/salvatore NnugSzTjtVAewIS+Z/iJhUPeFDkO/5QQ2i5ddnGITLlC+EhfLW9oJKONrMou"
    "FSQU0xMcXxj99ihAQwaqP3ZekRwNtIc=\n"
)


@pytest.mark.parametrize(
    ("key", "note"), [(EXAMPLE_KEY, EXAMPLE_NOTE), (NEUMANN_KEY, NEUMANN_NOTE)]
)
def test_published_notes_are_verified_with_the_published_keys(key: str, note: str) -> None:
    verifier = VerifierKey.parse(key)
    assert list(Note.parse(note.encode()).verified([verifier])) == [verifier]


def test_a_published_note_is_signed_byte_for_byte() -> None:
    key = SigningKey("PeterNeumann", NEUMANN_SEED)
    text = Note.parse(NEUMANN_NOTE.encode()).text
    assert Note(text, (key.sign(text),)).to_bytes().decode() == NEUMANN_NOTE
    assert str(key.verifier) == NEUMANN_KEY


@pytest.mark.parametrize("note", [EXAMPLE_NOTE, NEUMANN_NOTE, QUASIMODO_NOTE])
def test_published_notes_are_written_as_they_were_read(note: str) -> None:
    assert Note.parse(note.encode()).to_bytes() == note.encode()


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        (EXAMPLE_KEY, SignatureType.ED25519),
        (NEUMANN_KEY, SignatureType.ED25519),
        ("EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop", SignatureType.ED25519),
        ("TEST+7997405c+AQcC+FTVKf0jlTdHDY3rbevmnKxxPjigCXlVtGe6RIr6", SignatureType.ED25519),
        (
            "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2",
            SignatureType.COSIGNATURE,
        ),
    ],
)
def test_published_keys_are_read_and_written(key: str, kind: SignatureType) -> None:
    verifier = VerifierKey.parse(key)
    assert verifier.type is kind
    assert str(verifier) == key


# ---- keys ---------------------------------------------------------------------------------

PUBLIC = "AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "example.com/foo",
        "example.com/foo+530d903a",
        "example.com/foo+530d903a+",
        f"+530d903a+{PUBLIC}",
        f"example.com/foo+530d903+{PUBLIC}",
        f"example.com/foo+530D903A+{PUBLIC}",
        f"example.com/foo+530d903b+{PUBLIC}",
        f"example.com/foo++{PUBLIC}",
        f"example.com/bar+530d903a+{PUBLIC}",
        f"example.com/foo +530d903a+{PUBLIC}",
        f"example.com/foo+530d903a+{PUBLIC}\n",
        f"example.com/foo+530d903a+{PUBLIC}!",
        f"example.com/foo+530d903a+{PUBLIC[:-1]}",
        f"example.com/foo+530d903a+{PUBLIC[:20]}\n{PUBLIC[20:]}",
        f"example.com/foo+530d903a+{to_base64(base64.b64decode(PUBLIC)[:-1])}",
        f"example.com/foo+530d903a+{to_base64(base64.b64decode(PUBLIC) + bytes(1))}",
        f"example.com/foo+530d903a+{to_base64(bytes([2]) + base64.b64decode(PUBLIC)[1:])}",
        f"example.com/foo+530d903a+{to_base64(bytes([4]) + base64.b64decode(PUBLIC)[1:])}",
    ],
)
def test_what_is_no_key_or_not_its_one_spelling_is_refused(text: str) -> None:
    with pytest.raises(MalformedInput):
        VerifierKey.parse(text)


BAD_NAMES = ["", "a b", "a+b", "a\u00a0b", "a\u2028b", "a\tb", "a\n", "a\x00", "a\x1f", "\ud800"]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_name_with_blanks_or_a_plus_is_refused(name: str) -> None:
    with pytest.raises(MalformedInput):
        SigningKey(name, bytes(32))
    with pytest.raises(MalformedInput):
        VerifierKey(name, bytes(32))
    with pytest.raises(MalformedInput):
        Signature.parse(f"— {name} {to_base64(bytes(68))}")


@pytest.mark.parametrize("size", [0, 31, 33])
def test_keys_have_32_bytes(size: int) -> None:
    with pytest.raises(MalformedInput):
        SigningKey("a", bytes(size))
    with pytest.raises(MalformedInput):
        VerifierKey("a", bytes(size))


def test_a_signing_key_does_not_show_its_seed() -> None:
    assert repr(ALICE) == "SigningKey(name='alice.example')"


@given(
    st.from_regex(r"[a-zA-Z0-9./\u00e9-]+", fullmatch=True), st.binary(min_size=32, max_size=32)
)
def test_what_a_key_spells_is_that_key(name: str, seed: bytes) -> None:
    key = SigningKey(name, seed)
    assert VerifierKey.parse(str(key.verifier)) == key.verifier
    assert VerifierKey.parse(str(key.witness)) == key.witness
    assert key.verifier.id != key.witness.id


# ---- reading ------------------------------------------------------------------------------

LINE = ALICE.sign(TEXT).line
NOTE = f"{TEXT}\n{LINE}"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\n",
        b"\n\n",
        TEXT.encode(),
        LINE.encode(),
        f"{TEXT}{LINE}".encode(),
        f"{TEXT}\n".encode(),
        f"{TEXT}\n{LINE}".encode()[:-1],
        f"{TEXT}\n{LINE}\n".encode(),
        f"{TEXT}\n{LINE}more\n".encode(),
        f"{TEXT}\n{LINE}more".encode(),
        f"{TEXT}\n {LINE}".encode(),
        f"{TEXT}\n{LINE}".replace("—", "--").encode(),
        f"{TEXT}\n{LINE}".replace("—", "\N{EN DASH}").encode(),
        f"{TEXT}\n{LINE}".replace("— ", "—\N{NO-BREAK SPACE}").encode(),
        f"{TEXT}\n{LINE}".replace("— ", "—  ").encode(),
        f"{TEXT}\n{LINE[:-1]} \n".encode(),
        f"{TEXT}\n{LINE[:-1]} more\n".encode(),
        f"{TEXT}\n{LINE[:-2]}\n".encode(),
        f"{TEXT}\n{LINE[:-1]}=\n".encode(),
        f"{TEXT}\n— alice.example \n".encode(),
        f"{TEXT}\n— alice.example AAAA\n".encode(),
        f"{TEXT}\n— alice.example AAAAAA==\n".encode(),
        f"{TEXT}\n— alice.example AAAAAAB=\n".encode(),
        f"{TEXT}\n— alice.example AAAAA_A=\n".encode(),
        f"a\ttext\n\n{LINE}".encode(),
        f"a text\r\n\n{LINE}".encode(),
        f"a\x00text\n\n{LINE}".encode(),
        b"a \xfftext\n\n" + LINE.encode(),
        b"a \xed\xa0\x80text\n\n" + LINE.encode(),
        b"a text\n\n" + LINE.encode("utf-16-le"),
        f"{TEXT}\n{LINE * (MAX_SIGNATURES + 1)}".encode(),
        f"{'long' * (MAX_NOTE_BYTES // 4)}\n\n{LINE}".encode(),
    ],
)
def test_what_is_no_note_is_refused(raw: bytes) -> None:
    with pytest.raises(MalformedInput):
        Note.parse(raw)


@pytest.mark.parametrize("text", ["", "no end", "a\tb\n", "a\x1fb\n"])
def test_a_text_that_cannot_be_read_again_is_not_signed(text: str) -> None:
    with pytest.raises(MalformedInput):
        Note(text, (ALICE.sign(text),))


@pytest.mark.parametrize("signatures", [0, MAX_SIGNATURES + 1])
def test_a_note_without_or_with_too_many_signatures_is_not_made(signatures: int) -> None:
    with pytest.raises(MalformedInput):
        Note(TEXT, (ALICE.sign(TEXT),) * signatures)


texts = st.text(
    st.one_of(st.just("\n"), st.characters(exclude_categories=["Cs"], min_codepoint=32))
).map(lambda text: f"{text}\n")


@given(texts, st.lists(st.binary(min_size=1, max_size=80), min_size=1, max_size=16))
def test_any_text_is_read_as_it_was_written(text: str, signed: list[bytes]) -> None:
    note = Note(text, tuple(Signature("a.example", bytes(4), each) for each in signed))
    assert Note.parse(note.to_bytes()) == note


@given(st.data())
def test_a_note_has_one_spelling(data: st.DataObject) -> None:
    raw = bytearray(NOTE.encode())
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.sampled_from(b"\n =+A\x80~"))
    try:
        note = Note.parse(bytes(raw))
    except MalformedInput:
        return
    assert note.to_bytes() == raw


# ---- verifying ----------------------------------------------------------------------------


def test_each_key_that_signed_is_named() -> None:
    note = Note.parse(Note(TEXT, (ALICE.sign(TEXT), BOB.sign(TEXT))).to_bytes())
    assert list(note.verified([BOB.verifier])) == [BOB.verifier]
    assert note.verified([BOB.verifier, ALICE.verifier]) == {
        ALICE.verifier: ALICE.sign(TEXT),
        BOB.verifier: BOB.sign(TEXT),
    }


def test_signatures_of_unknown_keys_are_passed_over() -> None:
    unknown = Signature("unknown.example", bytes(4), b"whatever this is")
    same_name = Signature(ALICE.name, bytes(4), b"another key of alice")
    same_id = Signature("mallory.example", ALICE.verifier.id, b"a collision")
    note = Note(TEXT, (unknown, same_name, same_id, ALICE.sign(TEXT)))
    assert list(note.verified([ALICE.verifier])) == [ALICE.verifier]


def test_a_note_that_no_trusted_key_signed_is_refused() -> None:
    with pytest.raises(ProofInvalid):
        Note(TEXT, (ALICE.sign(TEXT),)).verified([BOB.verifier])
    with pytest.raises(ProofInvalid):
        Note(TEXT, (ALICE.sign(TEXT),)).verified([])


def test_one_wrong_signature_of_a_known_key_refuses_the_note() -> None:
    wrong = replace(BOB.sign(TEXT), signed=bytes(64))
    for signatures in [(ALICE.sign(TEXT), wrong), (wrong, ALICE.sign(TEXT))]:
        note = Note(TEXT, signatures)
        assert list(note.verified([ALICE.verifier])) == [ALICE.verifier]
        with pytest.raises(ProofInvalid, match=r"bob\.example"):
            note.verified([ALICE.verifier, BOB.verifier])


def test_a_wrong_signature_beside_a_right_one_of_the_same_key_refuses_the_note() -> None:
    right = ALICE.sign(TEXT)
    with pytest.raises(ProofInvalid):
        Note(TEXT, (right, replace(right, signed=bytes(64)))).verified([ALICE.verifier])


def test_no_bit_of_text_or_signature_can_be_changed() -> None:
    signed = ALICE.sign(TEXT).signed
    for bit in range(8 * len(signed)):
        changed = bytearray(signed)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(ProofInvalid):
            ALICE.verifier.verify(TEXT, bytes(changed))
    for at in range(len(TEXT)):
        with pytest.raises(ProofInvalid):
            ALICE.verifier.verify(f"{TEXT[:at]}*{TEXT[at + 1 :]}", signed)


@pytest.mark.parametrize("size", [0, 1, 7, 8, 63, 65, 71, 73])
def test_a_signature_of_another_length_proves_nothing(size: int) -> None:
    for key in (ALICE.verifier, ALICE.witness):
        with pytest.raises(ProofInvalid):
            key.verify(TEXT, bytes(size))


# ---- cosignatures -------------------------------------------------------------------------


@pytest.mark.parametrize("at", [0, 1_679_315_147, 2**63 - 1])
def test_a_cosignature_says_when_it_was_made(at: int) -> None:
    cosignature = BOB.cosign(TEXT, at=at)
    note = Note.parse(Note(TEXT, (ALICE.sign(TEXT), cosignature)).to_bytes())
    assert note.verified([ALICE.verifier, BOB.witness])[BOB.witness] == cosignature
    assert cosigned_at(cosignature) == at


def test_a_cosignature_signs_the_message_of_the_specification() -> None:
    text = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    cosignature = BOB.cosign(text, at=1_679_315_147)
    assert cosignature.signed[:8] == (1_679_315_147).to_bytes(8, "big")
    BOB.verifier.verify(f"cosignature/v1\ntime 1679315147\n{text}", cosignature.signed[8:])


def test_a_cosignature_with_another_time_proves_nothing() -> None:
    signed = BOB.cosign(TEXT, at=1_679_315_147).signed
    for at in (0, 1_679_315_146, 2**63 - 1, 2**63, 2**64 - 1):
        with pytest.raises(ProofInvalid):
            BOB.witness.verify(TEXT, at.to_bytes(8, "big") + signed[8:])


@pytest.mark.parametrize("at", [-1, 2**63])
def test_no_cosignature_is_made_at_a_time_that_cannot_be_told(at: int) -> None:
    with pytest.raises(ProofInvalid):
        BOB.cosign(TEXT, at=at)


def test_signatures_and_cosignatures_of_one_key_cannot_stand_in_for_each_other() -> None:
    with pytest.raises(ProofInvalid):
        Note(TEXT, (BOB.cosign(TEXT, at=1),)).verified([BOB.verifier])
    with pytest.raises(ProofInvalid):
        Note(TEXT, (BOB.sign(TEXT),)).verified([BOB.witness])
    with pytest.raises(ProofInvalid):
        BOB.verifier.verify(TEXT, BOB.cosign(TEXT, at=1).signed[8:])
    with pytest.raises(ProofInvalid):
        BOB.witness.verify(TEXT, bytes(8) + BOB.sign(TEXT).signed)
