"""Random bytes of the system, drawn many at a time.

Asking the system lets go of the interpreter's lock for a microsecond. Where one thread did so
twice for each event of a batch, and others wanted the lock, the event loop was woken each time and
each time came too late: it waited for up to 200 ms. So a salt costs one such call in a hundred.
"""

from __future__ import annotations

import os
from threading import Lock

_DRAWN = 4_096


class Entropy:
    """Gives random bytes, fit for keys; each of them once, whichever thread asks."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._left = b""
        os.register_at_fork(after_in_child=self._forget)  # or two processes would give the same

    def __call__(self, size: int) -> bytes:
        with self._lock:
            if len(self._left) < size:
                self._left = os.urandom(max(size, _DRAWN))
            given, self._left = self._left[:size], self._left[size:]
            return given

    def _forget(self) -> None:
        self._lock = Lock()
        self._left = b""
