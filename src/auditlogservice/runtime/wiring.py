"""Where a server is built: the only module that knows every other one."""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

from auditlogservice.budgets import Budget, Rate
from auditlogservice.ledger.exporter import Exporter
from auditlogservice.ledger.follower import Follower
from auditlogservice.ledger.governing.clearing import Clearing
from auditlogservice.ledger.governing.eraser import Eraser
from auditlogservice.ledger.governing.erasures import Erasures
from auditlogservice.ledger.governing.holds import Holds
from auditlogservice.ledger.governing.quotas import Quotas
from auditlogservice.ledger.governing.redacting import REDACTION, Redacting
from auditlogservice.ledger.governing.retention import RETENTION, keeping
from auditlogservice.ledger.governing.rulebooks import KnownRules, RuleBooks
from auditlogservice.ledger.governing.sweeper import Sweeper
from auditlogservice.ledger.governing.undertaker import Undertaker
from auditlogservice.ledger.identity.accounts import Accounts
from auditlogservice.ledger.identity.apitokens import ApiTokens
from auditlogservice.ledger.identity.callers import Callers
from auditlogservice.ledger.identity.logins import FailedLogins
from auditlogservice.ledger.identity.owners import Owners
from auditlogservice.ledger.identity.passwords import Passwords
from auditlogservice.ledger.identity.sessions import Sessions
from auditlogservice.ledger.identity.tokenkeys import TokenKeys
from auditlogservice.ledger.identity.tokens import Tokens
from auditlogservice.ledger.proving.anchorer import Anchorer
from auditlogservice.ledger.proving.anchors import Anchors
from auditlogservice.ledger.proving.keyring import Keyring
from auditlogservice.ledger.proving.prover import Prover
from auditlogservice.ledger.proving.signer import Signer
from auditlogservice.ledger.recorder import Recorder
from auditlogservice.ledger.records import Records
from auditlogservice.ledger.selfaudit.announcer import Announcer
from auditlogservice.ledger.selfaudit.diary import Diary
from auditlogservice.ledger.selfaudit.recording import SelfAudit
from auditlogservice.ledger.sharing.fairness import Turns
from auditlogservice.ledger.sharing.limiter import Limiter
from auditlogservice.ledger.statistics import Statistics
from auditlogservice.runtime.administration import open_clients, open_tenants
from auditlogservice.runtime.anchoring import open_anchorer
from auditlogservice.runtime.entropy import Entropy
from auditlogservice.runtime.identity import open_issuer
from auditlogservice.runtime.interpreter import switch_often
from auditlogservice.runtime.keys import TokenKeyFile
from auditlogservice.runtime.lifespan import KeptStart
from auditlogservice.runtime.memory import CheckpointFiles
from auditlogservice.runtime.observability import (
    AccessLines,
    AnchorLines,
    IssuerLines,
    PrometheusMetrics,
    SignerLines,
    configure_logs,
)
from auditlogservice.runtime.settings import Settings, load_settings
from auditlogservice.runtime.signals import on_stop_signal, stop_with_parent
from auditlogservice.runtime.signing import signing_seeds
from auditlogservice.runtime.stores import open_store, utc_now
from auditlogservice.web.app import create_app
from auditlogservice.web.bodies import BatchRoom
from auditlogservice.web.hosts import AllowedHosts
from auditlogservice.web.places import Places
from auditlogservice.web.proxies import TrustedProxies
from auditlogservice.web.routes.exports import MAX_EXPORTS
from auditlogservice.web.services import Services

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from fastapi import FastAPI

    from auditlogservice.governance import RetentionRule
    from auditlogservice.ledger.clock import Clock
    from auditlogservice.ledger.identity.clients import Clients
    from auditlogservice.redaction import RedactionRule
    from auditlogservice.runtime.stores import Store


# More than the threads that SQLite has for questions, so that none is idle between two of them.
_QUESTIONS_AT_ONCE = 8
_QUESTIONS_WAITING = 4_096  # as many as there may be connections
_QUESTION_PATIENCE = 10.0  # seconds, as long as a question itself may take


class _Worker(Protocol):
    """What works in the background as long as the server runs."""

    async def run(self) -> None: ...

    def close(self) -> None: ...


async def settle_ledger_keys(settings: Settings) -> None:
    """Agree with other nodes on the first key, or see that this node's files are in order.

    What serves does so by itself; done before, no two processes of this node do it at once.
    """
    store = await open_store(settings)
    try:
        await signing_seeds(settings.data_dir, Keyring(store.documents, clock=utc_now))
    finally:
        await store.close()


