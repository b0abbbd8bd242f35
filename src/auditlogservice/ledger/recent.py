"""A map of bounded size."""

from __future__ import annotations

from collections import OrderedDict
from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Recent(OrderedDict[K, V]):
    """A map that forgets what was put in first."""

    __repr__ = object.__repr__  # keys may be tokens, which no message may show

    def __init__(self, capacity: int) -> None:
        super().__init__()
        self._capacity = capacity

    def put(self, key: K, value: V) -> None:
        self[key] = value
        if len(self) > self._capacity:
            self.popitem(last=False)
