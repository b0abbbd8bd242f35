"""How Python itself is set in a process that serves: so that no answer waits long for other work.

The event loop answers, and threads prepare batches, write and read. Only one of them has the
interpreter at a time.
"""

from __future__ import annotations

import gc
import sys

# A tenth of what Python has by itself. The loop waits for this whenever a batch is prepared or a
# group is written, several times for each answer: with the shorter one the slowest answers take
# two thirds of the time, and a batch 2 % more of the processor.
_SECONDS = 0.0005


def switch_often() -> None:
    """Let the loop, which answers, wait briefly for the threads, which work. For all threads."""
    sys.setswitchinterval(_SECONDS)


def set_start_aside() -> None:
    """Let the collector of garbage never again look at what the start has made.

    All of it stays as long as the process. To look it through took 60 ms each time, in which
    nothing was answered; with many batches that was every second.
    """
    gc.collect()
    gc.freeze()
