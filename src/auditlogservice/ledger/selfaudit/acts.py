"""What the service does itself and puts on record: the types of its own records, in one table.

docs/self-audit.md shows the same table; a test compares the two.
"""

from __future__ import annotations

from dataclasses import dataclass

from auditlogservice.governance import TOMBSTONE_TYPE


@dataclass(frozen=True, slots=True)
class Act:
    """A kind of thing that the service does, or lets be done.

    One that is not `essential` is left out where AUDITLOG_SELF_AUDIT is `essential`. Those that
    are `urgent` are recorded also while the disk has only its reserve left: without them nobody
    could sign in to make room, or erase what must go.
    """

    event_type: str
    name: str
    meaning: str
    essential: bool = True
    urgent: bool = False


LOGIN_SUCCEEDED = Act(
    "audit.login.succeeded", "Login succeeded", "a user signed in and got a token",
    essential=False, urgent=True,
)  # fmt: skip
LOGIN_FAILED = Act(
    "audit.login.failed", "Login failed",
    "somebody, or a program, could not sign in, `attempts` times from one address",
    essential=False,
)  # fmt: skip
TOKEN_ISSUED = Act(
    "audit.token.issued", "Token issued", "a client got a token, or an API token was made",
    essential=False, urgent=True,
)  # fmt: skip
TOKEN_REVOKED = Act(
    "audit.token.revoked", "Token revoked", "a token was ended before its time",
    essential=False, urgent=True,
)  # fmt: skip
ACCESS_DENIED = Act(
    "audit.access.denied", "Access denied",
    "a caller lacked a scope, or came with a token that is good no more",
    essential=False,
)  # fmt: skip
USER_ADDED = Act("audit.user.added", "User added", "a user was added", urgent=True)
USER_CHANGED = Act(
    "audit.user.changed", "User changed",
    "a user got a new password or other scopes, was disabled or enabled",
    urgent=True,
)  # fmt: skip
USER_REMOVED = Act("audit.user.removed", "User removed", "a user was removed", urgent=True)
CLIENT_ADDED = Act("audit.client.added", "Client added", "a program was registered", urgent=True)
CLIENT_CHANGED = Act(
    "audit.client.changed",
    "Client changed",
    "a program got other scopes, got or lost a secret, was disabled or enabled",
    urgent=True,
)
CLIENT_REMOVED = Act(
    "audit.client.removed", "Client removed", "a program was removed", urgent=True
)
TENANT_ADDED = Act("audit.tenant.added", "Tenant added", "a tenant was added", urgent=True)
TENANT_CHANGED = Act(
    "audit.tenant.changed", "Tenant changed", "a tenant was suspended or resumed", urgent=True
)
TENANT_REMOVED = Act("audit.tenant.removed", "Tenant removed", "a tenant was removed", urgent=True)
LIMITS_CHANGED = Act(
    "audit.limits.changed",
    "Limits changed",
    "how much a tenant may record was changed",
    urgent=True,
)
EVENTS_READ = Act(
    "audit.events.read", "Events read", "events of others were read, or counted", essential=False
)
EVENTS_EXPORTED = Act("audit.events.exported", "Events exported", "an export was begun")
EVENT_ERASED = Act(TOMBSTONE_TYPE, "Event erased", "an event was erased", urgent=True)
ERASURE_REQUESTED = Act(
    "audit.erasure.requested", "Erasure requested", "an erasure by filter was asked for",
    urgent=True,
)  # fmt: skip
ERASURE_DONE = Act(
    "audit.erasure.done", "Erasure done", "an erasure by filter came to its end", urgent=True
)
ERASURE_FAILED = Act(
    "audit.erasure.failed", "Erasure failed", "an erasure by filter was given up", urgent=True
)
HOLD_PLACED = Act("audit.hold.placed", "Legal hold placed", "a legal hold was placed", urgent=True)
HOLD_LIFTED = Act("audit.hold.lifted", "Legal hold lifted", "a legal hold was lifted", urgent=True)
RETENTION_CHANGED = Act(
    "audit.retention.changed", "Retention rules changed", "the retention rules were replaced",
    urgent=True,
)  # fmt: skip
REDACTION_CHANGED = Act(
    "audit.redaction.changed", "Redaction rules changed", "the redaction rules were replaced",
    urgent=True,
)  # fmt: skip
KEY_ROTATED = Act(
    "audit.key.rotated", "Key rotated", "a new key that signs tokens or logs was made",
    urgent=True,
)  # fmt: skip
KEY_RETIRED = Act(
    "audit.key.retired", "Key retired", "a key that signed tokens or logs was given up",
    urgent=True,
)  # fmt: skip
SETTINGS_CHANGED = Act(
    "audit.settings.changed", "Settings changed",
    "this log is kept under another AUDITLOG_SELF_AUDIT from here on",
    urgent=True,
)  # fmt: skip
LEDGER_READ = Act(
    "audit.ledger.read", "Ledger read", "a verifier read tiles, entries or openings",
    essential=False,
)  # fmt: skip
LEDGER_VERIFIED = Act(
    "audit.ledger.verified", "Ledger verified", "a verifier told what it found in this log"
)

ACTS = (
    LOGIN_SUCCEEDED, LOGIN_FAILED, TOKEN_ISSUED, TOKEN_REVOKED, ACCESS_DENIED,
    USER_ADDED, USER_CHANGED, USER_REMOVED, CLIENT_ADDED, CLIENT_CHANGED, CLIENT_REMOVED,
    TENANT_ADDED, TENANT_CHANGED, TENANT_REMOVED, LIMITS_CHANGED,
    EVENTS_READ, EVENTS_EXPORTED, EVENT_ERASED, ERASURE_REQUESTED, ERASURE_DONE, ERASURE_FAILED,
    HOLD_PLACED, HOLD_LIFTED, RETENTION_CHANGED, REDACTION_CHANGED,
    KEY_ROTATED, KEY_RETIRED, SETTINGS_CHANGED, LEDGER_READ, LEDGER_VERIFIED,
)  # fmt: skip
