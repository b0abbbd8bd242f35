"""What the routes are given. Built by `runtime/wiring.py`; found on `request.app.state`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request

    from auditlogservice.governance import RetentionRule
    from auditlogservice.ledger.accounts import Accounts
    from auditlogservice.ledger.anchors import Anchors
    from auditlogservice.ledger.apitokens import ApiTokens
    from auditlogservice.ledger.callers import Callers
    from auditlogservice.ledger.clients import Clients
    from auditlogservice.ledger.clock import Clock
    from auditlogservice.ledger.eraser import Eraser
    from auditlogservice.ledger.erasures import Erasures
    from auditlogservice.ledger.exporter import Exporter
    from auditlogservice.ledger.fairness import Turns
    from auditlogservice.ledger.follower import Follower
    from auditlogservice.ledger.holds import Holds
    from auditlogservice.ledger.keyring import Keyring
    from auditlogservice.ledger.limiter import Limiter
    from auditlogservice.ledger.logins import FailedLogins
    from auditlogservice.ledger.prover import Prover
    from auditlogservice.ledger.quotas import Quotas
    from auditlogservice.ledger.recorder import Recorder
    from auditlogservice.ledger.records import Records
    from auditlogservice.ledger.rulebooks import RuleBooks
    from auditlogservice.ledger.selfaudit import SelfAudit
    from auditlogservice.ledger.sessions import Sessions
    from auditlogservice.ledger.signer import Signer
    from auditlogservice.ledger.signin import SignIn
    from auditlogservice.ledger.statistics import Statistics
    from auditlogservice.ledger.tenants import Tenants
    from auditlogservice.ledger.tokens import Tokens
    from auditlogservice.redaction import RedactionRule
    from auditlogservice.web.bodies import BatchRoom
    from auditlogservice.web.places import Places


class Metrics(Protocol):
    """Who counts requests, and writes the page that Prometheus reads."""

    def answered(self, *, method: str, route: str, status: int, seconds: float) -> None: ...

    def limited(self, policy: str) -> None: ...

    def page(self) -> tuple[bytes, str]:
        """Return the page and its media type."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    accounts: Accounts
    api_tokens: ApiTokens
    anchors: Anchors
    batches: BatchRoom
    callers: Callers
    clients: Clients
    clock: Clock
    eraser: Eraser
    erasures: Erasures
    exporter: Exporter
    exports: Places
    failed_logins: FailedLogins
    follower: Follower
    issuer: str
    keyring: Keyring
    holds: Holds
    limiter: Limiter
    metrics: Metrics
    ping: Callable[[], Awaitable[None]]
    prover: Prover
    questions: Turns
    quotas: Quotas
    recorder: Recorder
    records: Records
    self_audit: SelfAudit
    sessions: Sessions
    sign_in: SignIn | None  # at the external issuer, if there is one for people
    signer: Signer
    redaction: RuleBooks[RedactionRule]
    retention: RuleBooks[RetentionRule]
    statistics: Statistics
    tenants: Tenants
    tokens: Tokens


def services(request: Request) -> Services:
    return cast("Services", request.app.state.services)
