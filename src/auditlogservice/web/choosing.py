"""What a hold or an erasure is about, as its body says it: a text in `q`, or a filter in `where`.

To leave both out never means everything, and neither does an empty text: `{"all": []}` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from auditlogservice import canonical
from auditlogservice.errors import Flaw, InvalidInput
from auditlogservice.filters import EVERYTHING
from auditlogservice.governance import MAX_REASON
from auditlogservice.language import check_size, parse_document, parse_text
from auditlogservice.validation import validate
from auditlogservice.web.bodies import MAX_GOVERNING_BYTES, read_body, require_media
from auditlogservice.web.documents import JSON
from auditlogservice.web.questions import Parameters, refuse_parameters

if TYPE_CHECKING:
    from datetime import datetime

    from starlette.requests import Request

    from auditlogservice.filters import Filter

M = TypeVar("M", bound=BaseModel)


class Choice(BaseModel):
    """What is meant, and why: all that a hold to be placed needs."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    q: str | None = None
    where: Any = None
    reason: Annotated[str, Field(min_length=1, max_length=MAX_REASON)]


class NewErasure(Choice):
    """An erasure to be done, or to be looked at beforehand."""

    preview: bool = False


async def read_governing(request: Request, model: type[M]) -> M:
    """Read a small body. Raises InvalidInput, with a pointer for each flaw."""
    refuse_parameters(request)
    require_media(request, (JSON,))
    raw = await read_body(request, limit=MAX_GOVERNING_BYTES)
    return validate(model, canonical.parse(raw))


def chosen(asked: Choice, *, now: datetime) -> Filter:
    """Return what was chosen; times such as `7d` are counted back from `now`, once and for all.

    Raises InvalidInput with a pointer into the body for each flaw.
    """
    if (asked.q is None) == (asked.where is None):
        raise InvalidInput([Flaw("", "this must have one of `q` and `where`, which say what")])
    pointer = "/where" if asked.q is None else "/q"
    try:
        where = _read(asked, now)
    except InvalidInput as error:
        # The flaw of a text says itself at which column it is.
        within = [flaw.pointer if asked.q is None else "" for flaw in error.flaws]
        flaws = [
            Flaw(pointer + inner, flaw.detail)
            for inner, flaw in zip(within, error.flaws, strict=True)
        ]
        raise InvalidInput(flaws) from None
    if where == EVERYTHING and asked.where != {"all": []}:
        everything = 'this is every event; if that is meant, say {"where": {"all": []}}'
        raise InvalidInput([Flaw(pointer, everything)])
    try:
        check_size(where)
    except ValueError as error:
        raise InvalidInput([Flaw(pointer, str(error))]) from None
    return where


def _read(asked: Choice, now: datetime) -> Filter:
    if asked.q is None:
        return parse_document(asked.where, now=now)
    return parse_text(asked.q, now=now)


def required_reason(request: Request) -> str:
    """Return the reason in the query string. Raises InvalidInput if there is none, or too long."""
    reason = optional_reason(request)
    if not reason:
        raise InvalidInput([Flaw("reason", "a reason is needed, and kept for good")])
    return reason


def optional_reason(request: Request) -> str | None:
    """Return the reason in the query string, if one is given. Raises InvalidInput if too long."""
    parameters = Parameters.read(request.scope["query_string"])
    reason = parameters.single("reason")
    if reason is not None and len(reason) > MAX_REASON:
        parameters.refuse("reason", f"a reason may have {MAX_REASON:,} characters")
    parameters.end()
    return reason
