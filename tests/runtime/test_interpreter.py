"""A process that serves is set so that its answers do not wait long for its other work."""

from __future__ import annotations

import gc
import sys
from typing import TYPE_CHECKING

import pytest

from auditlogservice.runtime.interpreter import switch_often
from auditlogservice.runtime.lifespan import KeptStart

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.types import Message, Receive, Scope, Send


def test_threads_give_way_sooner_than_python_lets_them_by_itself() -> None:
    before = sys.getswitchinterval()
    try:
        switch_often()
        assert sys.getswitchinterval() <= before / 10
    finally:
        sys.setswitchinterval(before)


@pytest.fixture
def thawing() -> Iterator[None]:
    yield
    gc.unfreeze()


@pytest.mark.usefixtures("thawing")
async def test_what_the_start_has_made_is_not_looked_through_again() -> None:
    made = [object()]
    sent: list[Message] = []

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        assert any(each is made for each in gc.get_objects())
        await send({"type": "lifespan.startup.complete"})

    async def receive() -> Message:
        return {"type": "lifespan.startup"}

    async def send(message: Message) -> None:
        sent.append(message)
        assert not any(each is made for each in gc.get_objects())

    await KeptStart(app)({"type": "lifespan"}, receive, send)
    assert sent == [{"type": "lifespan.startup.complete"}]
