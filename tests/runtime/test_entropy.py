"""Random bytes that are drawn many at a time are given out once."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

from auditlogservice.runtime.entropy import Entropy


def test_each_asker_gets_as_many_bytes_as_it_asks_for_and_no_two_the_same() -> None:
    entropy = Entropy()
    sizes = [8, 32, 5_000, 16] * 500
    with ThreadPoolExecutor(8) as threads:
        given = list(threads.map(entropy, sizes))
    assert [len(each) for each in given] == sizes
    assert len(set(given)) == len(given)


def test_a_process_that_is_forked_draws_anew() -> None:
    entropy = Entropy()
    entropy(8)
    end, child_end = os.pipe()
    if (child := os.fork()) == 0:
        os.write(child_end, entropy(16))
        os._exit(0)
    assert os.waitpid(child, 0) == (child, 0)
    os.close(child_end)
    with os.fdopen(end, "rb") as told:
        assert told.read() not in {b"", entropy(16)}
