"""What the service needs of a store, in words. Two adapters keep this contract, each natively.

Every method MUST be safe to call concurrently, from many tasks and many processes. Every method
may raise StoreUnreachable, and MUST return or raise within the adapter's time limit. A text from
a caller MUST never be read as an operator, a pattern or a statement.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence as Seq
    from datetime import datetime

    from auditlogservice.access import Scope, User
    from auditlogservice.events import Draft, Erasure, EventId, Kept, Record, Sequence
    from auditlogservice.filters import Filter

Order: TypeAlias = Literal["oldest", "newest"]

PAGE_BYTES = 8 * 1024 * 1024  # of payload: 32 records or more, however large they are


@dataclass(frozen=True, slots=True)
class Submission:
    """The drafts of one request, all of one tenant. If `atomic`, all are kept or none."""

    drafts: tuple[Draft, ...]
    atomic: bool = False


@dataclass(frozen=True, slots=True)
class Appended:
    """The draft is now this record."""

    record: Record


@dataclass(frozen=True, slots=True)
class Replayed:
    """A draft with this key was kept before, with the same event: this is what became of it."""

    kept: Kept


@dataclass(frozen=True, slots=True)
class KeyConflict:
    """A draft with this key was kept before, with another event. This one was not kept."""


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """The draft is good, but another draft of its atomic submission is not. It was not kept."""


Outcome: TypeAlias = Appended | Replayed | KeyConflict | Withdrawn


@dataclass(frozen=True, slots=True, kw_only=True)
class PageQuery:
    """One page of a tenant's records, in order of `sequence`, after or before a place.

    `beyond` is the last sequence that was seen, None at the start; `limit` is at least 1. The
    answer may take `seconds`; if there are none left, it is a QueryTimeout.
    """

    tenant: str
    where: Filter
    order: Order
    beyond: Sequence | None
    limit: int
    most_bytes: int = PAGE_BYTES
    seconds: float = 10.0

    def is_full(self, records: Seq[Record]) -> bool:
        """Whether an answer ends here by its size, so that there may be more."""
        size = sum(len(record.payload) for record in records)
        return len(records) >= self.limit or size >= self.most_bytes


class EventStore(Protocol):
    """Where records are kept."""

    async def append(self, submissions: Seq[Submission]) -> list[tuple[Outcome, ...]]:
        """Keep what is new; return an outcome for each draft, in the order given.

        When this returns, what was appended MUST be on disk and MUST be visible to every later
        read, in any process. Each tenant's records MUST get the sequences that follow its last
        one, without a hole, in the order of the drafts, and a `timestamp` that is the draft's
        `received_at`, or the tenant's last timestamp if that is later: time never goes back.

        Ids are unique: a keyed draft whose id is there MUST become Replayed if the fingerprints
        are equal, KeyConflict if not, also between drafts of one call, and also after erasure.
        A submission MUST be kept whole or not at all if anything fails. If it is atomic, a draft
        that conflicts, or that replays what was erased, withdraws the rest of it.

        Raises StorageFull, StoreBroken or StoreUnreachable if nothing was kept; OutcomeUnknown
        if that cannot be told.
        """
        ...

    async def find(self, tenant: str, event_id: EventId) -> Kept | None:
        """Return the record with this id, or what its erasure left. None if it never was here."""
        ...

    async def page(self, query: PageQuery) -> list[Record]:
        """Return records that match, in order, from an index where there is one.

        The answer ends at `limit` records, or with the one whose payload brings it to
        `most_bytes`; a smaller one MUST mean that there are no more. What is looked at on the
        way MUST be bounded in bytes, too. Erased records are left out. Raises QueryTimeout;
        MUST end its work in the store soon after it is cancelled.
        """
        ...

    async def end(self, tenant: str) -> Sequence:
        """Return the sequence that the tenant's next record will get: one more than the last.

        All records before it MUST be visible to every later read.
        """
        ...

    async def places(self, tenant: str, moments: Seq[datetime]) -> list[Sequence]:
        """Return for each moment the first sequence whose timestamp is not before it.

        That is `end` if there is none.
        """
        ...

    async def erase(
        self, tenant: str, event_id: EventId, *, at: datetime, by: str, reason: str | None
    ) -> Erasure | None:
        """Destroy the payload and the terms; keep id, sequence and fingerprint.

        Returns the erasure, durable, also if it happened before this call. None if the tenant
        has no such record.
        """
        ...

    async def ping(self) -> None:
        """Return if the store can be read and written now; otherwise raise Unavailable."""
        ...

    async def close(self) -> None:
        """Finish what runs and let go of everything. The last call."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class VerificationKey:
    """The public half of a node's token key. Every node trusts the tokens of all of them.

    `public` is a JWK (RFC 7517) as JSON text; `expires_at` is when its last token can end.
    """

    id: str
    public: str
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class UserChange:
    """What is to be different about a user. What is None stays as it is in the store."""

    password_hash: str | None = None
    scopes: frozenset[Scope] | None = None
    disabled: bool | None = None


class AccountStore(Protocol):
    """Where users are kept, and what the nodes must share to trust one another's tokens."""

    async def add_user(self, user: User) -> None:
        """Keep a new user. Raises UserExists if the name is taken, in any tenant."""
        ...

    async def change_user(self, user_id: str, change: UserChange) -> User:
        """Change what is given, in one step; return the user as it is then.

        What is not given MUST be left to whoever changes it at the same time. A new password
        MUST raise `generation` by one. Raises UserNotFound if the user is gone.
        """
        ...

    async def remove_user(self, user_id: str) -> None:
        """Forget the user with this id. Raises UserNotFound if it is gone."""
        ...

    async def user_named(self, name: str) -> User | None: ...

    async def user_with_id(self, user_id: str) -> User | None: ...

    async def users(self, tenant: str | None) -> list[User]:
        """Return the users of a tenant, or all of them, in order of name."""
        ...

    async def publish_key(self, key: VerificationKey) -> None:
        """Make the key known to every node, or prolong it. Expired keys MAY be dropped."""
        ...

    async def keys(self) -> list[VerificationKey]: ...

    async def shared_secret(self, name: str, proposal: bytes) -> bytes:
        """Return the secret of this name: the first proposal that any node ever made for it."""
        ...
