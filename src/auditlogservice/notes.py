"""Signed notes (c2sp.org/signed-note): text, the keys that sign it, and whose signature holds.

A note has one spelling: what was parsed is written again byte for byte. Signatures are Ed25519,
plain or as the cosignature of a witness (c2sp.org/tlog-cosignature), which says when as well.
"""

from __future__ import annotations

import binascii
import re
from dataclasses import dataclass, field
from enum import IntEnum
from hashlib import sha256
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)

from auditlogservice.errors import MalformedInput, ProofInvalid

if TYPE_CHECKING:
    from collections.abc import Iterable

# As the reference implementation has them (golang.org/x/mod/sumdb/note).
MAX_NOTE_BYTES = 1_000_000
MAX_SIGNATURES = 100

_KEY_BYTES = 32
_ID_BYTES = 4
_TIME_BYTES = 8
_LAST_TIME = 2**63 - 1
_NAME = re.compile(r"[^\s+\x00-\x1f\ud800-\udfff]+")


class SignatureType(IntEnum):
    """The assigned types of signature that are made and verified here."""

    ED25519 = 0x01
    COSIGNATURE = 0x04


# ---- keys -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """Whose signatures are trusted: a name, a public key, and the type of signature it makes."""

    name: str
    public: bytes
    type: SignatureType = SignatureType.ED25519

    def __post_init__(self) -> None:
        _check_name(self.name)
        if len(self.public) != _KEY_BYTES:
            raise MalformedInput("a public key has 32 bytes")

    @property
    def id(self) -> bytes:
        """The four bytes that say, beside the name, which key a signature is of."""
        return sha256(self.name.encode() + b"\n" + self._typed).digest()[:_ID_BYTES]

    def __str__(self) -> str:
        return f"{self.name}+{self.id.hex()}+{to_base64(self._typed)}"

    @classmethod
    def parse(cls, text: str) -> VerifierKey:
        """Return the key that `str()` spells. Raises MalformedInput for anything else."""
        name, _, rest = text.partition("+")
        typed = from_base64(rest.partition("+")[2])
        if typed[:1] not in {bytes([each]) for each in SignatureType}:
            raise MalformedInput("keys of this type are not known here")
        key = cls(name, typed[1:], SignatureType(typed[0]))
        if text != str(key):
            raise MalformedInput("the id of this key is not that of its name and its bytes")
        return key

    def verify(self, text: str, signature: bytes) -> None:
        """Raise ProofInvalid unless this key made the signature of this text."""
        message = text.encode()
        if self.type is SignatureType.COSIGNATURE:
            time, signature = signature[:_TIME_BYTES], signature[_TIME_BYTES:]
            message = _cosigned(text, int.from_bytes(time, "big"))
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, message)
        except InvalidSignature:
            raise ProofInvalid(f"the signature of {self.name} is wrong") from None

    @property
    def _typed(self) -> bytes:
        return bytes([self.type]) + self.public


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key that signs notes or, as a witness, cosigns checkpoints."""

    name: str
    seed: bytes = field(repr=False)

    def __post_init__(self) -> None:
        _check_name(self.name)
        if len(self.seed) != _KEY_BYTES:
            raise MalformedInput("the seed of a key has 32 bytes")

    @property
    def verifier(self) -> VerifierKey:
        return VerifierKey(self.name, self._public)

    @property
    def witness(self) -> VerifierKey:
        """The key that verifies its cosignatures."""
        return VerifierKey(self.name, self._public, SignatureType.COSIGNATURE)

    def sign(self, text: str) -> Signature:
        return Signature(self.name, self.verifier.id, self._private.sign(text.encode()))

    def cosign(self, text: str, *, at: int) -> Signature:
        """Return what a witness says: `at` that second since 1970 this was the largest tree."""
        signed = self._private.sign(_cosigned(text, at))
        return Signature(self.name, self.witness.id, at.to_bytes(_TIME_BYTES, "big") + signed)

    @property
    def _private(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self.seed)

    @property
    def _public(self) -> bytes:
        return self._private.public_key().public_bytes_raw()


def cosigned_at(cosignature: Signature) -> int:
    """Return when a cosignature was made, in seconds since 1970; nothing is verified here."""
    return int.from_bytes(cosignature.signed[:_TIME_BYTES], "big")


def _cosigned(text: str, at: int) -> bytes:
    if not 0 <= at <= _LAST_TIME:
        raise ProofInvalid("no cosignature is made at this time")
    return f"cosignature/v1\ntime {at}\n{text}".encode()


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise MalformedInput("the name of a key is not empty and has no blanks and no plus")


# ---- notes ------------------------------------------------------------------------------

_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")


@dataclass(frozen=True, slots=True)
class Signature:
    """One line below a note: whose it is, and what the key made; for known keys to verify."""

    name: str
    key_id: bytes
    signed: bytes

    @property
    def line(self) -> str:
        return f"\N{EM DASH} {self.name} {to_base64(self.key_id + self.signed)}\n"

    @classmethod
    def parse(cls, line: str) -> Signature:
        """Return the signature of a line, without its end. Raises MalformedInput."""
        match line.split(" "):
            case ["\N{EM DASH}", name, encoded]:
                raw = from_base64(encoded)
            case _:
                raise MalformedInput("this is not a line with a signature")
        _check_name(name)
        if len(raw) <= _ID_BYTES:
            raise MalformedInput("this line has the id of a key, and no signature")
        return cls(name, raw[:_ID_BYTES], raw[_ID_BYTES:])


@dataclass(frozen=True, slots=True)
class Note:
    """A text and its signatures, of which none is verified yet."""

    text: str
    signatures: tuple[Signature, ...]

    def __post_init__(self) -> None:
        if not self.text.endswith("\n") or _CONTROL.search(self.text):
            raise MalformedInput("a note ends its last line, and has no control characters")
        if not 0 < len(self.signatures) <= MAX_SIGNATURES:
            raise MalformedInput(f"a note has 1 to {MAX_SIGNATURES} signatures")

    def to_bytes(self) -> bytes:
        return "".join([self.text, "\n", *(each.line for each in self.signatures)]).encode()

    @classmethod
    def parse(cls, raw: bytes) -> Note:
        """Return the note that `to_bytes` wrote. Raises MalformedInput for anything else."""
        if len(raw) > MAX_NOTE_BYTES:
            raise MalformedInput(f"a note has at most {MAX_NOTE_BYTES} bytes")
        text, blank, signatures = from_utf8(raw).rpartition("\n\n")
        if not blank:
            raise MalformedInput("a note has an empty line before its signatures")
        return cls(f"{text}\n", parse_signatures(signatures))

    def verified(self, keys: Iterable[VerifierKey]) -> dict[VerifierKey, Signature]:
        """Return the signature of each of these keys that signed.

        Other keys are passed over. Raises ProofInvalid if none of these signed, or if what
        claims to be a signature of one of them is wrong.
        """
        known = {(key.name, key.id): key for key in keys}
        verified: dict[VerifierKey, Signature] = {}
        for signature in self.signatures:
            if key := known.get((signature.name, signature.key_id)):
                key.verify(self.text, signature.signed)
                verified.setdefault(key, signature)
        if not verified:
            raise ProofInvalid("no key that is trusted here signed this")
        return verified


def parse_signatures(lines: str) -> tuple[Signature, ...]:
    """Return the signatures of lines, each with its end. Raises MalformedInput."""
    *complete, rest = lines.split("\n")
    if rest or not complete:
        raise MalformedInput("signatures are complete lines")
    if len(complete) > MAX_SIGNATURES:
        raise MalformedInput(f"there are at most {MAX_SIGNATURES} signatures")
    return tuple(Signature.parse(line) for line in complete)


# ---- spelling ---------------------------------------------------------------------------


def to_base64(raw: bytes) -> str:
    return binascii.b2a_base64(raw, newline=False).decode()


def from_base64(text: str) -> bytes:
    """Return the bytes of RFC 4648 §4 base64 in its one spelling. Raises MalformedInput."""
    try:
        raw = binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        raise MalformedInput("this is not base64") from None
    if to_base64(raw) != text:
        raise MalformedInput("this is not the one spelling in base64")
    return raw


def from_utf8(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise MalformedInput("this is not UTF-8") from None
