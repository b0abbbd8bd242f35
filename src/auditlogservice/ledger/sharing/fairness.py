"""Who waits, in fair order: one source cannot hide another, however much it asks for.

Each source has a line of its own, and the lines are served in turn. While there is room, a source
may fill all of it. When there is none, whoever holds most makes room for who holds less: its
newest is sent away, and was not begun. So nobody is held back while nobody else waits, and who
asks for little is let in at once, behind at most one turn of each other source.

Room may be reserved for what is still to come. Nothing can be sent away for it then, so nobody
gets all of it: some always stays free of reservations, for others to reserve and to wait in.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from auditlogservice.errors import Overloaded

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Hashable

T = TypeVar("T")

_SHARE = 2  # a source may reserve so many times as much as stays free of reservations


class Load(NamedTuple):
    """How much something is, in pieces and in bytes."""

    pieces: int
    bytes: int = 0

    def plus(self, other: Load) -> Load:
        return Load(self.pieces + other.pieces, self.bytes + other.bytes)

    def minus(self, other: Load) -> Load:
        return Load(self.pieces - other.pieces, self.bytes - other.bytes)

    def at_most(self, most: Load) -> Load:
        return Load(min(self.pieces, most.pieces), min(self.bytes, most.bytes))

    def fits(self, room: Load) -> bool:
        """Whether it is no more than the room, in pieces and in bytes."""
        return self.pieces <= room.pieces and self.bytes <= room.bytes


_NOTHING = Load(0)


@dataclass(slots=True)
class _Line(Generic[T]):
    """What one source has waiting, the oldest first."""

    items: deque[tuple[T, Load]] = field(default_factory=deque)
    load: Load = _NOTHING  # of all items


class FairQueue(Generic[T]):
    """Items in fair order.

    What was taken takes room until it is `done`, and a reservation until it is released.
    """

    def __init__(self, room: Load) -> None:
        self._room = room
        self._lines: OrderedDict[Hashable, _Line[T]] = OrderedDict()  # the next turn first
        self._reserved: dict[Hashable, Load] = {}
        # Sums, so that nobody has to add up all lines to know whether there is room.
        self._used = _NOTHING  # by what waits, was taken, or has room reserved for it
        self._reserved_in_all = _NOTHING

    def __bool__(self) -> bool:
        """Whether anything waits."""
        return bool(self._lines)

    @property
    def pieces(self) -> int:
        """How many pieces wait, or were taken and are not done."""
        return self._used.pieces - self._reserved_in_all.pieces

    def fits(self, load: Load) -> bool:
        """Whether there is room for so much, with nobody sent away for it.

        One item always fits if there is nothing else, so that no bound can lock a legal one out.
        """
        return not self._used.pieces or self._used.plus(load).fits(self._room)

    def put(self, source: Hashable, item: T, load: Load) -> list[T]:
        """Let the item wait; return what was sent away for it. Raises Overloaded without room."""
        sent_away = [] if self.fits(load) else self._make_room(source, load)
        self.admit(source, item, load)
        return sent_away

    def admit(self, source: Hashable, item: T, load: Load) -> None:
        """Let the item wait, whether or not there is room: some was reserved for it before."""
        line = self._lines.get(source)
        if line is None:
            line = self._lines[source] = _Line()
        line.items.append((item, load))
        line.load = line.load.plus(load)
        self._used = self._used.plus(load)

    # ---- room for what is still to come -----------------------------------------------

    def check(self, source: Hashable, load: Load) -> None:
        """Raise Overloaded if `reserve` would. Nothing is reserved, and nobody sent away."""
        load = load.at_most(self._half())
        self._check_share(source, load)
        if not self.fits(load):
            self._leaving(source, load)

    def reserve(self, source: Hashable, load: Load) -> tuple[Load, list[T]]:
        """Reserve room; return how much, which is to be released, and what was sent away for it.

        That is at most half of all room, so that nothing is too large to come in. Raises
        Overloaded without room, or if the source has reserved its share already.
        """
        load = load.at_most(self._half())
        self._check_share(source, load)
        sent_away = [] if self.fits(load) else self._make_room(source, load)
        self._reserved[source] = self._reserved.get(source, _NOTHING).plus(load)
        self._used = self._used.plus(load)
        self._reserved_in_all = self._reserved_in_all.plus(load)
        return load, sent_away

    def release(self, source: Hashable, load: Load) -> None:
        """Give back room that was reserved."""
        rest = self._reserved.pop(source, _NOTHING).minus(load)
        if any(rest):
            self._reserved[source] = rest
        self._used = self._used.minus(load)
        self._reserved_in_all = self._reserved_in_all.minus(load)

    def _half(self) -> Load:
        return Load(self._room.pieces // 2, self._room.bytes // 2)

    def _check_share(self, source: Hashable, load: Load) -> None:
        left = self._room.minus(self._reserved_in_all).minus(load)
        most = Load(_SHARE * left.pieces, _SHARE * left.bytes)
        if not self._reserved.get(source, _NOTHING).plus(load).fits(most):
            raise Overloaded

    # ---- room that others make ----------------------------------------------------------

    def _make_room(self, source: Hashable, load: Load) -> list[T]:
        """Send away what `_leaving` says, and return it. Raises Overloaded, and nobody leaves."""
        whose, leaving = self._leaving(source, load)
        for item in leaving:
            self.withdraw(whose, item)
        return leaving

    def _leaving(self, source: Hashable, load: Load) -> tuple[Hashable, list[T]]:
        """Return who makes room, and its newest items that would have to go.

        That is who holds most; or the next one, where most of that is reserved and too little of
        it waits. Raises Overloaded if nobody has enough, or would then hold less than who asks.
        """
        wanted = self._fill(self._held(source).plus(load))
        for each in sorted(self._lines, key=lambda one: self._fill(self._held(one)), reverse=True):
            if self._fill(self._held(each)) < wanted:
                break
            leaving = self._leaving_of(each, load, wanted)
            if leaving is not None:
                return each, leaving
        raise Overloaded

    def _leaving_of(self, source: Hashable, load: Load, wanted: float) -> list[T] | None:
        """Return what the source would send away; None if it has too little for it.

        That is also so if it would then hold less than is `wanted`.
        """
        missing = self._used.plus(load).minus(self._room)
        rest = self._held(source)
        leaving: list[T] = []
        for item, newest in reversed(self._lines[source].items):
            if missing.fits(_NOTHING):
                break
            leaving.append(item)
            missing, rest = missing.minus(newest), rest.minus(newest)
            if self._fill(rest) < wanted:
                return None
        return leaving if missing.fits(_NOTHING) else None

    def _held(self, source: Hashable) -> Load:
        """How much of the source waits, or has room reserved for it."""
        line, reserved = self._lines.get(source), self._reserved.get(source, _NOTHING)
        return line.load.plus(reserved) if line else reserved

    def _fill(self, held: Load) -> float:
        """How much of the room that is: of the pieces or of the bytes, whichever is more."""
        return max(held.pieces / self._room.pieces, held.bytes / self._room.bytes)

    def withdraw(self, source: Hashable, item: T) -> None:
        """Forget an item of the source, if it still waits."""
        line = self._lines.get(source, _Line[T]())
        for place in reversed(range(len(line.items))):
            waiting, load = line.items[place]
            if waiting is item:
                del line.items[place]
                self._leave(source, line, load)
                self.done(load)
                return

    def take(self, most: Load) -> list[T]:
        """Take at least one item that waits, and at most so much, each source an equal part.

        Sources have their turns one after another; who had none this time is first the next time.
        """
        part = Load(max(most.pieces // len(self._lines), 1), most.bytes // len(self._lines))
        taken: list[T] = []
        left = most
        while self._lines:
            source, line = next(iter(self._lines.items()))
            turn = self._take_turn(line, part, left, taken)
            if turn is None:
                break
            left = left.minus(turn)
            self._lines.move_to_end(source)
            self._leave(source, line, turn)
        return taken

    @staticmethod
    def _take_turn(line: _Line[T], part: Load, left: Load, taken: list[T]) -> Load | None:
        """Take one item, and more up to the part, as long as all fit; None if not even one does.

        The first of all that is taken may be larger than that.
        """
        turn, most, number = _NOTHING, left, 0
        share = part.at_most(left)
        for item, load in line.items:
            larger = turn.plus(load)
            if taken and not larger.fits(most):
                break
            taken.append(item)
            turn, most, number = larger, share, number + 1
        for _ in range(number):
            line.items.popleft()
        return turn if number else None

    def _leave(self, source: Hashable, line: _Line[T], load: Load) -> None:
        line.load = line.load.minus(load)
        if not line.items:
            del self._lines[source]

    def done(self, load: Load) -> None:
        """Give back the room of what was taken."""
        self._used = self._used.minus(load)


_ONE = Load(1)


class Turns:
    """Work of which so much is done at once; who waits for it is let in in fair order.

    So many may wait, each for so many seconds.
    """

    def __init__(self, at_once: int, *, waiting: int, seconds: float) -> None:
        self._free = at_once
        self._seconds = seconds
        self._queue: FairQueue[asyncio.Future[None]] = FairQueue(Load(waiting, 1))

    @asynccontextmanager
    async def take(self, source: Hashable) -> AsyncIterator[None]:
        """Wait for a turn, and have it. Raises Overloaded if too many wait, or for too long."""
        if self._free:
            self._free -= 1
        else:
            await self._wait(source)
        try:
            yield
        finally:
            self._pass_on()

    async def _wait(self, source: Hashable) -> None:
        turn = asyncio.get_running_loop().create_future()
        for sent_away in self._queue.put(source, turn, _ONE):
            if not sent_away.done():
                sent_away.set_exception(Overloaded())
        try:
            async with asyncio.timeout(self._seconds):
                await turn
        except (asyncio.CancelledError, TimeoutError) as error:
            self._queue.withdraw(source, turn)
            if not turn.cancelled() and turn.exception() is None:
                self._pass_on()  # it was given its turn at the same moment
            if isinstance(error, TimeoutError):
                raise Overloaded from None
            raise

    def _pass_on(self) -> None:
        while self._queue:
            (turn,) = self._queue.take(_ONE)
            self._queue.done(_ONE)
            if not turn.done():  # who hung up just now does not want it
                turn.set_result(None)
                return
        self._free += 1
