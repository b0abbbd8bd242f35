"""A timestamp authority asked over HTTP (RFC 3161 §3.4).

Its answer has to be about the bytes and the request that it was sent, and of now. Its signature
is for auditors to verify, who decide for themselves which authorities they trust.
"""

from __future__ import annotations

from datetime import timedelta
from hashlib import sha256
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from rfc3161_client import (
    HashAlgorithm,
    PKIStatus,
    TimestampRequestBuilder,
    decode_timestamp_response,
)

from auditlogservice.anchors import Refused, Stamped
from auditlogservice.client.foreign import Answer, post

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    import httpx2
    from rfc3161_client import TimeStampRequest

    from auditlogservice.anchors import StampAnswer

_OK = 200
_SHA256 = "2.16.840.1.101.3.4.2.1"
_GRANTED = {PKIStatus.GRANTED, PKIStatus.GRANTED_WITH_MODS}
_CLOCKS_DIFFER = timedelta(minutes=10)  # at most, or one of the two is wrong


class HttpAuthority:
    def __init__(
        self, http: httpx2.AsyncClient, url: str, *, clock: Callable[[], datetime]
    ) -> None:
        self.name = urlsplit(url).netloc.rpartition("@")[2]  # without the password, if any
        self._http = http
        self._url = url
        self._clock = clock

    async def stamp(self, data: bytes) -> StampAnswer:
        """Ask for a timestamp of these bytes; return it if it is one, or what hinders it."""
        builder = TimestampRequestBuilder(data=data, hash_algorithm=HashAlgorithm.SHA256)
        request = builder.build()
        answer = await post(
            self._http, self._url, request.as_bytes(), media_type="application/timestamp-query"
        )
        if not isinstance(answer, Answer):
            return answer
        if answer.status != _OK:
            return Refused(f"it answers {answer.status}")
        return read_reply(answer.content, request, data, now=self._clock())


def read_reply(
    reply: bytes, request: TimeStampRequest, data: bytes, *, now: datetime
) -> Stamped | Refused:
    """Return the timestamp, if the reply is one of this data, for this request, and of now."""
    try:
        response = decode_timestamp_response(reply)
        if response.status not in _GRANTED:
            return Refused(f"it refuses: {', '.join(response.status_string) or response.status}")
        token = response.tst_info
        imprint = token.message_imprint
        told = (imprint.hash_algorithm.dotted_string, imprint.message)
        nonce, time = token.nonce, token.gen_time
    except ValueError as error:
        return Refused(f"its answer is no timestamp: {error}")
    if told != (_SHA256, sha256(data).digest()):
        return Refused("its timestamp is of other bytes")
    if nonce != request.nonce:
        return Refused("its timestamp is for another request")
    if abs(time - now) > _CLOCKS_DIFFER:
        return Refused(f"its clock says {time}, and the one here {now}")
    return Stamped(time, reply)
