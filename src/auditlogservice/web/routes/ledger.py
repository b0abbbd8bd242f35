"""The log's tree for verifiers: checkpoints, tiles, entries, openings, keys and proofs (C2SP)."""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Any

import orjson
from fastapi import APIRouter, Request
from starlette.responses import Response

from auditlogservice.access import Scope
from auditlogservice.errors import MalformedInput, NotFound
from auditlogservice.merkle import MAX_SIZE
from auditlogservice.tiles import WIDTH, parse_entries_path, parse_tile_path
from auditlogservice.web.answers import json_answer
from auditlogservice.web.authn import Auditor, LedgerReader
from auditlogservice.web.callers import record_ledger_read, record_one_read
from auditlogservice.web.documents import JSON, answers, media, problems, refer
from auditlogservice.web.questions import refuse_parameters
from auditlogservice.web.services import services

if TYPE_CHECKING:
    from auditlogservice.ledger.proving.prover import Proven

router = APIRouter(tags=["ledger"])

TEXT = "text/plain; charset=utf-8"
BYTES = "application/octet-stream"
# A tile that is asked for with its width never changes: whoever has it need not ask again.
_FOR_EVER = {"Cache-Control": "private, max-age=31536000, immutable"}
AS_IT_IS_NOW = {"Cache-Control": "private, no-cache"}
_AS_ASKED = {**AS_IT_IS_NOW, "Vary": "Accept"}
_REFUSED = problems(400, 401, 403, 404, 422, 503)


@router.get(
    "/ledger/{tenant}/checkpoint",
    summary="The newest checkpoint",
    responses={200: media(TEXT, "A signed note (c2sp.org/tlog-checkpoint)"), **_REFUSED},
)
async def read_checkpoint(request: Request, tenant: str, caller: LedgerReader) -> Response:
    """The log's name, how many records it has, and the root over them, signed."""
    refuse_parameters(request)
    require_own(tenant, caller.tenant)
    published = await services(request).signer.checkpoint(tenant)
    return Response(published.note, headers=AS_IT_IS_NOW, media_type=TEXT)


@router.get(
    "/ledger/{tenant}/tile/{path:path}",
    summary="Hashes or entries of the tree",
    responses={
        200: media(BYTES, "A tile, or a bundle of entries (c2sp.org/tlog-tiles)"),
        **_REFUSED,
    },
)
async def read_tile(request: Request, tenant: str, path: str, caller: LedgerReader) -> Response:
    """`<L>/<N>[.p/<W>]` are up to 256 hashes of 32 bytes, `entries/<N>[.p/<W>]` what they hash."""
    refuse_parameters(request)
    require_own(tenant, caller.tenant)
    prover = services(request).prover
    await record_ledger_read(request, caller)
    try:
        if path.startswith("entries/"):
            content = await prover.entries(tenant, *parse_entries_path(path))
        else:
            content = await prover.tile(tenant, *parse_tile_path(path))
    except MalformedInput as error:
        raise NotFound(str(error)) from None
    return Response(content, headers=_FOR_EVER, media_type=BYTES)


@router.get(
    "/ledger/{tenant}/openings/{number}",
    summary="What opens the commitments",
    responses={200: answers("The salts of 256 records", refer("Openings")), **_REFUSED},
)
async def read_openings(request: Request, tenant: str, number: str, caller: Auditor) -> Response:
    """With its salt, whoever may read a record can check that it is the one that was sealed."""
    refuse_parameters(request)
    require_own(tenant, caller.tenant)
    bundle = number_of(number, most=MAX_SIZE // WIDTH)
    if bundle is None:
        raise NotFound("the log has no such records")
    salts = await services(request).prover.salts(tenant, bundle)
    await record_ledger_read(request, caller)
    told = [None if salt is None else base64.b64encode(salt).decode() for salt in salts]
    return json_answer({"first": bundle * WIDTH, "salts": told}, headers=AS_IT_IS_NOW)


@router.get(
    "/ledger/{tenant}/keys",
    summary="The verifier keys of the log",
    responses={
        200: media(TEXT, "Verifier keys (c2sp.org/signed-note), one a line, the newest first"),
        **_REFUSED,
    },
)
async def read_keys(request: Request, tenant: str, caller: LedgerReader) -> Response:
    """All that ever signed. Get them over a way that you trust more than this one, once."""
    refuse_parameters(request)
    require_own(tenant, caller.tenant)
    here = services(request)
    origin = here.signer.origin(tenant)
    lines = [f"{key.verifier(origin)}\n" for key in await here.keyring.keys()]
    return Response("".join(lines), headers=AS_IT_IS_NOW, media_type=TEXT)


@router.get(
    "/events/{event_id}/proof",
    summary="Prove an event",
    responses={
        200: {
            "description": "The proof (c2sp.org/tlog-proof); as JSON, with what it is about.",
            "content": {
                TEXT: {"schema": {"type": "string"}},
                JSON: {"schema": refer("Proof")},
            },
        },
        **_REFUSED,
    },
)
async def prove_event(request: Request, event_id: str, caller: LedgerReader) -> Response:
    """That its entry is in the tree of a signed checkpoint. It holds for ever, erased or not."""
    refuse_parameters(request)
    proven = await services(request).prover.prove(caller, event_id)
    await record_one_read(request, caller, "proof", event_id.lower(), proven.opening.record)
    if JSON in request.headers.get("accept", ""):
        told = _told(proven, opened=Scope.EVENTS_READ in caller.scopes)
        return Response(orjson.dumps(told), headers=_AS_ASKED, media_type=JSON)
    return Response(proven.proof.to_bytes(), headers=_AS_ASKED, media_type=TEXT)


def _told(proven: Proven, *, opened: bool) -> dict[str, Any]:
    opening = proven.opening
    told: dict[str, Any] = {
        "index": proven.proof.index,
        "entry": opening.entry.to_bytes().decode(),
        "proof": proven.proof.to_bytes().decode(),
        "opening": None,
    }
    if opened and opening.salt is not None and opening.payload is not None:
        told["opening"] = {
            "salt": base64.b64encode(opening.salt).decode(),
            "payload": opening.payload.decode(),
        }
    return told


def require_own(tenant: str, own: str) -> None:
    """Raise NotFound if this is the log of another tenant than the caller's."""
    if tenant != own:
        raise NotFound("there is no such log")


def number_of(text: str, *, most: int) -> int | None:
    """Return the number in a path; None if it is none, or larger than `most`."""
    # Counted first: Python reads no number of some thousand digits.
    number = int(text) if re.fullmatch("0|[1-9][0-9]{0,18}", text) else None
    return None if number is None or number > most else number
