"""Settings: the only reader of the environment. README.md has the table; a test compares them."""

from __future__ import annotations

import re
import tomllib
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from auditlogservice.budgets import RATE_PATTERN
from auditlogservice.errors import UnsafeSetup
from auditlogservice.web.hosts import AllowedHosts
from auditlogservice.web.proxies import ForwardedHeader, TrustedProxies

if TYPE_CHECKING:
    from collections.abc import Callable

_ENV_FILE = ".env"
_TOML_FILE = "auditlogservice.toml"
_DURATION = re.compile(r"(\d+)(ms|s|m|h|d)")
_UNITS = {"ms": "milliseconds", "s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def _duration(value: object) -> object:
    if isinstance(value, str) and (match := _DURATION.fullmatch(value.strip())):
        return timedelta(**{_UNITS[match[2]]: int(match[1])})
    return value


def _checked(parse: Callable[[str], object]) -> Callable[[str], str]:
    """Return a check that lets a text pass as it is, if it can be parsed."""

    def check(text: str) -> str:
        parse(text)
        return text

    return check


Duration = Annotated[timedelta, BeforeValidator(_duration)]


LimitedRate = Annotated[str, Field(pattern=f"^({RATE_PATTERN})?$")]


class Settings(BaseSettings):
    """What an operator can choose.

    Each field is AUDITLOG_<NAME> in the environment or in .env, and <name> in
    auditlogservice.toml; the environment wins, then .env, then the file.
    """

    model_config = SettingsConfigDict(
        env_prefix="AUDITLOG_",
        env_file=_ENV_FILE,
        toml_file=_TOML_FILE,
        extra="ignore",
        frozen=True,
        use_attribute_docstrings=True,
    )

    # What an address may hold besides, such as a password, is shown nowhere: no repr.
    store: Annotated[str, Field(repr=False)] = ""
    """Where records are kept: `sqlite:///path/audit.db`, or `mongodb://host/database`. By default
    `audit.db` in the data folder."""

    data_dir: Path = Path("auditlog-data")
    """The folder of this node's own files: its token key and, by default, the database."""

    host: str = "127.0.0.1"
    """The address to listen on."""

    port: Annotated[int, Field(ge=0, le=65_535)] = 8080
    """The port to listen on; 0 takes a free one."""

    workers: Annotated[int, Field(ge=1, le=64)] = 1
    """How many processes answer requests; more than one needs MongoDB."""

    tls_cert: str = ""
    """The certificate, with those between it and its authority, in a PEM file: the server then
    speaks HTTPS. Renewed files are used within a minute, without a restart."""

    tls_key: str = ""
    """The key of the certificate, in a PEM file that others cannot read; by default in the file of
    the certificate."""

    tls_client_ca: str = ""
    """The authority whose client certificates are asked for, in a PEM file: nobody else can
    connect."""

    allowed_hosts: Annotated[str, AfterValidator(_checked(AllowedHosts.parse))] = "*"
    """The names by which callers may ask for this service, with commas in between;
    `*.example.com` stands for all names below, `*` for any name. Bare addresses and `localhost`
    are always allowed."""

    trusted_proxies: Annotated[str, AfterValidator(_checked(TrustedProxies.parse))] = ""
    """The proxies in front of this service, whose word is taken for who calls and how: addresses
    or networks such as `10.0.0.0/24`, with commas in between."""

    forwarded_header: ForwardedHeader = "x-forwarded-for"
    """The header in which these proxies say who calls: `x-forwarded-for`, and `X-Forwarded-Proto`
    beside it, or `forwarded` (RFC 7239)."""

    token_ttl: Annotated[Duration, Field(ge=timedelta(minutes=1), le=timedelta(days=30))] = (
        timedelta(hours=12)
    )
    """How long a token is good for: `30m`, `12h`, `7d`."""

    token_key_days: Annotated[int, Field(ge=1, le=3650)] = 90
    """After how many days this node signs tokens with a new key; what the old one signed stays
    good until it ends."""

    issuer: Annotated[str, Field(pattern=r"^https?://[^\s?#]*[^\s?#/]$", max_length=255)] = (
        "http://localhost:8080"
    )
    """The address of the service as its callers know it, without a slash at the end: the issuer
    of its tokens, and whom they are for. The same on all nodes; another one ends all signed
    tokens."""

    session_ttl: Annotated[Duration, Field(ge=timedelta(minutes=1), le=timedelta(days=1))] = (
        timedelta(hours=1)
    )
    """How long a browser stays signed in."""

    public_url: Annotated[str, Field(pattern=r"^(https?://[^\s/?#@]+/?)?$")] = ""
    """Where browsers reach the service, `https://audit.example.com`, if that is not where the
    issuer is; the identity provider sends people back there."""

    oidc_issuer: str = ""
    """The OpenID provider whose tokens are accepted beside the service's own: its address, as its
    tokens have it in `iss`; see docs/sign-in.md."""

    oidc_audience: str = ""
    """What access tokens of the provider must have in `aud`; empty accepts none."""

    oidc_typ: Literal["any", "at+jwt"] = "any"
    """`at+jwt` accepts access tokens of that type alone (RFC 9068); `any` also such as only say
    that they are JWTs."""

    oidc_client_id: str = ""
    """The service's client at the provider, by which people sign in with a browser; empty offers
    no such sign-in."""

    oidc_client_secret: SecretStr = SecretStr("")
    """The secret of that client; empty for a public one."""

    oidc_scope: str = "openid profile"
    """Which scopes are asked of the provider when people sign in."""

    oidc_scopes_claim: Annotated[str, Field(min_length=1)] = "scope"
    """The claim that says what its owner may do: words with blanks between, or an array; `roles`,
    `groups`, `realm_access.roles`."""

    oidc_scope_map: str = ""
    """What the words of that claim give: `auditors=events:read ledger:read, admins=admin`. Without
    it, `events:…` and `ledger:…` stand for themselves, and nothing else is given."""

    oidc_tenant_claim: str = ""
    """The claim that names the tenant; without it, everybody from the provider is of `default`."""

    oidc_name_claim: Annotated[str, Field(min_length=1)] = "preferred_username"
    """The claim that names the person or the program in records, behind `oidc:`; where it is
    missing, `sub` does."""

    ledger_host: Annotated[str, Field(pattern=r"^[^\s+/]+$", max_length=255)] = "localhost"
    """The host in the name of each tenant's log, `<host>/ledger/<tenant>`, by which verifiers know
    it. Choose it before the first event: another name is another log."""

    checkpoint_every: Annotated[Duration, Field(ge=timedelta(milliseconds=100))] = timedelta(
        milliseconds=250
    )
    """How often new records are covered by a signed checkpoint: at most this long, and the time
    that signing takes, is a record without one."""

    witnesses: Annotated[str, Field(repr=False)] = ""
    """Who cosigns checkpoints: `URL VKEY` for each witness, with commas in between; see
    docs/anchors.md."""

    witness_every: Annotated[Duration, Field(ge=timedelta(milliseconds=100))] = timedelta(
        seconds=10
    )
    """How often the witnesses are shown a new checkpoint."""

    timestamp_url: Annotated[str, Field(pattern=r"^(https?://\S+)?$", repr=False)] = ""
    """The timestamp authority (RFC 3161) that is shown checkpoints, if there is one."""

    timestamp_every: Annotated[Duration, Field(ge=timedelta(minutes=1))] = timedelta(hours=1)
    """How often a new checkpoint is timestamped."""

    self_audit: Literal["full", "essential"] = "full"
    """Which of its own acts the service records: `full` is all of them, `essential` leaves out
    logins, tokens, refusals and reads; see docs/self-audit.md. Erasures are always recorded."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """What is worth a line in the log."""

    log_format: Literal["auto", "json", "console"] = "auto"
    """How log lines look; `auto` is `console` on a terminal and `json` elsewhere."""

    queue_events: Annotated[int, Field(ge=1)] = 50_000
    """How many events may wait to be written before new ones are refused with 503."""

    queue_bytes: Annotated[int, Field(ge=1)] = 64 * 1024 * 1024
    """How many bytes may wait to be written before new ones are refused with 503."""

    limit_ingest: LimitedRate = ""
    """How many events one client may record, as in `5000/s`, `100000/m`, `h` or `d`: so many at
    once, and then as they become free again. Nothing is no limit. Each process counts for
    itself."""

    limit_search: LimitedRate = ""
    """How many pages, counts and other questions one client may ask for, spelled likewise."""

    limit_export: LimitedRate = ""
    """How many exports one client may start, spelled likewise."""

    limit_token: LimitedRate = ""
    """How many tokens may be asked for from one address, spelled likewise."""

    limit_ingest_tenant: LimitedRate = ""
    """How many events all clients of one tenant may record, spelled likewise."""

    limit_search_tenant: LimitedRate = ""
    """How many questions all clients of one tenant may ask, spelled likewise."""

    limit_export_tenant: LimitedRate = ""
    """How many exports all clients of one tenant may start, spelled likewise."""

    quota_events: Annotated[int, Field(ge=0)] = 0
    """How many events a tenant may record a day (UTC), on all nodes together; `PUT
    /tenants/{tenant}/limits` sets another number for one. 0 is no quota."""

    min_free_bytes: Annotated[int, Field(ge=0)] = 512 * 1024 * 1024
    """How much of the disk under an SQLite database is kept free: with less, new events are
    refused with 503 and everything else goes on. 0 keeps nothing."""

    store_timeout: Annotated[Duration, Field(gt=timedelta(0))] = timedelta(seconds=10)
    """How long one call to MongoDB may take before the answer is 503."""

    shutdown_grace: Annotated[Duration, Field(ge=timedelta(0))] = timedelta(seconds=10)
    """How long running requests may go on after SIGTERM."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        del file_secret_settings
        return (
            init_settings, env_settings, dotenv_settings, TomlConfigSettingsSource(settings_cls),
        )  # fmt: skip

    @property
    def store_url(self) -> str:
        """The store, with the default filled in."""
        return self.store or f"sqlite:///{self.data_dir / 'audit.db'}"


def _check_files() -> None:
    """See that both files can be read; the library that does it would name neither."""
    try:
        _text(_ENV_FILE)
    except (OSError, UnicodeDecodeError) as error:
        raise UnsafeSetup(f"{_ENV_FILE} cannot be read: {error}") from None
    try:
        told = tomllib.loads(_text(_TOML_FILE))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UnsafeSetup(f"{_TOML_FILE} cannot be read: {error}") from None
    if unknown := sorted(told.keys() - Settings.model_fields.keys()):
        raise UnsafeSetup(f"{_TOML_FILE} has settings that do not exist: {', '.join(unknown)}")


def _text(name: str) -> str:
    path = Path(name)
    return path.read_text("utf-8") if path.is_file() else ""


def load_settings(**options: object) -> Settings:
    """Return the settings, with these options before all other sources; None means not given.

    Raises UnsafeSetup, naming the file that cannot be read, or each variable that cannot be used.
    """
    _check_files()
    given = {name: value for name, value in options.items() if value is not None}
    try:
        return Settings.model_validate(given)
    except ValidationError as error:
        flaws = "; ".join(
            f"AUDITLOG_{str(found['loc'][0]).upper()}: {found['msg']}" for found in error.errors()
        )
        raise UnsafeSetup(f"the settings cannot be used: {flaws}") from None
