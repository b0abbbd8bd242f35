"""TLS over real sockets: what is spoken, who may connect, and certificates that are renewed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from auditlogservice.errors import UnsafeSetup
from auditlogservice.runtime import tls
from auditlogservice.runtime.settings import Settings
from auditlogservice.runtime.tls import check_tls
from certificates import CertificateAuthority, Pair
from running import running
from served import served

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

PATIENCE = 10.0
REQUEST = b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


@pytest.fixture
def authority(tmp_path: Path) -> CertificateAuthority:
    return CertificateAuthority(tmp_path / "authority")


def settings_of(folder: Path, pair: Pair, **more: str) -> Settings:
    return Settings(
        store="sqlite:///:memory:",
        data_dir=folder / "data",
        tls_cert=str(pair.certificate),
        tls_key=str(pair.key),
        **more,  # type: ignore[arg-type] # texts all
    )


@asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[int]:
    async with running(settings) as api, served(api, settings) as port:
        yield port


def trusting(authority: CertificateAuthority) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=authority.file)


async def ask(
    port: int, context: ssl.SSLContext, sent: bytes = REQUEST
) -> tuple[bytes, ssl.SSLObject]:
    """Return the whole answer, and the connection it came over."""
    async with asyncio.timeout(PATIENCE):
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=context, server_hostname="localhost"
        )
        try:
            writer.write(sent)
            return await reader.read(), writer.get_extra_info("ssl_object")
        finally:
            writer.close()


async def gets_nothing(port: int, context: ssl.SSLContext) -> None:
    """Claim that this caller is not answered. TLS 1.3 lets clients speak before it is known."""
    with contextlib.suppress(ssl.SSLError, ConnectionError):
        answer, _ = await ask(port, context)
        assert answer == b""


def name_of(connection: ssl.SSLObject) -> str:
    told: Any = connection.getpeercert()
    return str(told["subject"][0][0][1])


async def test_answers_and_refusals_come_over_tls_and_say_so(
    tmp_path: Path, authority: CertificateAuthority
) -> None:
    async with serving(settings_of(tmp_path, authority.issue("one"))) as port:
        answer, connection = await ask(port, trusting(authority))
        assert answer.startswith(b"HTTP/1.1 200")
        assert connection.version() == "TLSv1.3"
        refusal, _ = await ask(port, trusting(authority), b"nonsense\r\n\r\n")
        assert refusal.startswith(b"HTTP/1.1 400")
        for each in (answer, refusal):
            assert b"strict-transport-security: max-age=31536000" in each.lower()


@pytest.mark.parametrize(
    ("newest", "ciphers", "version"),
    [
        (ssl.TLSVersion.TLSv1_2, "ECDHE-ECDSA-AES128-GCM-SHA256", "TLSv1.2"),
        (ssl.TLSVersion.TLSv1_2, "ECDHE-ECDSA-AES128-SHA", None),
        (ssl.TLSVersion.TLSv1_1, "ALL:@SECLEVEL=0", None),
    ],
)
@pytest.mark.filterwarnings("ignore:.*TLSv1_1 is deprecated:DeprecationWarning")
async def test_what_is_old_is_not_spoken(
    tmp_path: Path,
    authority: CertificateAuthority,
    newest: ssl.TLSVersion,
    ciphers: str,
    version: str | None,
) -> None:
    context = trusting(authority)
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.maximum_version = newest
    context.set_ciphers(ciphers)
    async with serving(settings_of(tmp_path, authority.issue("one"))) as port:
        if version:
            _, connection = await ask(port, context)
            assert connection.version() == version
        else:
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await ask(port, context)


async def test_a_client_without_a_certificate_gets_nothing_where_one_is_asked_for(
    tmp_path: Path, authority: CertificateAuthority
) -> None:
    settings = settings_of(tmp_path, authority.issue("one"), tls_client_ca=str(authority.file))
    stranger = CertificateAuthority(tmp_path / "elsewhere", "Another authority")
    async with serving(settings) as port:
        for certificate in (None, stranger.issue("client")):
            context = trusting(authority)
            if certificate:
                context.load_cert_chain(certificate.certificate, certificate.key)
            await gets_nothing(port, context)
        known = authority.issue("client")
        context = trusting(authority)
        context.load_cert_chain(known.certificate, known.key)
        answer, _ = await ask(port, context)
        assert answer.startswith(b"HTTP/1.1 200")


def put(new: Pair, place: Pair) -> None:
    """Put a pair in the place of another one, as whoever renews certificates does."""
    os.replace(new.certificate, place.certificate)  # noqa: PTH105 - one step, as they do
    os.replace(new.key, place.key)  # noqa: PTH105 - the same


async def test_a_renewed_certificate_is_used_without_a_restart(
    tmp_path: Path, authority: CertificateAuthority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls, "LOOK_SECONDS", 0.0)
    first = authority.issue("first")
    settings = settings_of(tmp_path, first, tls_client_ca=str(authority.file))
    context = trusting(authority)
    client = authority.issue("client")
    context.load_cert_chain(client.certificate, client.key)
    async with serving(settings) as port:
        assert name_of((await ask(port, context))[1]) == "first"
        put(authority.issue("second"), first)
        assert name_of((await ask(port, context))[1]) == "second"
        await gets_nothing(port, trusting(authority))  # without a certificate, as before


async def test_a_renewal_that_cannot_be_used_leaves_the_old_certificate(
    tmp_path: Path, authority: CertificateAuthority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of a renewal is seen too: the certificate is there, and its key not yet."""
    monkeypatch.setattr(tls, "LOOK_SECONDS", 0.0)
    first, second = authority.issue("first"), authority.issue("second")
    async with serving(settings_of(tmp_path, first)) as port:
        first.certificate.write_bytes(second.certificate.read_bytes())
        assert name_of((await ask(port, trusting(authority)))[1]) == "first"
        first.key.unlink()
        assert name_of((await ask(port, trusting(authority)))[1]) == "first"
        os.replace(second.key, first.key)  # noqa: PTH105 - one step, as they do
        assert name_of((await ask(port, trusting(authority)))[1]) == "second"


