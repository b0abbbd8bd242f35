"""A witness asked over HTTP (c2sp.org/tlog-witness), whose word counts only with its signature."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from auditlogservice.anchors import Cosigned, Disputed, LastCosigned, Refused, size_of
from auditlogservice.checkpoints import parse_cosignatures, parse_size
from auditlogservice.client.foreign import Answer, post
from auditlogservice.errors import MalformedInput, ProofInvalid
from auditlogservice.notes import Note, SignatureType, VerifierKey

if TYPE_CHECKING:
    import httpx2

    from auditlogservice.anchors import WitnessAnswer
    from auditlogservice.checkpoints import AddCheckpoint


@dataclass(frozen=True, slots=True)
class WitnessAddress:
    """Where a witness is, its submission prefix, and the key that verifies its cosignatures."""

    url: str
    key: VerifierKey


def parse_witnesses(text: str) -> tuple[WitnessAddress, ...]:
    """Return the witnesses of a text: `URL VKEY`, one a line or with commas in between.

    Raises MalformedInput.
    """
    told = [each.split() for each in re.split("[,\n]", text) if each.strip()]
    return tuple(_address(words) for words in told)


def _address(words: list[str]) -> WitnessAddress:
    match words:
        case [url, vkey] if url.startswith(("http://", "https://")):
            key = VerifierKey.parse(vkey)
        case _:
            raise MalformedInput("a witness is an http(s) URL and a verifier key, with a blank")
    if key.type is not SignatureType.COSIGNATURE:
        raise MalformedInput(f"the key of {key.name} is not one that makes cosignatures")
    return WitnessAddress(url.rstrip("/"), key)


class HttpWitness:
    def __init__(self, http: httpx2.AsyncClient, address: WitnessAddress) -> None:
        self.key = address.key
        self._http = http
        self._url = f"{address.url}/add-checkpoint"

    async def add_checkpoint(self, request: AddCheckpoint) -> WitnessAnswer:
        """Ask for a cosignature; return it if it is one, and otherwise what hinders it."""
        answer = await post(self._http, self._url, request.to_bytes(), media_type="text/plain")
        if not isinstance(answer, Answer):
            return answer
        try:
            return self._read(answer, request)
        except (MalformedInput, ProofInvalid) as error:
            return Refused(f"its answer {answer.status} does not hold: {error}")

    def _read(self, answer: Answer, request: AddCheckpoint) -> WitnessAnswer:
        match answer.status:
            case 200:
                lines = parse_cosignatures(answer.content)
                verified = Note(request.checkpoint.text, lines).verified([self.key])
                return Cosigned(verified[self.key])
            case 409:
                return _conflict(answer.content, request)
            case 422:
                return Disputed("it has cosigned a tree that this one does not extend")
            case 404:
                return Refused("it does not know the log; whoever runs it has to add it")
            case 403:
                return Refused("it knows the log with other keys than sign it now")
            case status:
                return Refused(f"it answers {status}")


def _conflict(content: bytes, request: AddCheckpoint) -> LastCosigned | Disputed:
    same = request.old == size_of(request.checkpoint)
    # The first version of the protocol says so where the trees of one size differ; and need not
    # name the size that both know.
    if same and content in {b"", f"{request.old}\n".encode()}:
        return Disputed("it has cosigned another tree of this size")
    size = parse_size(content)
    if size == request.old:
        raise MalformedInput("it names the size that it was told, and wants another")
    return LastCosigned(size)
