"""The store that the settings name, and the time: the only module that names an adapter."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from auditlogservice.errors import UnsafeSetup

if TYPE_CHECKING:
    from auditlogservice.runtime.settings import Settings
    from auditlogservice.store.port import (
        AccountStore,
        DocumentStore,
        EventStore,
        LedgerStore,
    )


class Store(Protocol):
    """All stores of one place, as an adapter opens them."""

    @property
    def events(self) -> EventStore: ...

    @property
    def accounts(self) -> AccountStore: ...

    @property
    def ledger(self) -> LedgerStore: ...

    @property
    def documents(self) -> DocumentStore: ...

    async def close(self) -> None: ...


def utc_now() -> datetime:
    return datetime.now(UTC)


async def open_store(settings: Settings) -> Store:
    """Open the store that the settings name. Raises UnsafeSetup if it cannot be used safely."""
    # An adapter is imported when it is chosen: the other one's driver need not be installed.
    url = settings.store_url
    if url.startswith("sqlite:///"):
        from auditlogservice.store.sqlite import open_sqlite  # noqa: PLC0415

        return await open_sqlite(
            url.removeprefix("sqlite:///"), min_free_bytes=settings.min_free_bytes
        )
    if url.startswith(("mongodb://", "mongodb+srv://")):
        try:
            from auditlogservice.store.mongodb import open_mongodb  # noqa: PLC0415
        except ModuleNotFoundError as error:
            raise UnsafeSetup(
                f"{error.name} is missing; run: pip install 'auditlogservice[mongodb]'"
            ) from error
        return await open_mongodb(url, timeout=settings.store_timeout.total_seconds())
    raise UnsafeSetup("the store is sqlite:///path/audit.db or mongodb://host/database")


def require_store(settings: Settings) -> None:
    """Raise UnsafeSetup if the store is a file that is not there; opening would make it."""
    url = settings.store_url
    path = url.removeprefix("sqlite:///")
    if path != url and not Path(path).exists():
        raise UnsafeSetup(
            f"there is no store at {path}; `serve` and `users add` make one where there is none"
        )