@asynccontextmanager
async def open_services(
    settings: Settings, metrics: PrometheusMetrics, clock: Clock
) -> AsyncIterator[Services]:
    """Everything a running server uses; left, it writes what was accepted, then closes."""
    async with AsyncExitStack() as stack:
        store = await open_store(settings)
        stack.push_async_callback(store.close)
        passwords = Passwords(at_once=_hashing_threads())
        stack.callback(passwords.close)
        follower = Follower(store.events)
        known = _Known(
            KnownRules(store.documents, RETENTION), KnownRules(store.documents, REDACTION)
        )
        await known.retention.refresh()
        await known.redaction.refresh()
        secret = await store.accounts.shared_secret("redaction", secrets.token_bytes(32))
        recorder = Recorder(
            store.events,
            on_commit=follower.nudge,
            kept_for=keeping(known.retention),
            redact=Redacting(known.redaction, secret=secret),
            clock=clock,
            entropy=Entropy(),
            gauge=metrics,
            max_queued_events=settings.queue_events,
            max_queued_bytes=settings.queue_bytes,
        )
        keyring = Keyring(store.documents, clock=clock)
        seeds = await signing_seeds(settings.data_dir, keyring)
        signer = Signer(
            store.ledger,
            host=settings.ledger_host,
            seeds=seeds,
            keyring=keyring,
            memory=CheckpointFiles(settings.data_dir / "checkpoints"),
            clock=clock,
            gauge=metrics,
            journal=SignerLines(),
            every=settings.checkpoint_every.total_seconds(),
        )
        anchors = Anchors(store.documents)
        prover = Prover(store.ledger, signer)
        anchorer = Anchorer([], gauge=metrics)  # what others sign, their nodes show
        if seeds:
            anchorer = await stack.enter_async_context(
                open_anchorer(
                    settings,
                    store.ledger,
                    prover,
                    anchors,
                    clock=clock,
                    gauge=metrics,
                    journal=AnchorLines(),
                )
            )
        eraser = Eraser(
            store.events,
            store.ledger,
            clock=clock,
            entropy=secrets.token_bytes,
            on_commit=follower.nudge,
        )
        diary = Diary(recorder, clock=clock, gauge=metrics)
        governing = _governing(store, known, diary, eraser, clock, metrics)
        self_audit = SelfAudit(
            diary,
            mode=settings.self_audit,
            clock=clock,
            entropy=secrets.token_bytes,
            gauge=metrics,
        )
        announcer = Announcer(store.ledger, store.documents, diary, mode=settings.self_audit)
        tenants = open_tenants(store, clock)
        accounts = Accounts(
            store.accounts,
            tenants=tenants,
            passwords=passwords,
            clock=clock,
            entropy=secrets.token_bytes,
        )
        cursor_secret = await store.accounts.shared_secret("cursor", secrets.token_bytes(32))
        bearers = _bearers(settings, store, clock)
        failed_logins = FailedLogins(accounts, bearers.clients, self_audit, clock=clock)
        outside = await stack.enter_async_context(
            open_issuer(settings, store.accounts, clock=clock, journal=IssuerLines())
        )
        sessions = Sessions(
            store.documents,
            store.accounts,
            clock=clock,
            entropy=secrets.token_bytes,
            lifetime=settings.session_ttl,
        )
        services = Services(
            accounts=accounts,
            anchors=anchors,
            batches=BatchRoom(),
            api_tokens=bearers.api_tokens,
            callers=Callers(bearers.tokens, bearers.api_tokens, external=outside.tokens),
            clients=bearers.clients,
            clock=clock,
            eraser=eraser,
            erasures=governing.erasures,
            exporter=Exporter(store.events),
            exports=Places(MAX_EXPORTS, share=1),
            failed_logins=failed_logins,
            follower=follower,
            issuer=settings.issuer,
            keyring=keyring,
            holds=governing.holds,
            limiter=_limiter(settings),
            metrics=metrics,
            prover=prover,
            self_audit=self_audit,
            questions=Turns(
                _QUESTIONS_AT_ONCE, waiting=_QUESTIONS_WAITING, seconds=_QUESTION_PATIENCE
            ),
            quotas=Quotas(
                store.events,
                store.documents,
                diary,
                default=settings.quota_events or None,
                clock=clock,
            ),
            sessions=sessions,
            sign_in=outside.sign_in,
            signer=signer,
            ping=store.events.ping,
            recorder=recorder,
            records=Records(store.events, clock=clock, cursor_secret=cursor_secret),
            redaction=governing.redaction,
            retention=governing.retention,
            statistics=Statistics(store.events),
            tenants=tenants,
            tokens=bearers.tokens,
        )
        # When the recorder has emptied its queue, what it wrote last is signed too.
        stack.push_async_callback(signer.sign_all)
        # Left last, so first: the recorder empties its queue before the store closes.
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        tasks.create_task(recorder.run())
        stack.callback(recorder.close)
        tasks.create_task(signer.run())
        stack.callback(signer.close)
        tasks.create_task(anchorer.run())
        stack.callback(anchorer.close)
        tasks.create_task(follower.run())
        stack.callback(follower.close)
        workers: list[_Worker] = [known.retention, known.redaction, announcer, sessions]
        for worker in (*workers, governing.sweeper, governing.undertaker, *outside.workers):
            tasks.create_task(worker.run())
            stack.callback(worker.close)
        tasks.create_task(failed_logins.run())
        stack.push_async_callback(failed_logins.close)  # it has something to record then
        # Streams never end by themselves, and the server waits for them before it stops us.
        with on_stop_signal(follower.close):
            yield services


