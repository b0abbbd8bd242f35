"""What the service needs of a store, in words. Two adapters keep this contract, each natively.

Every method MUST be safe to call concurrently, from many tasks and many processes. Every method
may raise StoreUnreachable; a wait for a server, or for another process, MUST end within a time
limit of the adapter's own, and a wait for the local disk need not. A text from a caller MUST
never be read as an operator, a pattern or a statement.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from auditlogservice.events import EventId, Listing, Record

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from collections.abc import Sequence as Seq
    from datetime import datetime

    from auditlogservice.access import Scope, User
    from auditlogservice.entries import LogEntry
    from auditlogservice.errors import Unavailable
    from auditlogservice.events import Draft, Erasure, Kept, Sequence
    from auditlogservice.filters import Filter
    from auditlogservice.tiles import Tile

Order: TypeAlias = Literal["oldest", "newest"]

PAGE_BYTES = 8 * 1024 * 1024  # of payload: 32 records or more, however large they are


MAX_CONTRADICTIONS = 1_000


@dataclass(frozen=True, slots=True)
class Submission:
    """The drafts of one request, all of one tenant. If `atomic`, all are kept or none.

    What is `urgent` is kept as long as the disk takes it; room may be refused to the rest before.
    """

    drafts: tuple[Draft, ...]
    atomic: bool = False
    urgent: bool = False


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
# What becomes of a submission: an outcome for each draft, or what kept all of it out.
Answer: TypeAlias = "tuple[Outcome, ...] | Unavailable"


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

    def listing(self, records: list[Record]) -> Listing:
        """Return what goes out of an answer: of a full one all but the last, which tells more."""
        more = self.is_full(records)
        shown = records[:-1] if more else records
        return Listing(
            answers=b",".join([record.answer() for record in shown]),
            count=len(shown),
            beyond=shown[-1].sequence if more else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Burial:
    """One record to erase, and the draft of the record that will say so: its tombstone."""

    id: EventId
    by: str
    reason: str | None
    tombstone: Draft


@dataclass(frozen=True, slots=True)
class Held:
    """The record was not erased: these legal holds, by their ids, cover it."""

    holds: tuple[str, ...]


class EventStore(Protocol):
    """Where records are kept."""

    async def append(self, submissions: Seq[Submission]) -> list[Answer]:
        """Keep what is new; return what became of each submission, in the order given.

        When this returns, what was appended MUST be on disk and MUST be visible to every later
        read, in any process. Each tenant's records MUST get the sequences that follow its last
        one, without a hole, in the order of the drafts, and a `timestamp` that is the draft's
        `received_at`, or the tenant's last timestamp if that is later: time never goes back.

        In the same transaction each tenant's tree MUST grow by the records' entries, so that
        the tree has at all times as many leaves as the log has records.

        Ids are unique: a keyed draft whose id is there MUST become Replayed if the fingerprints
        are equal or the record was erased, KeyConflict if not, also between drafts of one call.
        A submission MUST be kept whole or not at all if anything fails. If it is atomic, a draft
        that conflicts, or that replays what was erased, withdraws the rest of it.

        A tenant's log that is damaged MUST keep nothing, and MUST be no reason to refuse what is
        another tenant's: LogDamaged is then the answer to its own submissions. It MUST be said of
        nothing else, such as a disk that fails or a file that is damaged: what it is said of may
        be read without a record of that.

        Raises StorageFull, StoreBroken, StoreUnreachable or Overloaded if nothing was kept;
        OutcomeUnknown if that cannot be told. Each may be the answer to one submission, too.
        """
        ...

    async def find(self, tenant: str, event_id: EventId) -> Kept | None:
        """Return the record with this id, or what its erasure left. None if it never was here.

        Raises StoreBroken for a payload that is no JSON object any more.
        """
        ...

    async def page(self, query: PageQuery) -> list[Record]:
        """Return records that match, in order, from an index where there is one.

        The answer ends at `limit` records, or with the one whose payload brings it to
        `most_bytes`; a smaller one MUST mean that there are no more. What is looked at on the
        way MUST be bounded in bytes, too. Erased records are left out. Raises QueryTimeout;
        StoreBroken if a payload on the page is no JSON object any more, since it would break the
        answer around it. MUST end its work in the store soon after it is cancelled.

        That a payload is what its commitment says is not looked at here, though it would cost no
        more (1.3 µs a record either way): a reader who wants to know verifies it, which is worth
        something only if what was altered is shown and not withheld; and who could alter a record
        could else keep all from reading on by it.
        """
        ...

    async def listing(self, query: PageQuery) -> Listing:
        """Do as `page` does, and return `query.listing` of what that returns.

        So `limit`, which is at least 2 here, counts the record that only tells that there are
        more.
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
        self, tenant: str, burials: Seq[Burial], *, passed: Collection[str] = ()
    ) -> list[Erasure | Held | None]:
        """Erase records and append their tombstones, in one transaction; say what became of each.

        The caller has found that no hold whose id is in `passed` covers any of these records. A
        hold never changes, so the transaction, in which others wait, looks at the rest alone.

        What is destroyed MUST be the payload, the salt, the fingerprint and the terms: all from
        which the content could be told or guessed. What stays is the id, the sequence, the entry,
        and the burial's `by`, `reason` and moment (the tombstone's `received_at`).

        Erasure is also the answer for what was erased before, and then nothing changes. If the
        tombstone is there although the record is too, the record is erased all the same. Held if
        a legal hold covers the record when the transaction commits. None if the tenant has no
        such record.
        """
        ...

    async def ping(self) -> None:
        """Return if the store can be read and written now; otherwise raise Unavailable."""
        ...

    async def close(self) -> None:
        """Finish what runs and let go of everything. The last call."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """What a leaf of the tree stands for. `salt` and `payload` are None once it was erased."""

    sequence: Sequence
    entry: LogEntry
    salt: bytes | None
    payload: bytes | None

    @property
    def record(self) -> Record | None:
        """What is answered where the record is asked for; None once it was erased."""
        if self.payload is None:
            return None
        return Record(id=EventId(self.entry.id), sequence=self.sequence, payload=self.payload)


@dataclass(frozen=True, slots=True)
class Published:
    """A signed checkpoint: the number of leaves it speaks of, and the note itself."""

    size: int
    note: bytes


class LedgerStore(Protocol):
    """Where the trees are kept, and what was signed of them. Trees grow in `EventStore.append`."""

    async def size(self, tenant: str) -> int:
        """Return how many leaves the tenant's tree has. All tiles for them are there."""
        ...

    async def tiles(self, tenant: str, wanted: Iterable[Tile]) -> dict[Tile, bytes]:
        """Return the hashes that each tile has now; tiles that are not there are left out."""
        ...

    async def opening(self, tenant: str, event_id: EventId) -> Opening | None:
        """Return what the leaf of this record stands for; None if the tenant has no such record.

        Raises StoreBroken if its payload is none any more.
        """
        ...

    async def openings(self, tenant: str, first: int, end: int, *, content: bool) -> list[Opening]:
        """Return what is there from `first` to before `end`, in order; a lost record is left out.

        Without `content`, payloads are left out, and salts, to spare the reading.
        """
        ...

    async def entries(self, tenant: str, first: int, end: int) -> dict[int, bytes]:
        """Return the entries from `first` to before `end`, by their places, as leaves hash them.

        What the tree holds, spelled; in order, and a lost record is left out.
        """
        ...

    async def salts(self, tenant: str, first: int, end: int) -> dict[int, bytes | None]:
        """Return the salts from `first` to before `end`, by their places; None once erased.

        In order, and a lost record is left out. No payload is read for it.
        """
        ...

    async def publish(self, tenant: str, checkpoint: Published) -> None:
        """Make this the tenant's checkpoint, unless the one that is there is of a larger tree."""
        ...

    async def published(self, tenant: str) -> Published | None: ...

    async def examine(self) -> list[str]:
        """Return a sentence for each thing in which the store contradicts itself, or breaks.

        That is all which no tree can tell: the files' own structure, indexes that are not those
        of the records, fields beside the payload, and where each log ends. There may be more
        than MAX_CONTRADICTIONS, and no more are returned. Nothing is raised for what is damaged.
        """
        ...

    async def sizes(self) -> dict[str, int]:
        """Return `size` for each tenant that has records."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A small thing of a tenant's: a hold, its rules, an erasure, its own state, an anchor.

    `version` counts its changes, from 1.
    """

    kind: Literal[
        "hold", "retention", "redaction", "erasure", "keys", "witnessed", "timestamp", "tenant",
        "session", "client", "client-name", "credentials", "retired-key", "self_audit",
        "limits",
    ]  # fmt: skip
    tenant: str
    id: str
    body: bytes
    version: int = 1


class DocumentStore(Protocol):
    """Where such things are kept. Each change is durable and seen by all nodes when it returns."""

    async def put(self, document: Document) -> bool:
        """Keep the document; return whether that was done.

        That is so if it is new and its version 1, or if the one that is there has the version
        before: one compare-and-swap across all processes.
        """
        ...

    async def get(self, kind: str, tenant: str, document_id: str) -> Document | None: ...

    async def all(self, kind: str, tenant: str | None = None) -> list[Document]:
        """Return the documents of this kind, of one tenant or of all, in order of their ids."""
        ...

    async def remove(self, kind: str, tenant: str, document_id: str) -> bool:
        """Forget the document; return whether it was there."""
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

    password_hash: str | None = field(default=None, repr=False)
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
