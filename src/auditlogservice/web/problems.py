"""Errors as answers: the one place where a failure gets an HTTP status (RFC 9457).

Each class of `errors` has a row, its own or its parent's; a test proves that none lacks one. The
slug is the `code` of the answer and the last step of its `type`, a page that exists.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match

from auditlogservice import errors
from auditlogservice.canonical import pointer_to
from auditlogservice.errors import AuditLogError, Flaw, InvalidInput
from auditlogservice.events import MAX_IDEMPOTENCY_KEY
from auditlogservice.times import format_utc
from auditlogservice.web.callers import record_denial
from auditlogservice.web.rate_limits import rate_limit_fields
from auditlogservice.web.services import services

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.requests import Request

MEDIA_TYPE = "application/problem+json"
REALM = 'Bearer realm="auditlogservice"'


@dataclass(frozen=True, slots=True)
class Problem:
    """One kind of failure as callers see it."""

    status: int
    code: str
    title: str
    advice: str


_P = Problem
PROBLEMS: dict[type[AuditLogError], Problem] = {
    errors.MalformedInput: _P(
        400, "malformed", "The bytes are not what they claim to be",
        "Send strict JSON in UTF-8: no duplicate keys, no NaN, no lone surrogates, nothing behind "
        "the end. Check that Content-Encoding says what was done to the body.",
    ),
    errors.BadCursor: _P(
        400, "bad-cursor", "The cursor does not belong to this question",
        "Follow the Link header as it is, or start again without a cursor. A cursor is good for "
        "ever, with the filters, the order and the tenant it was made for.",
    ),
    errors.BadIdempotencyKey: _P(
        400, "bad-idempotency-key", "The idempotency key cannot be used",
        f"Use 1 to {MAX_IDEMPOTENCY_KEY} visible ASCII characters, for example a UUID.",
    ),
    errors.TwoAuthorizations: _P(
        400, "two-authorizations", "There is more than one Authorization header",
        "Send one, as `Authorization: Bearer …`.",
    ),
    errors.InvalidInput: _P(
        422, "invalid", "The input was understood and refused",
        "`errors` says where and why. Nothing of this request was kept.",
    ),
    errors.IdempotencyKeyReused: _P(
        422, "idempotency-key-reused", "This idempotency key belongs to another event",
        "A key stands for one event for ever. Use a new key for a new event.",
    ),
    errors.InputTooLarge: _P(
        413, "too-large", "The input is larger than the limit",
        "GET /limits lists the limits. They hold after decompression too.",
    ),
    errors.RequestTimeout: _P(
        408, "request-timeout", "The request came in too slowly",
        "Nothing of it was kept. Send it again, over a better line or in smaller parts.",
    ),
    errors.UnsupportedMedia: _P(
        415, "unsupported-media", "This media type or encoding is not read here",
        "Events are application/json, batches application/json or application/x-ndjson, both also "
        "with Content-Encoding gzip or zstd; the token form is multipart/form-data or "
        "application/x-www-form-urlencoded.",
    ),
    errors.NotAuthenticated: _P(
        401, "not-authenticated", "A valid token is needed",
        "Get one from POST /token and send it as `Authorization: Bearer …`.",
    ),
    errors.InsufficientScope: _P(
        403, "insufficient-scope", "The token does not allow this",
        "Ask whoever manages users for the scope, then get a new token.",
    ),
    errors.CrossSiteRequest: _P(
        403, "csrf", "The request comes from a page of another site",
        "A browser signed in with a cookie may ask from pages of this service alone. Programs "
        "send `Authorization: Bearer …`.",
    ),
    errors.SignInRefused: _P(
        403, "sign-in-refused", "The sign-in came to nothing",
        "Start again at /signin. If it fails again, ask whoever runs the service.",
    ),
    errors.InvalidGrant: _P(
        400, "invalid_grant", "The username or the password is not right",
        "The answer is the same for a user who does not exist, or who is disabled.",
    ),
    errors.InvalidClient: _P(
        401, "invalid_client", "The client or its secret is not right",
        "The answer is the same for a client that does not exist, or that is disabled.",
    ),
    errors.InvalidTokenRequest: _P(
        400, "invalid_request", "The form is not a token request",
        "Send what the grant type needs, each field once: `username` and `password`, or a "
        "client's id and secret in the header or in the form, not in both.",
    ),
    errors.InvalidScope: _P(
        400, "invalid_scope", "There is no such scope, or none that may be had",
        "`scope` is a list of scopes with blanks between; leave it out to get all you have.",
    ),
    errors.UnsupportedGrantType: _P(
        400, "unsupported_grant_type", "This grant type is not offered",
        "Use `password`, or leave `grant_type` out; clients use `client_credentials`.",
    ),
    errors.NotFound: _P(404, "not-found", "There is no such thing", "Check the address."),
    errors.EventNotFound: _P(
        404, "event-not-found", "No event has this id",
        "An id is 24 hexadecimal digits. Events of other tenants look as if they did not exist.",
    ),
    errors.UserNotFound: _P(
        404, "user-not-found", "No user has this name",
        "Users of other tenants look as if they did not exist.",
    ),
    errors.ClientNotFound: _P(
        404, "client-not-found", "No client has this id",
        "Clients of other tenants look as if they did not exist.",
    ),
    errors.EventErased: _P(
        410, "event-erased", "The event was erased",
        "Its content is gone for good. `erased_at`, `erased_by` and `reason` say when, who, why; "
        "`tombstone` is the record that says so in the log.",
    ),
    errors.Conflict: _P(
        409, "conflict", "The present state forbids this", "Look at it again, then decide."
    ),
    errors.UserExists: _P(
        409, "user-exists", "The name is taken", "Names are unique in the whole service."
    ),
    errors.ClientExists: _P(
        409, "client-exists", "The name is taken", "Names of clients are unique in their tenant."
    ),
    errors.EventHeld: _P(
        409, "event-held", "A legal hold covers the event",
        "`holds` names them. An event can be erased once no hold covers it any more.",
    ),
    errors.OwnRecordKept: _P(
        409, "own-record-kept", "This record says what was done to the log",
        "It is the proof that an erasure was lawful, so it is kept for good.",
    ),
    errors.Outdated: _P(
        412, "outdated", "This was changed meanwhile",
        "Read it again, look at the change, and send yours with the new `ETag` in `If-Match`.",
    ),
    errors.Limited: _P(
        429, "limited", "Not so much at once", "Try again after `Retry-After` seconds."
    ),
    errors.TooManyAttempts: _P(
        429, "too-many-attempts", "Too many logins failed",
        "The password was not looked at. Try again after `Retry-After` seconds; a login that "
        "succeeds ends the waits. Whoever has signed in from an address before does not wait for "
        "what strangers do elsewhere.",
    ),
    errors.RateLimited: _P(
        429, "rate-limited", "The operator allows fewer of these",
        "`RateLimit-Policy` says how many (`q`) in how many seconds (`w`), `RateLimit` how many "
        "are left (`r`) and after how many seconds all are there again (`t`). Nothing of this "
        "request was done. Try again after `Retry-After` seconds.",
    ),
    errors.QuotaExceeded: _P(
        429, "quota-exceeded", "The tenant may record no more today",
        "Nothing of this request was kept. The day ends at midnight UTC. An operator can allow "
        "more.",
    ),
    errors.Unavailable: _P(
        503, "unavailable", "Not now", "Nothing was kept. Try again after `Retry-After` seconds."
    ),
    errors.Overloaded: _P(
        503, "overloaded", "More is asked for than is done at once",
        "Nothing of this request was kept. Try again after `Retry-After` seconds.",
    ),
    errors.StoreUnreachable: _P(
        503, "store-unreachable", "The database does not answer",
        "Nothing of this request was kept. Try again after `Retry-After` seconds.",
    ),
    errors.StorageFull: _P(
        503, "storage-full", "The disk is full",
        "Writing, and all that must be on record, is possible again once there is room. What the "
        "service needs to sign in and to erase goes on, in the room that is kept for it.",
    ),
    errors.StoreBroken: _P(
        503, "store-broken", "The database reported damage",
        "Writing is off until an operator has looked at the disk and restarted the service.",
    ),
    errors.NotSigned: _P(
        503, "not-signed", "The log is not signed as far as this",
        "A checkpoint that covers it follows within a second or so; if none does, the node's log "
        "says why it refuses to sign.",
    ),
    errors.LedgerDamaged: _P(
        503, "ledger-damaged", "What is stored does not prove itself",
        "The hashes of the log do not fit together. `auditlogservice fsck` says where.",
    ),
    errors.IssuerUnreachable: _P(
        503, "issuer-unreachable", "The identity provider does not answer",
        "Tokens of the service's own go on working. Try again after `Retry-After` seconds.",
    ),
    errors.ProofInvalid: _P(
        422, "proof-invalid", "This proves nothing",
        "Hashes or signatures do not fit together. Get them again from their source.",
    ),
    errors.QueryTimeout: _P(
        503,
        "query-timeout",
        "The question takes too long",
        "What stands in an index is quick: equality, beginnings, ranges and words. `contains` and "
        "a wildcard at the start look at every record that has the field, and what only excludes "
        "at every record: add `since` and `until`, or a condition that an index answers.",
    ),
    errors.OutcomeUnknown: _P(
        503, "outcome-unknown", "The fate of this write is unknown",
        "It may have been kept. Repeat it with the same Idempotency-Key: that is always safe.",
    ),
    errors.UnsafeSetup: _P(
        503, "unsafe-setup", "The service is not set up safely", "See the log of the service."
    ),
}  # fmt: skip

# What the framework refuses before any route of ours is asked.
_ROUTING: dict[int, Problem] = {
    400: PROBLEMS[errors.MalformedInput],
    404: PROBLEMS[errors.NotFound],
    405: _P(
        405, "method-not-allowed", "This method is not for this address",
        "The `Allow` header lists those that are.",
    ),
}  # fmt: skip
# What is refused before it is a request at all.
TARGET_TOO_LONG = _P(
    414, "target-too-long", "The address is longer than the limit",
    "Ask with POST /events/search: the question is then in the body.",
)  # fmt: skip
HEADERS_TOO_LARGE = _P(
    431, "headers-too-large", "The headers are larger than the limit",
    "Send fewer and shorter headers.",
)  # fmt: skip
MISDIRECTED = _P(
    421, "misdirected", "This service has another name",
    "Use the address that its operator gave out. The setting is AUDITLOG_ALLOWED_HOSTS.",
)  # fmt: skip
INTERNAL = _P(
    500, "internal", "A defect in the service", "Please report it, with the `request_id`."
)
ALL = {each.code: each for each in (
    *PROBLEMS.values(), *_ROUTING.values(), TARGET_TOO_LONG, HEADERS_TOO_LARGE, MISDIRECTED,
    INTERNAL,
)}  # fmt: skip


def problem_of(error: AuditLogError) -> Problem:
    """Return the row of the error's class, or of the nearest class above it."""
    return next(PROBLEMS[cls] for cls in type(error).__mro__ if cls in PROBLEMS)


