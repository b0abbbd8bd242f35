"""The driver's errors in our words. No text of the driver, which may hold data, goes further.

What matters of a failed write is whether it may have been applied. `reading` and `writing` are
wrapped around each call outside of a transaction; inside one, `appending` decides.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pymongo.errors import (
    BulkWriteError,
    ConnectionFailure,
    ExecutionTimeout,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
    WaitQueueTimeoutError,
    WriteConcernError,
)

from auditlogservice.damage import DAMAGE
from auditlogservice.errors import (
    OutcomeUnknown,
    Overloaded,
    QueryTimeout,
    StorageFull,
    StoreBroken,
    StoreUnreachable,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from auditlogservice.errors import Unavailable

TRANSIENT = "TransientTransactionError"  # the server is sure that nothing was kept

_DUPLICATE_KEY = 11_000
_OUT_OF_DISK_SPACE = 14_031
_WRITE_CONFLICT = 112
_TOO_LARGE_FOR_CACHE = 388  # of a transaction; from MongoDB 6.2 on
_NEVER_SENT = (ServerSelectionTimeoutError, WaitQueueTimeoutError)
_FATE_UNKNOWN = (ConnectionFailure, WriteConcernError, ExecutionTimeout)

_log = logging.getLogger(__name__)


@contextmanager
def reading() -> Iterator[None]:
    """Raise StoreUnreachable instead of the driver's error; what `undamaged` raises."""
    try:
        with undamaged():
            yield
    except PyMongoError as error:
        raise not_kept(error) from None


@contextmanager
def undamaged() -> Iterator[None]:
    """Raise StoreBroken if a document holds what was never put in."""
    try:
        yield
    except DAMAGE as error:
        _log.exception("what MongoDB gives is not as it was put in")
        raise StoreBroken from error


@contextmanager
def asking() -> Iterator[None]:
    """Raise QueryTimeout if the server says that the time is up, else what `reading` does."""
    with reading():
        try:
            yield
        except ExecutionTimeout:
            raise QueryTimeout from None


@contextmanager
def writing() -> Iterator[None]:
    """Raise OutcomeUnknown if the write may have been applied, else what `reading` does."""
    try:
        with undamaged():
            yield
    except PyMongoError as error:
        if isinstance(error, _FATE_UNKNOWN) and not isinstance(error, _NEVER_SENT):
            _tell(error)
            raise OutcomeUnknown from None
        raise not_kept(error) from None


def not_kept(error: PyMongoError) -> Unavailable:
    """Return our error for a failure that is known to have kept nothing."""
    _tell(error)
    codes = _codes(error)
    if _OUT_OF_DISK_SPACE in codes:
        return StorageFull()
    # The server has less room for what is being written than it would take: not worth a
    # repetition at once, since the same transaction would fail again.
    return Overloaded() if _TOO_LARGE_FOR_CACHE in codes else StoreUnreachable()


def is_duplicate(error: PyMongoError) -> bool:
    """Whether a unique index refused a write."""
    return _DUPLICATE_KEY in _codes(error)


def is_beaten(error: PyMongoError) -> bool:
    """Whether the transaction kept nothing because another writer was first."""
    return not _codes(error).isdisjoint({_DUPLICATE_KEY, _WRITE_CONFLICT})


def is_worth_another_try(error: PyMongoError) -> bool:
    """Whether the transaction kept nothing, and a new one may do."""
    return is_beaten(error) or error.has_error_label(TRANSIENT)


def _codes(error: PyMongoError) -> set[int | None]:
    match error:
        case BulkWriteError():
            return {flaw.get("code") for flaw in error.details.get("writeErrors", ())}
        case OperationFailure():
            return {error.code}
        case _:
            return set()


def _tell(error: PyMongoError) -> None:
    """Log the kind of the error, for operators; its text stays here. Losing a race is no error."""
    if isinstance(error, OperationFailure) and is_worth_another_try(error):
        return
    codes = sorted(filter(None, _codes(error)))
    _log.warning("MongoDB: %s, codes %s", type(error).__name__, codes)
