"""Which external issuer is believed, and how people sign in there, as the settings say."""

from __future__ import annotations

import secrets
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx2

from auditlogservice.client.provider import HttpProvider
from auditlogservice.errors import InvalidInput, MalformedInput, UnsafeSetup
from auditlogservice.ledger.identity.external import (
    ACCESS_TOKEN,
    ANY_JWT,
    Expected,
    ExternalTokens,
)
from auditlogservice.ledger.identity.identities import ClaimRules, parse_scope_map
from auditlogservice.ledger.identity.issuerkeys import IssuerKeys
from auditlogservice.ledger.identity.signin import ClientOfIssuer, SignIn

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from auditlogservice.ledger.clock import Clock
    from auditlogservice.ledger.identity.issuerkeys import KeyJournal
    from auditlogservice.runtime.settings import Settings
    from auditlogservice.store.port import AccountStore

CALLBACK = "/signin/callback"


@dataclass(frozen=True, slots=True)
class Outside:
    """What there is of an external issuer."""

    tokens: ExternalTokens | None = None
    keys: IssuerKeys | None = None
    sign_in: SignIn | None = None

    @property
    def workers(self) -> tuple[IssuerKeys, ...]:
        """What has to be run for it."""
        return (self.keys,) if self.keys else ()


@asynccontextmanager
async def open_issuer(
    settings: Settings, accounts: AccountStore, *, clock: Clock, journal: KeyJournal
) -> AsyncIterator[Outside]:
    """Give the external issuer, if there is one. Raises UnsafeSetup for half of one."""
    _check(settings)
    if not settings.oidc_issuer:
        yield Outside()
        return
    async with httpx2.AsyncClient() as http:
        provider = HttpProvider(
            http,
            settings.oidc_issuer,
            client_id=settings.oidc_client_id,
            secret=settings.oidc_client_secret.get_secret_value(),
        )
        keys = IssuerKeys(provider, journal=journal)
        tokens = ExternalTokens(
            keys, expected=_expected(settings), rules=_rules(settings), clock=clock
        )
        sign_in = None
        if settings.oidc_client_id:
            sign_in = SignIn(
                provider,
                tokens,
                _client(settings),
                secret=await accounts.shared_secret("sign-in", secrets.token_bytes(32)),
                clock=clock,
                entropy=secrets.token_bytes,
            )
        yield Outside(tokens, keys, sign_in)


def _check(settings: Settings) -> None:
    """See that the settings say all of an issuer, or nothing."""
    whom = settings.oidc_audience or settings.oidc_client_id
    if bool(settings.oidc_issuer) != bool(whom):
        raise UnsafeSetup(
            "AUDITLOG_OIDC_ISSUER goes with AUDITLOG_OIDC_AUDIENCE, AUDITLOG_OIDC_CLIENT_ID, or "
            "both: a token counts only if it was made for this service"
        )
    if settings.oidc_issuer == settings.issuer:
        raise UnsafeSetup(
            "AUDITLOG_OIDC_ISSUER is the service itself, as AUDITLOG_ISSUER has it; nobody could "
            "tell the tokens of the two apart"
        )


def _expected(settings: Settings) -> Expected:
    return Expected(
        issuer=settings.oidc_issuer,
        audience=settings.oidc_audience,
        client_id=settings.oidc_client_id,
        types=ACCESS_TOKEN if settings.oidc_typ == "at+jwt" else ANY_JWT,
    )


def _rules(settings: Settings) -> ClaimRules:
    try:
        scope_map = parse_scope_map(settings.oidc_scope_map)
    except (MalformedInput, InvalidInput) as error:
        raise UnsafeSetup(f"AUDITLOG_OIDC_SCOPE_MAP cannot be used: {error}") from None
    return ClaimRules(
        scopes_claim=settings.oidc_scopes_claim,
        scope_map=scope_map,
        tenant_claim=settings.oidc_tenant_claim,
        name_claim=settings.oidc_name_claim,
    )


def _client(settings: Settings) -> ClientOfIssuer:
    return ClientOfIssuer(
        client_id=settings.oidc_client_id,
        redirect_uri=(settings.public_url or settings.issuer).rstrip("/") + CALLBACK,
        scope=settings.oidc_scope,
    )
