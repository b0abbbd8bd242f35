"""What may go wrong between a client and a server, as one tree.

    ClientError
    ├── BadAddress
    ├── BadToken
    ├── ServerUnreachable
    ├── UnexpectedAnswer
    ├── BrokenOff
    └── Refused ── SignInNeeded, TooBusy, TooLarge

Every message is one line for people, and none holds a token or a password.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from auditlogservice.errors import Flaw


class ClientError(Exception):
    """Base of every failure of a call. Never raised itself."""


class BadAddress(ClientError):
    """The address is none that can be called."""

    def __init__(self, url: str) -> None:
        super().__init__(f"{url!r} is no address of a server: expected http://… or https://…")


class BadToken(ClientError):
    """The token is none, and is not shown: it may hold the better part of one."""

    def __init__(self) -> None:
        super().__init__("the token is none: it has to be visible ASCII characters without blanks")


class ServerUnreachable(ClientError):
    """Nothing answered, not even after the retries."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(f"no answer from {url}: {reason}")


class UnexpectedAnswer(ClientError):
    """Something answered, but not as this service does: a proxy, or another program."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(f"{url} did not answer as an audit log does: {reason}")


class BrokenOff(ClientError):
    """The answer began, and ended before its end. What came until then is right."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(f"the connection to {url} ended early: {reason}")


@dataclass(frozen=True, slots=True)
class Problem:
    """What a refusal says (RFC 9457, or RFC 6749 §5.2 for a token)."""

    status: int
    code: str
    detail: str
    flaws: tuple[Flaw, ...] = ()
    request_id: str = ""

    def __str__(self) -> str:
        flaws = [f"{flaw.pointer or 'body'}: {flaw.detail}" for flaw in self.flaws]
        told = [line for line in flaws if line not in self.detail]
        return self.detail + (f" ({'; '.join(told)})" if told else "")


class Refused(ClientError):
    """The server understood and refused. `problem` says why and where."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


class SignInNeeded(Refused):
    """No token, or one that is not valid any more."""


class TooBusy(Refused):
    """Still 408, 429, 502, 503 or 504 after the retries. What was sent may be sent again."""


class TooLarge(Refused):
    """The body is larger than the server takes."""