def describe(
    problem: Problem, *, detail: str, instance: str, request_id: str | None, **members: Any
) -> bytes:
    """Return the problem as RFC 9457 JSON, with further members."""
    body = {
        "type": f"/problems/{problem.code}",
        "title": problem.title,
        "status": problem.status,
        "detail": detail,
        "instance": instance,
        "code": problem.code,
        "request_id": request_id,
        **members,
    }
    return orjson.dumps(body)


def answer(
    request: Request,
    problem: Problem,
    *,
    detail: str,
    members: dict[str, Any] | None = None,
    headers: dict[str, str] | None = None,
) -> Response:
    """Return the problem as an answer, with further members and headers."""
    body = describe(
        problem,
        detail=detail,
        instance=request.url.path,
        request_id=request.scope.get("request_id"),
        **(members or {}),
    )
    return Response(body, problem.status, headers, MEDIA_TYPE)


def answer_error(request: Request, error: AuditLogError) -> Response:
    """Return the error of ours as an answer."""
    return answer(
        request,
        problem_of(error),
        detail=str(error),
        members=_members(error),
        headers=_headers(error),
    )


def _members(error: AuditLogError) -> dict[str, Any]:
    """What the body says besides, of some errors."""
    match error:
        case InvalidInput():
            flaws = [{"pointer": flaw.pointer, "detail": flaw.detail} for flaw in error.flaws]
            return {"errors": flaws}
        case errors.InsufficientScope():
            return {"scope": error.scope}
        case errors.TokenRequestRefused():
            return {"error": error.error, "error_description": str(error)}
        case errors.EventErased():
            return {
                "_id": error.event_id,
                "tombstone": error.tombstone,
                "sequence": error.sequence,
                "erased_at": format_utc(error.at),
                "erased_by": error.by,
                "reason": error.reason,
            }
        case errors.EventHeld():
            return {"holds": list(error.holds)}
        case _:
            return {}


