"""Every failure that a caller or an operator can meet, as one tree.

What a client meets beyond that, on the way to a server, is `client/failures.py`. Nothing here
knows HTTP: `web/problems.py` gives each class a status, and a test proves that none lacks one.
Messages are for people; they never carry a driver's text, a secret or a stack.

    AuditLogError
    ├── InputRefused
    │   ├── MalformedInput ── BadCursor, BadIdempotencyKey, TwoAuthorizations
    │   ├── InvalidInput ── IdempotencyKeyReused
    │   ├── InputTooLarge
    │   ├── RequestTimeout
    │   └── UnsupportedMedia
    ├── AccessRefused
    │   ├── NotAuthenticated
    │   ├── InsufficientScope
    │   ├── CrossSiteRequest
    │   ├── SignInRefused
    │   └── TokenRequestRefused ── InvalidGrant, InvalidClient, InvalidTokenRequest,
    │                              InvalidScope, UnsupportedGrantType
    ├── NotFound ── EventNotFound, UserNotFound, ClientNotFound
    ├── EventErased
    ├── Conflict ── UserExists, ClientExists, EventHeld, OwnRecordKept, Outdated
    ├── Limited ── TooManyAttempts, RateLimited, QuotaExceeded
    ├── Unavailable ── Overloaded, StoreUnreachable, StorageFull, StoreBroken, QueryTimeout,
    │                   NotSigned, LedgerDamaged, IssuerUnreachable, OutcomeUnknown
    ├── ProofInvalid
    └── UnsafeSetup
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from auditlogservice.budgets import Standing


@dataclass(frozen=True, slots=True)
class Flaw:
    """One thing that is wrong with an input.

    `pointer` is a JSON Pointer (RFC 6901) into the body, or the name of a query parameter or
    header; the empty string is the whole body.
    """

    pointer: str
    detail: str


class AuditLogError(Exception):
    """Base of every failure of this tree. Never raised itself."""


# ---- what the caller sent ---------------------------------------------------


class InputRefused(AuditLogError):
    """The request can never succeed as it is. Nothing of it was kept."""


class MalformedInput(InputRefused):
    """The bytes are not what they claim to be: broken JSON, NaN, duplicate keys, bad gzip."""


class BadCursor(MalformedInput):
    """The cursor is forged, damaged, or belongs to another query or tenant."""

    def __init__(self) -> None:
        super().__init__("this cursor was not issued for this query; start again without it")


class BadIdempotencyKey(MalformedInput):
    """The Idempotency-Key is none, or there are two. The rule is in the message."""


class TwoAuthorizations(MalformedInput):
    """There is more than one Authorization header (RFC 6750 §3.1, invalid_request)."""

    def __init__(self) -> None:
        super().__init__("there is more than one Authorization header")


class InvalidInput(InputRefused):
    """The input was understood, and is refused. `flaws` says where and why."""

    def __init__(self, flaws: Sequence[Flaw]) -> None:
        super().__init__("; ".join(f"{flaw.pointer or 'body'}: {flaw.detail}" for flaw in flaws))
        self.flaws = tuple(flaws)


class IdempotencyKeyReused(InvalidInput):
    """The key was used before, with another event."""

    def __init__(self, pointer: str = "Idempotency-Key") -> None:
        super().__init__([Flaw(pointer, "this idempotency key was used for a different event")])


class InputTooLarge(InputRefused):
    """More bytes, or more events, than the limit. The limit is in the message."""


class RequestTimeout(InputRefused):
    """The request came in too slowly. It was given up before its end, and nothing of it kept."""


class UnsupportedMedia(InputRefused):
    """The media type or the content encoding is not one that this call reads."""


# ---- who is asking ----------------------------------------------------------


class AccessRefused(AuditLogError):
    """The caller may not do this."""


class NotAuthenticated(AccessRefused):
    """No token, or one that is forged, expired, revoked, or of a user who is gone.

    `tried` says that there was a token; what is wrong with it is told to nobody. `of` is the name
    and the tenant of a user whose token was good once: for the log, not for the answer.
    """

    def __init__(self, *, tried: bool, of: tuple[str, str] | None = None) -> None:
        super().__init__(
            "the token is forged, expired or revoked, or its user is gone"
            if tried
            else "a bearer token is needed"
        )
        self.tried = tried
        self.of = of


class InsufficientScope(AccessRefused):
    """The token is good, and does not carry the scope that this needs."""

    def __init__(self, scope: str) -> None:
        super().__init__(f"this needs the scope {scope}")
        self.scope = scope


class CrossSiteRequest(AccessRefused):
    """The request bears a session's cookie, and it was another site that had it sent."""

    def __init__(self) -> None:
        super().__init__("a session's cookie counts only in requests from pages of this service")


class SignInRefused(AccessRefused):
    """A sign-in at the external issuer came to nothing. The message says what is wrong with it."""


class TokenRequestRefused(AccessRefused):
    """No token is issued. Never raised itself: `error` is a code of RFC 6749 §5.2."""

    error: ClassVar[str]


class InvalidGrant(TokenRequestRefused):
    """Unknown user, wrong password or disabled user: one answer for all three."""

    error = "invalid_grant"

    def __init__(self) -> None:
        super().__init__("the username or the password is not right")


class InvalidClient(TokenRequestRefused):
    """Unknown client, wrong or expired secret, or disabled client: one answer for all of them."""

    error = "invalid_client"

    def __init__(self) -> None:
        super().__init__("the client or its secret is not right")


class InvalidTokenRequest(TokenRequestRefused):
    """A field of the form is missing, or there twice."""

    error = "invalid_request"