def _hashing_threads() -> int:
    """One thread for passwords where there are two cores or fewer: the other one records."""
    return 2 if len(os.sched_getaffinity(0)) > 2 else 1  # noqa: PLR2004 - the cores of the rule


def _limiter(settings: Settings) -> Limiter:
    """Return the limiter with the rates that the settings give."""

    def rates(suffix: str) -> dict[Budget, Rate]:
        texts = {budget: getattr(settings, f"limit_{budget}{suffix}", "") for budget in Budget}
        return {budget: Rate.from_text(text) for budget, text in texts.items() if text}

    return Limiter(client=rates(""), tenant=rates("_tenant"), clock=time.monotonic)


@dataclass(frozen=True, slots=True)
class _Bearers:
    """Who may have tokens besides users, and who issues and checks them."""

    api_tokens: ApiTokens
    clients: Clients
    tokens: Tokens


def _bearers(settings: Settings, store: Store, clock: Clock) -> _Bearers:
    documents, entropy = store.documents, secrets.token_bytes
    clients = open_clients(store, clock)
    owners = Owners(store.accounts, documents, clients, clock=clock)
    own = TokenKeyFile(
        settings.data_dir, lifetime=timedelta(days=settings.token_key_days), clock=clock
    )
    keys = TokenKeys(store.accounts, documents, own, clock=clock)
    tokens = Tokens(
        documents,
        owners,
        keys,
        issuer=settings.issuer,
        clock=clock,
        entropy=entropy,
        lifetime=settings.token_ttl,
    )
    api_tokens = ApiTokens(documents, owners, issuer=settings.issuer, clock=clock, entropy=entropy)
    return _Bearers(api_tokens, clients, tokens)


@dataclass(frozen=True, slots=True)
class _Known:
    """The rules that events are recorded under, as this process knows them."""

    retention: KnownRules[RetentionRule]
    redaction: KnownRules[RedactionRule]


@dataclass(frozen=True, slots=True)
class _Governing:
    """What decides about events, and what erases them."""

    erasures: Erasures
    holds: Holds
    redaction: RuleBooks[RedactionRule]
    retention: RuleBooks[RetentionRule]
    sweeper: Sweeper
    undertaker: Undertaker


def _governing(
    store: Store,
    known: _Known,
    diary: Diary,
    eraser: Eraser,
    clock: Clock,
    metrics: PrometheusMetrics,
) -> _Governing:
    documents, entropy = store.documents, secrets.token_bytes
    clearing = Clearing(store.events, documents, eraser)
    node = secrets.token_hex(8)  # of this process, for what it claims to be doing
    undertaker = Undertaker(
        store.events,
        documents,
        clearing=clearing,
        diary=diary,
        clock=clock,
        gauge=metrics,
        node=node,
    )
    holds = Holds(documents, diary, clock=clock, entropy=entropy)
    rules_changed = asyncio.Event()
    retention = RuleBooks(
        documents,
        known.retention,
        diary,
        kind=RETENTION,
        clock=clock,
        on_change=rules_changed.set,
    )
    redaction = RuleBooks(documents, known.redaction, diary, kind=REDACTION, clock=clock)
    sweeper = Sweeper(
        store.events,
        documents,
        clearing=clearing,
        retention=retention,
        known=known.retention,
        holds=holds,
        clock=clock,
        gauge=metrics,
        node=node,
        wake=rules_changed,
    )
    erasures = Erasures(
        store.events, documents, diary, clock=clock, entropy=entropy, on_ask=undertaker.nudge
    )
    return _Governing(erasures, holds, redaction, retention, sweeper, undertaker)


def build_app(settings: Settings, *, clock: Clock = utc_now) -> FastAPI:
    """Return the application; nothing is opened before it starts."""
    metrics = PrometheusMetrics()
    return create_app(
        lambda: open_services(settings, metrics, clock),
        metrics=metrics,
        log=AccessLines(),
        new_id=lambda: os.urandom(8).hex(),
        hosts=AllowedHosts.parse(settings.allowed_hosts),
        proxies=TrustedProxies.parse(settings.trusted_proxies, settings.forwarded_header),
    )


def app_from_environment() -> KeptStart:
    """Return the application of a worker process, which is told everything by its environment."""
    settings = load_settings()
    configure_logs(settings)
    stop_with_parent()
    switch_often()
    return KeptStart(build_app(settings), log=True)