def _headers(error: AuditLogError) -> dict[str, str]:
    if challenge := _challenge(error):
        return {"WWW-Authenticate": challenge}
    match error:
        case errors.RequestTimeout():
            return {"Connection": "close"}  # the rest of the body is not waited for
        case errors.Limited():
            return {
                "Retry-After": str(error.retry_after),
                **rate_limit_fields([error.standing]),
            }
        case errors.Unavailable():
            return {"Retry-After": str(error.retry_after)}
        case _:
            return {}


def _challenge(error: AuditLogError) -> str | None:
    """Return how to prove who one is (RFC 6750 §3; RFC 6749 §5.2 for clients), if that is missing.

    Who has shown no token yet is told of no error.
    """
    match error:
        case errors.NotAuthenticated(tried=True):
            return f'{REALM}, error="invalid_token", error_description="{error}"'
        case errors.NotAuthenticated():
            return REALM
        case errors.TwoAuthorizations():
            return f'{REALM}, error="invalid_request"'
        case errors.InsufficientScope():
            return f'{REALM}, error="insufficient_scope", scope="{error.scope}"'
        case errors.InvalidClient():
            return 'Basic realm="auditlogservice", charset="UTF-8"'
        case _:
            return None


def _methods(app: FastAPI, path: str) -> list[str]:
    """Return the methods of this path: the framework tells those of one route only."""
    scope = {"type": "http", "path": path, "root_path": "", "headers": [], "app": app}
    return [
        method
        for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
        if any(route.matches({**scope, "method": method})[0] is Match.FULL for route in app.routes)
    ]


def install(app: FastAPI) -> None:
    """Make every failure of the app an answer of this module."""

    async def ours(request: Request, error: Exception) -> Response:
        assert isinstance(error, AuditLogError)  # noqa: S101 - how it is registered
        if isinstance(error, errors.InsufficientScope | errors.NotAuthenticated):
            try:
                await record_denial(request, error)
            except errors.Unavailable as unrecorded:
                error = unrecorded
        if isinstance(error, errors.Limited):
            services(request).metrics.limited(error.standing.policy)
        return answer_error(request, error)

    async def routing(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101 - how it is registered
        problem = _ROUTING.get(error.status_code, _ROUTING[400])
        headers = dict(error.headers or {})
        if "Allow" in headers:
            headers["Allow"] = ", ".join(_methods(app, request.scope["path"]))
        return answer(request, problem, detail=error.detail, headers=headers)

    async def validation(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)  # noqa: S101 - how it is registered
        flaws = [Flaw(pointer_to(*each["loc"][1:]), each["msg"]) for each in error.errors()]
        return answer_error(request, InvalidInput(flaws))

    app.add_exception_handler(AuditLogError, ours)
    app.add_exception_handler(HTTPException, routing)
    app.add_exception_handler(RequestValidationError, validation)
