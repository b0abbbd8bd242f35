"""What a served log may answer to an auditor: anything at all, and it does not end in a defect."""

from __future__ import annotations

import httpx2
import pytest

from auditlogservice.client import Client
from auditlogservice.client.failures import UnexpectedAnswer

URL = "http://log.example"
RECORD = b'[{"_id":"000000000000000000000001","sequence":0}]'


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("application/json", RECORD),
        ("application/x-ndjson", RECORD[1:-1] + b"\n"),
    ],
)
def test_records_are_taken_as_an_array_or_as_lines(kind: str, content: bytes) -> None:
    def answer(_: httpx2.Request) -> httpx2.Response:
        headers = {"Link": '</events/feed?after=0>; rel="next"', "Content-Type": kind}
        return httpx2.Response(200, content=content, headers=headers)

    with (
        Client(URL, "secret", transport=httpx2.MockTransport(answer)) as client,
        client.log("default") as log,
    ):
        assert list(log.records(0, 1)) == [RECORD[1:-1]]


def test_lines_that_end_in_the_middle_are_no_answer_of_a_log() -> None:
    def answer(_: httpx2.Request) -> httpx2.Response:
        headers = {"Content-Type": "application/x-ndjson"}
        return httpx2.Response(200, content=RECORD[1:-1], headers=headers)

    with (
        Client(URL, "secret", transport=httpx2.MockTransport(answer)) as client,
        client.log("default") as log,
        pytest.raises(UnexpectedAnswer),
    ):
        list(log.records(0, 1))


@pytest.mark.parametrize("after", ["", "x", "-2", "²", "9" * 5_000])
def test_a_link_that_leads_nowhere_ends_the_reading(after: str) -> None:
    def answer(_: httpx2.Request) -> httpx2.Response:
        link = f'</events/feed?after={after}>; rel="next"'
        return httpx2.Response(200, content=RECORD, headers=[(b"Link", link.encode())])

    with (
        Client(URL, "secret", transport=httpx2.MockTransport(answer)) as client,
        client.log("default") as log,
    ):
        assert list(log.records(0, 2)) == []
