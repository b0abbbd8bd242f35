"""Who asks, and from where, as it goes on record; and what of a read does."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never
from urllib.parse import quote, urlencode

from auditlogservice.access import Principal, User, format_scopes
from auditlogservice.errors import InsufficientScope, NotAuthenticated
from auditlogservice.ledger.identity.clients import Client
from auditlogservice.ledger.selfaudit import acts
from auditlogservice.ledger.selfaudit.diary import Actor, Origin, actor_named
from auditlogservice.ledger.selfaudit.reads import Read, asked_values, question_text
from auditlogservice.ledger.selfaudit.recording import Caller, Entry
from auditlogservice.web.services import services

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import Request

    from auditlogservice.canonical import Json
    from auditlogservice.events import Listing, Record
    from auditlogservice.filters import Filter
    from auditlogservice.ledger.selfaudit.reads import Kind
    from auditlogservice.web.questions import Parameters

MAX_USER_AGENT = 256  # characters that are kept

# Which page of an answer is wanted, and how long to wait for it, is no part of the question.
_PAGING = frozenset({"after", "cursor", "limit", "sort", "wait"})
_READABLE = " !\"$'()*,/:;<>?@[]`{|}"  # what a query string can have as it is without doubt


def origin_of(request: Request) -> Origin:
    """Return where the request came from."""
    agent = request.headers.get("user-agent")
    return Origin(
        ip=request.client.host if request.client else None,
        user_agent=agent and agent[:MAX_USER_AGENT],
        request_id=request.scope.get("request_id"),
    )


def author_of(
    request: Request, who: Principal | User | Client, tenant: str | None = None
) -> Caller:
    """Return who asks, as the author of what goes on record: in `tenant`, or in their own.

    Of an operator who changes what another tenant has, that is the log of the other tenant.
    """
    match who:
        case Principal():
            actor = Actor(who.name, who.kind)
        case Client():
            actor = Actor(who.actor, "client")
        case User():
            actor = Actor(who.name)
        case _:
            assert_never(who)
    return Caller(actor=actor, tenant=tenant or who.tenant, origin=origin_of(request))


def question_of(parameters: Parameters) -> str:
    """Return what a query string asks, without the page that it wants."""
    asked = [(name, value) for name, value in parameters.pairs if name not in _PAGING]
    return urlencode(asked, safe=_READABLE, quote_via=quote)


async def record_read(
    request: Request,
    who: Principal,
    kind: Kind,
    *,
    question: str,
    where: Filter,
    shown: Sequence[Record] | Listing | None = None,
) -> None:
    """Put it on record that a question about events is about to be answered."""
    read = Read(kind=kind, question=question, where=where, shown=shown)
    await services(request).self_audit.read(author_of(request, who), read)


async def record_one_read(
    request: Request, who: Principal, kind: Kind, event_id: str, record: Record | None
) -> None:
    """Put it on record that one event is about to be shown."""
    shown = () if record is None else (record,)
    read = Read(kind=kind, question=event_id, where=None, shown=shown)
    await services(request).self_audit.read(author_of(request, who), read)


async def record_export(  # noqa: PLR0913 - what there is to say, each by its name
    request: Request,
    who: Principal,
    *,
    form: str,
    question: str,
    where: Filter,
    after: int,
    end: int,
) -> None:
    """Put it on record that an export is about to begin, of what lies between two places."""
    entry = Entry(
        detail=f"{who.name} exported events",
        kind="log",
        id=who.tenant,
        data={
            "format": form,
            "question": question_text(question),
            "values": asked_values(where),
            "after": after,
            "end": end,
        },
    )
    await services(request).self_audit.record(acts.EVENTS_EXPORTED, author_of(request, who), entry)


async def record_denial(request: Request, error: InsufficientScope | NotAuthenticated) -> None:
    """Put it on record that a caller was refused, if it is known who that was."""
    who: Principal | None = getattr(request.state, "principal", None)
    data: dict[str, Json]
    if isinstance(error, InsufficientScope) and who:
        caller, name = author_of(request, who), who.name
        data = {"scope": error.scope, "has": list(format_scopes(who.scopes).split())}
    elif isinstance(error, NotAuthenticated) and error.of:
        name, tenant = error.of
        caller = Caller(actor=actor_named(name), tenant=tenant, origin=origin_of(request))
        data = {"token": "ended"}
    else:
        return
    route = f"{request.method} {getattr(request.scope.get('route'), 'path', request.url.path)}"
    entry = Entry(detail=f"{name} was refused: {error}", kind="route", id=route, data=data)
    await services(request).self_audit.once(
        acts.ACCESS_DENIED, caller, entry, what=f"{route} {error}", outcome="failure"
    )


async def record_ledger_read(request: Request, who: Principal) -> None:
    """Put it on record that a verifier is about to be shown files of the ledger."""
    await services(request).self_audit.read_ledger(author_of(request, who), request.url.path)
