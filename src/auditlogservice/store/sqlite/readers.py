"""Threads that read, each with a connection of its own, and the work that waits for one.

Everybody who waits is served in as few changes between threads as there can be: a thread goes on
until nothing waits, and the event loop is woken once for all answers that are there when it looks.
To hand over each look-up alone takes three times as much as the look-up.

One thread serves as long as it gets on. Threads that read at the same time take the interpreter
from each other at every row: a page of 100 took twice the CPU with four of them. Another one
starts when all that run have been at one piece of work for a while, so that nobody waits behind a
question that looks through the whole log.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    import apsw

T = TypeVar("T")

_PATIENCE = 0.01  # seconds that a piece of work may take before others are served beside it


@dataclass(slots=True)
class _Waiting:
    work: Callable[[], Any]
    answer: asyncio.Future[Any]
    result: Any = None
    error: BaseException | None = None

    def do(self) -> None:
        try:
            self.result = self.work()
        except StopIteration as error:
            # No future takes it. A coroutine lets none out either, and does the same (PEP 479).
            self.error = RuntimeError("the work raised StopIteration")
            self.error.__cause__ = error
        except BaseException as error:  # noqa: BLE001 - it is raised where the answer is waited for
            self.error = error

    def tell(self) -> None:
        if self.answer.done():  # whoever asked has been cancelled
            return
        if self.error is None:
            self.answer.set_result(self.result)
        else:
            self.answer.set_exception(self.error)


class Readers:
    """So many threads and connections. `idle` has the connections that nobody uses now.

    Used from one event loop.
    """

    def __init__(self, number: int, name: str) -> None:
        self.idle: queue.SimpleQueue[apsw.Connection] = queue.SimpleQueue()
        self._number = number
        self._threads = ThreadPoolExecutor(number, thread_name_prefix=name)
        self._waiting: deque[_Waiting] = deque()
        self._done: deque[_Waiting] = deque()
        # A mark for each thread that serves, with when it began what it is at.
        self._began: dict[object, float] = {}
        self._lock = threading.Lock()  # for these three, but that `_tell` may take from `_done`
        self._timer: asyncio.TimerHandle | None = None

    def open(self, connect: Callable[[], apsw.Connection]) -> None:
        """Make a connection for each thread. Raises what `connect` raises."""
        for _ in range(self._number):
            self.idle.put(connect())

    async def run(self, work: Callable[[], T]) -> T:
        """Return what `work` returns, in one of the threads, in turn."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()
        with self._lock:
            self._waiting.append(_Waiting(work, answer))
        self._start_if_stuck(loop)
        return await answer

    def _start_if_stuck(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start a thread if none that runs gets on; look again as long as somebody waits."""
        now = time.monotonic()
        with self._lock:
            may_start = bool(self._waiting) and len(self._began) < self._number
            if may_start and all(now - since >= _PATIENCE for since in self._began.values()):
                mark = object()
                self._threads.submit(self._serve, mark, loop)  # which waits for this lock
                self._began[mark] = now
        if may_start and self._timer is None:
            self._timer = loop.call_later(_PATIENCE, self._look_again, loop)

    def _look_again(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        self._start_if_stuck(loop)

    def _serve(self, mark: object, loop: asyncio.AbstractEventLoop) -> None:
        while waiting := self._next(mark):
            waiting.do()
            with self._lock:
                self._done.append(waiting)
                is_first = len(self._done) == 1
            # Behind another one it is told with that: `_tell` goes on until nothing is there.
            if is_first:
                loop.call_soon_threadsafe(self._tell)

    def _next(self, mark: object) -> _Waiting | None:
        with self._lock:
            if self._waiting:
                self._began[mark] = time.monotonic()
                return self._waiting.popleft()
            del self._began[mark]  # so that what comes now starts a thread
            return None

    def _tell(self) -> None:
        while self._done:
            self._done.popleft().tell()

    def close(self) -> None:
        """Wait for what runs, then close."""
        if self._timer is not None:
            self._timer.cancel()
        self._threads.shutdown()
        while not self.idle.empty():
            self.idle.get().close()
