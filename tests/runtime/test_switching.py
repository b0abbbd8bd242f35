"""A process that serves does not leave Python to one thread for as long as others do."""

from __future__ import annotations

import sys

from auditlogservice.runtime.switching import switch_often


def test_threads_give_way_sooner_than_python_lets_them_by_itself() -> None:
    before = sys.getswitchinterval()
    try:
        switch_often()
        assert sys.getswitchinterval() <= before / 10
    finally:
        sys.setswitchinterval(before)
