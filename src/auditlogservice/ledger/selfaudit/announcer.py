"""Each log says in itself which of the service's own acts it holds.

A log in which nothing else is said holds all of them. Where that is not so, or not so any more, a
record says so: at the start of the process, and within a minute of the first record of a log.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from auditlogservice.errors import Unavailable
from auditlogservice.governance import SERVICE_USER
from auditlogservice.ledger.selfaudit import acts
from auditlogservice.ledger.selfaudit.diary import Actor, Deed
from auditlogservice.store.port import Document

if TYPE_CHECKING:
    from auditlogservice.ledger.selfaudit.diary import Diary
    from auditlogservice.ledger.selfaudit.recording import Mode
    from auditlogservice.store.port import DocumentStore, LedgerStore

LOOK_EVERY = 60.0  # seconds
_ID = "mode"  # of the document: a tenant has one


class Announcer:
    """`run` must be running, in a task that its owner waits for."""

    def __init__(
        self, ledger: LedgerStore, documents: DocumentStore, diary: Diary, *, mode: Mode
    ) -> None:
        self._ledger = ledger
        self._documents = documents
        self._diary = diary
        self._mode = mode
        # Once for each log: nodes that are set differently must not contradict one another.
        self._done: set[str] = set()
        self._closed = asyncio.Event()

    def close(self) -> None:
        self._closed.set()

    async def run(self) -> None:
        while not self._closed.is_set():
            with suppress(Unavailable):  # it is tried again; a log that is damaged takes nothing
                await self.announce()
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY):
                    await self._closed.wait()

    async def announce(self) -> None:
        """Record the mode in each log that says another one."""
        said = {each.tenant: each for each in await self._documents.all("self_audit")}
        for tenant in (await self._ledger.sizes()).keys() - self._done:
            with suppress(Unavailable):
                await self._announce(tenant, said.get(tenant))
                self._done.add(tenant)

    async def _announce(self, tenant: str, said: Document | None) -> None:
        before = "full" if said is None else said.body.decode(errors="replace")
        if before == self._mode:
            return
        version = 1 if said is None else said.version + 1
        deed = Deed(
            act=acts.SETTINGS_CHANGED,
            detail=f"from here on this log is kept with self_audit = {self._mode}",
            by=Actor(SERVICE_USER, "service"),
            kind="setting",
            id="self_audit",
            data={"before": before, "after": self._mode},
            key=f"settings-changed/self_audit/{version}",
        )
        await self._diary.write(tenant, deed)
        body = self._mode.encode()
        await self._documents.put(
            Document(kind="self_audit", tenant=tenant, id=_ID, body=body, version=version)
        )