class InvalidScope(TokenRequestRefused):
    """A scope was asked for that does not exist, or none that the owner has."""

    error = "invalid_scope"


class UnsupportedGrantType(TokenRequestRefused):
    """A grant type that is not offered here."""

    error = "unsupported_grant_type"


# ---- what is not there, or not any more ---------------------------------------


class NotFound(AuditLogError):
    """There is no such thing, or it belongs to another tenant: the two look the same."""


class EventNotFound(NotFound):
    def __init__(self) -> None:
        super().__init__("no event has this id")


class UserNotFound(NotFound):
    def __init__(self) -> None:
        super().__init__("no user has this name")


class ClientNotFound(NotFound):
    def __init__(self) -> None:
        super().__init__("no client has this id")


class EventErased(AuditLogError):
    """The event existed and was erased; `by` whom, `at` which moment and for what `reason`.

    `tombstone` is the id of the record that says so.
    """

    def __init__(
        self,
        *,
        event_id: str,
        tombstone: str,
        sequence: int,
        at: datetime,
        by: str,
        reason: str | None,
    ) -> None:
        super().__init__("this event was erased")
        self.event_id = event_id
        self.tombstone = tombstone
        self.sequence = sequence
        self.at = at
        self.by = by
        self.reason = reason


class Conflict(AuditLogError):
    """The state of the thing forbids this."""


class UserExists(Conflict):
    def __init__(self) -> None:
        super().__init__("a user with this name exists already")


class ClientExists(Conflict):
    def __init__(self) -> None:
        super().__init__("a client with this name exists already")


class EventHeld(Conflict):
    """Legal holds cover the event, so it may not be erased; `holds` are their ids."""

    def __init__(self, holds: Sequence[str]) -> None:
        super().__init__("a legal hold forbids to erase this event")
        self.holds = tuple(holds)


class OwnRecordKept(Conflict):
    """The service made the record, to say what was done to the log. It is never erased."""

    def __init__(self) -> None:
        super().__init__("a record that says what was done to the log is kept for good")


class Outdated(Conflict):
    """The change was meant for a state that is not the present one any more."""


# ---- what the caller has used up -----------------------------------------------


class Limited(AuditLogError):
    """The caller may go on later. Nothing of this was done. Never raised itself.

    `standing` is the policy that says so; after `retry_after` seconds it is worth trying again.
    """

    def __init__(self, message: str, standing: Standing, *, retry_after: int) -> None:
        super().__init__(message)
        self.standing = standing
        self.retry_after = retry_after


class TooManyAttempts(Limited):
    """Logins failed, so the next one has to wait. The password of this one was not looked at."""

    def __init__(self, standing: Standing) -> None:
        super().__init__(
            "logins failed here, so this one was not tried; wait, then try again",
            standing,
            retry_after=standing.reset,
        )


class RateLimited(Limited):
    """The operator allows so much in a time, and the caller or its tenant has had it."""

    def __init__(self, standing: Standing, *, retry_after: int) -> None:
        super().__init__(
            f"{standing.policy}: {standing.quota:,} in {standing.window:,} s are allowed",
            standing,
            retry_after=retry_after,
        )


class QuotaExceeded(Limited):
    """The tenant has recorded what it may on this day, or would go beyond it. None was kept."""

    def __init__(self, standing: Standing) -> None:
        super().__init__(
            f"{standing.quota:,} events a day may be recorded, and {standing.left:,} are left",
            standing,
            retry_after=standing.reset,
        )


# ---- what the service cannot do now ------------------------------------------


class Unavailable(AuditLogError):
    """Not now. `retry_after` is the number of seconds after which it is worth trying again."""

    retry_after = 1


class Overloaded(Unavailable):
    """More of this is asked for than is done at once. Nothing of it was kept, or begun."""

    def __init__(self) -> None:
        super().__init__("too much of this is waiting or under way; this was not accepted")


class StoreUnreachable(Unavailable):
    """The database does not answer. Nothing of this was kept."""

    def __init__(self) -> None:
        super().__init__("the database does not answer")


class StorageFull(Unavailable):
    """No room is left on the disk. Nothing of this was kept, nor shown if it had to be."""

    retry_after = 30

    def __init__(self) -> None:
        super().__init__("the disk is full; nothing more can be put on record")


class StoreBroken(Unavailable):
    """The disk failed or the file is damaged. Writing stays off until a restart has looked."""

    retry_after = 60

    def __init__(self) -> None:
        super().__init__("the database reported damage; writing is off until an operator restarts")


class QueryTimeout(Unavailable):
    """The answer would take longer than a query may. Ask for less, or for what is indexed."""

    retry_after = 5

    def __init__(self) -> None:
        super().__init__("this question takes too long; narrow it by time, or by an exact value")


class NotSigned(Unavailable):
    """No signed checkpoint reaches as far as this, and none could be made now."""

    retry_after = 2


class LedgerDamaged(Unavailable):
    """What is stored of the log does not prove itself. The message says what does not fit."""

    retry_after = 60


class IssuerUnreachable(Unavailable):
    """The external issuer does not answer, or not as OpenID Connect says. The message says how."""

    retry_after = 10


class OutcomeUnknown(Unavailable):
    """The write may or may not have been kept. Safe to repeat with the same idempotency key."""

    def __init__(self) -> None:
        super().__init__("the fate of this write is unknown; repeat it with the same key")


# ---- what does not prove itself ----------------------------------------------


class ProofInvalid(AuditLogError):
    """Hashes or signatures do not fit together as they must, if the log is what it says it is."""


# ---- what the operator must mend ----------------------------------------------


class UnsafeSetup(AuditLogError):
    """The process refuses to start. The message says what is wrong and what to do."""