async def test_the_files_are_not_looked_at_for_each_connection(
    tmp_path: Path, authority: CertificateAuthority
) -> None:
    first = authority.issue("first")
    async with serving(settings_of(tmp_path, first)) as port:
        put(authority.issue("second"), first)
        assert name_of((await ask(port, trusting(authority)))[1]) == "first"


async def test_workers_speak_tls_too(
    tmp_path: Path, authority: CertificateAuthority, mongodb_url: str
) -> None:
    pair = authority.issue("one")
    environment = {
        **os.environ,  # noqa: TID251 - what the tests run with
        "AUDITLOG_STORE": mongodb_url,
        "AUDITLOG_DATA_DIR": str(tmp_path / "data"),
        "AUDITLOG_TLS_CERT": str(pair.certificate),
        "AUDITLOG_TLS_KEY": str(pair.key),
    }
    server = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "auditlogservice", "serve", "--port", "0", "--workers", "2"),
        cwd=tmp_path,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert server.stdout
    try:
        async with asyncio.timeout(60):
            await server.stdout.readuntil(b"is ready at ")
            address = (await server.stdout.readline()).decode().strip()
        assert address.startswith("https://127.0.0.1:")
        answer, connection = await ask(int(address.rpartition(":")[2]), trusting(authority))
        assert answer.startswith(b"HTTP/1.1 200")
        assert name_of(connection) == "one"
    finally:
        server.terminate()
        await server.communicate()


# ---- what is refused at the start -------------------------------------------------------


@pytest.mark.parametrize("mode", [0o604, 0o644, 0o620, 0o666])
def test_a_key_that_others_may_read_or_change_is_refused(
    tmp_path: Path, authority: CertificateAuthority, mode: int
) -> None:
    pair = authority.issue("one")
    pair.key.chmod(mode)
    with pytest.raises(UnsafeSetup, match="chmod"):
        check_tls(settings_of(tmp_path, pair))


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o640])
def test_a_key_may_be_shared_with_a_group(
    tmp_path: Path, authority: CertificateAuthority, mode: int
) -> None:
    pair = authority.issue("one")
    pair.key.chmod(mode)
    check_tls(settings_of(tmp_path, pair))


def test_certificate_and_key_may_be_in_one_file(
    tmp_path: Path, authority: CertificateAuthority
) -> None:
    pair = authority.issue("one")
    pair.key.write_bytes(pair.key.read_bytes() + pair.certificate.read_bytes())
    check_tls(settings_of(tmp_path, Pair(pair.key, pair.key)))


def test_files_that_are_no_good_are_told_in_a_sentence(
    tmp_path: Path, authority: CertificateAuthority
) -> None:
    one, other = authority.issue("one"), authority.issue("other")
    locked = authority.issue("locked", password=b"a canary of a password")
    nothing = tmp_path / "nothing"
    empty = tmp_path / "empty"
    empty.touch(0o600)
    for pair, why in [
        (Pair(one.certificate, other.key), "not a certificate and its key"),
        (Pair(empty, one.key), "not a certificate and its key"),
        (locked, "without a password"),
        (Pair(nothing, one.key), "nothing cannot be read"),
        (Pair(one.certificate, nothing), "nothing cannot be read"),
    ]:
        with pytest.raises(UnsafeSetup, match=why) as caught:
            check_tls(settings_of(tmp_path, pair))
        assert "\n" not in str(caught.value)
    with pytest.raises(UnsafeSetup, match="no certificate of an authority"):
        check_tls(settings_of(tmp_path, one, tls_client_ca=str(empty)))


@pytest.mark.parametrize("name", ["tls_key", "tls_client_ca"])
def test_nobody_believes_to_have_tls_without_a_certificate(tmp_path: Path, name: str) -> None:
    settings = Settings(data_dir=tmp_path, **{name: "file.pem"})  # type: ignore[arg-type] # a text
    with pytest.raises(UnsafeSetup, match="need AUDITLOG_TLS_CERT"):
        check_tls(settings)


def test_without_a_certificate_there_is_nothing_to_check(tmp_path: Path) -> None:
    check_tls(Settings(data_dir=tmp_path))
