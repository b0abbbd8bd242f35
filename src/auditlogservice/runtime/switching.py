"""How long one thread of the process may have Python to itself while another one waits for it."""

from __future__ import annotations

import sys

# A tenth of what Python has by itself. The loop waits for this whenever a batch is prepared or a
# group is written, several times for each answer: with the shorter one the slowest answers take
# two thirds of the time, and a batch 2 % more of the processor.
_SECONDS = 0.0005


def switch_often() -> None:
    """Let the loop, which answers, wait briefly for the threads, which work. For all threads."""
    sys.setswitchinterval(_SECONDS)
