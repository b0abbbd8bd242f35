"""What a log says of its tree (c2sp.org/tlog-checkpoint), and what travels with it.

A checkpoint is the text of a note. A proof of one entry (c2sp.org/tlog-proof) and a request to a
witness (c2sp.org/tlog-witness) carry one, signed, behind hashes. Each has one spelling.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from auditlogservice.errors import MalformedInput, ProofInvalid
from auditlogservice.merkle import EMPTY_ROOT, HASH_BYTES, MAX_SIZE, verify_inclusion
from auditlogservice.notes import (
    Note,
    Signature,
    VerifierKey,
    cosigned_at,
    from_base64,
    from_utf8,
    parse_signatures,
    to_base64,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MAX_PROOF_HASHES = 63


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A log by its origin, how many leaves its tree has, and the root over them."""

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        lines = (self.origin, *self.extensions)
        if not all(lines) or any("\n" in line for line in lines):
            raise MalformedInput("origin and extensions of a checkpoint are lines, and not empty")
        if not 0 <= self.size <= MAX_SIZE or len(self.root) != HASH_BYTES:
            raise MalformedInput("a checkpoint has a size below 2^63 and a root of 32 bytes")
        if self.size == 0 and self.root != EMPTY_ROOT:
            raise MalformedInput("this is not the root of an empty tree")

    @property
    def text(self) -> str:
        lines = (self.origin, str(self.size), to_base64(self.root), *self.extensions)
        return "".join(f"{line}\n" for line in lines)

    @classmethod
    def parse(cls, text: str) -> Checkpoint:
        """Return the checkpoint that `text` spells. Raises MalformedInput for anything else."""
        match text.split("\n"):
            case [origin, size, root, *extensions, ""]:
                return cls(origin, parse_number(size), from_base64(root), tuple(extensions))
            case _:
                raise MalformedInput("a checkpoint has an origin, a size and a root")


def open_checkpoint(
    note: Note, key: VerifierKey, witnesses: Iterable[VerifierKey] = ()
) -> tuple[Checkpoint, dict[VerifierKey, int]]:
    """Return the checkpoint, and when each of the witnesses that cosigned it did so.

    Raises ProofInvalid unless the log signed it whose key this is and whose origin is the name
    of the key, or if a cosignature of one of the witnesses is wrong.
    """
    signatures = note.verified([key, *witnesses])
    if signatures.pop(key, None) is None:
        raise ProofInvalid("the log itself did not sign this")
    checkpoint = Checkpoint.parse(note.text)
    if checkpoint.origin != key.name:
        raise ProofInvalid("this is the checkpoint of another log")
    return checkpoint, {witness: cosigned_at(one) for witness, one in signatures.items()}


# ---- the proof of one entry -------------------------------------------------------------

_PROOF = "c2sp.org/tlog-proof@v1"


@dataclass(frozen=True, slots=True)
class EntryProof:
    """That an entry is in the tree of a checkpoint, for whoever has the key of the log.

    `extra` is whatever the log adds; nothing proves it.
    """

    index: int
    hashes: tuple[bytes, ...]
    checkpoint: Note
    extra: bytes = b""

    def to_bytes(self) -> bytes:
        extra = [f"extra {to_base64(self.extra)}"] if self.extra else []
        return _written([_PROOF, *extra, f"index {self.index}"], self.hashes, self.checkpoint)

    @classmethod
    def parse(cls, raw: bytes) -> EntryProof:
        """Return the proof that `to_bytes` wrote. Raises MalformedInput for anything else."""
        lines, checkpoint = _read(raw)
        if lines[0] != _PROOF:
            raise MalformedInput(f"a proof begins with {_PROOF}")
        extra = b""
        if lines[1:] and lines[1].startswith("extra "):
            extra = from_base64(lines.pop(1).removeprefix("extra "))
            if not extra:
                raise MalformedInput("a proof has no line for nothing extra")
        index = parse_number(_behind("index ", lines[1:2]))
        return cls(index, _hashes(lines[2:]), checkpoint, extra)

    def verify(self, leaf_hash: bytes, key: VerifierKey) -> Checkpoint:
        """Return the checkpoint. Raises ProofInvalid unless this leaf is in its tree."""
        checkpoint, _ = open_checkpoint(self.checkpoint, key)
        verify_inclusion(
            self.hashes,
            index=self.index,
            size=checkpoint.size,
            leaf_hash=leaf_hash,
            root=checkpoint.root,
        )
        return checkpoint


# ---- what a witness is asked, and answers -------------------------------------------------


@dataclass(frozen=True, slots=True)
class AddCheckpoint:
    """The body of `add-checkpoint`: a checkpoint, and that it extends what the witness has."""

    old: int
    hashes: tuple[bytes, ...]
    checkpoint: Note

    def to_bytes(self) -> bytes:
        return _written([f"old {self.old}"], self.hashes, self.checkpoint)

    @classmethod
    def parse(cls, raw: bytes) -> AddCheckpoint:
        """Return the request that `to_bytes` wrote. Raises MalformedInput for anything else."""
        lines, checkpoint = _read(raw)
        return cls(parse_number(_behind("old ", lines[:1])), _hashes(lines[1:]), checkpoint)


def parse_cosignatures(raw: bytes) -> tuple[Signature, ...]:
    """Return what a witness answers with 200: lines to go below the checkpoint, if they hold."""
    return parse_signatures(from_utf8(raw))


def parse_size(raw: bytes) -> int:
    """Return what a witness answers with 409: the size of the tree that it cosigned last."""
    match from_utf8(raw).split("\n"):
        case [size, ""]:
            return parse_number(size)
        case _:
            raise MalformedInput("a size is one line")


# ---- lines, hashes, and a note behind them ------------------------------------------------


def _written(lines: Sequence[str], hashes: Iterable[bytes], checkpoint: Note) -> bytes:
    head = [*lines, *map(to_base64, hashes), ""]
    return "".join(f"{line}\n" for line in head).encode() + checkpoint.to_bytes()


def _read(raw: bytes) -> tuple[list[str], Note]:
    head, _, behind = raw.partition(b"\n\n")
    note = Note.parse(behind)
    Checkpoint.parse(note.text)  # any other note is refused here, before anybody looks at keys
    return from_utf8(head).split("\n"), note


def _behind(word: str, lines: Sequence[str]) -> str:
    if not lines or not lines[0].startswith(word):
        raise MalformedInput(f"there is no line that begins with {word.strip()}")
    return lines[0].removeprefix(word)


def _hashes(lines: Sequence[str]) -> tuple[bytes, ...]:
    hashes = tuple(from_base64(line) for line in lines)
    if len(hashes) > MAX_PROOF_HASHES or any(len(each) != HASH_BYTES for each in hashes):
        raise MalformedInput(f"a proof has up to {MAX_PROOF_HASHES} hashes of 32 bytes")
    return hashes


def parse_number(digits: str) -> int:
    """Return a size or a place in a log. Raises MalformedInput for any other spelling of it."""
    if not re.fullmatch("0|[1-9][0-9]{0,18}", digits) or int(digits) > MAX_SIZE:
        raise MalformedInput("this is not a number below 2^63 in its one spelling")
    return int(digits)
