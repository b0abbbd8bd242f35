"""What a served log may answer to an auditor: anything at all, and it does not end in a defect."""

from __future__ import annotations

import httpx2
import pytest

from auditlogservice.client import Client

URL = "http://log.example"
RECORD = b'[{"_id":"000000000000000000000001","sequence":0}]'


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
