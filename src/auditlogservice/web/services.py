"""What the routes are given. Built by `runtime/wiring.py`; found on `request.app.state`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request

    from auditlogservice.governance import RetentionRule
    from auditlogservice.ledger.clock import Clock
    from auditlogservice.ledger.exporter import Exporter
    from auditlogservice.ledger.follower import Follower
    from auditlogservice.ledger.governing.eraser import Eraser
    from auditlogservice.ledger.governing.erasures import Erasures
    from auditlogservice.ledger.governing.holds import Holds
    from auditlogservice.ledger.governing.quotas import Quotas
    from auditlogservice.ledger.governing.rulebooks import RuleBooks
    from auditlogservice.ledger.identity.accounts import Accounts
    from auditlogservice.ledger.identity.apitokens import ApiTokens
    from auditlogservice.ledger.identity.callers import Callers
    from auditlogservice.ledger.identity.clients import Clients
    from auditlogservice.ledger.identity.logins import FailedLogins
    from auditlogservice.ledger.identity.sessions import Sessions
    from auditlogservice.ledger.identity.signin import SignIn
    from auditlogservice.ledger.identity.tenants import Tenants
    from auditlogservice.ledger.identity.tokens import Tokens
    from auditlogservice.ledger.proving.anchors import Anchors
    from auditlogservice.ledger.proving.keyring import Keyring
    from auditlogservice.ledger.proving.prover import Prover
    from auditlogservice.ledger.proving.signer import Signer
    from auditlogservice.ledger.recorder import Recorder
    from auditlogservice.ledger.records import Records
    from auditlogservice.ledger.selfaudit.recording import SelfAudit
    from auditlogservice.ledger.sharing.fairness import Turns
    from auditlogservice.ledger.sharing.limiter import Limiter
    from auditlogservice.ledger.statistics import Statistics
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
