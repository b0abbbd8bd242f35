"""A timestamp authority (RFC 3161) made with `openssl ts`, and auditors' way to check its word."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from mongod import is_required

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_CONFIG = """
[req]
distinguished_name = name
[name]
[certificate]
extendedKeyUsage = critical, timeStamping
[tsa]
default_tsa = here
[here]
serial = {folder}/serial
crypto_device = builtin
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = {digests}
ess_cert_id_chain = no
"""


class OpensslAuthority:
    """Answers what it is asked, or refuses if it does not take the digest."""

    def __init__(self, folder: Path, *, digests: str) -> None:
        self._folder = folder
        self.certificate = folder / "certificate.pem"
        self._config = folder / "openssl.cnf"
        self._config.write_text(_CONFIG.format(folder=folder, digests=digests))
        self._key = folder / "key.pem"
        self._openssl(
            *("req", "-x509", "-config", str(self._config), "-extensions", "certificate"),
            *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc"),
            *("-subj", "/CN=An authority for tests", "-days", "2"),
            *("-keyout", str(self._key), "-out", str(self.certificate)),
        )

    def answer(self, query: bytes) -> tuple[int, bytes]:
        """Return a status of HTTP and a reply."""
        asked, reply = self._folder / "query", self._folder / "reply"
        asked.write_bytes(query)
        self._openssl(
            *("ts", "-reply", "-config", str(self._config), "-queryfile", str(asked)),
            *("-signer", str(self.certificate), "-inkey", str(self._key), "-out", str(reply)),
        )
        return 200, reply.read_bytes()

    def verify(self, reply: bytes, data: bytes) -> bool:
        """Return whether openssl believes that the reply is this authority's about this data."""
        there, about = self._folder / "reply", self._folder / "data"
        there.write_bytes(reply)
        about.write_bytes(data)
        command = ["openssl", "ts", "-verify", "-in", str(there), "-data", str(about)]
        told = subprocess.run(
            [*command, "-CAfile", str(self.certificate)],
            capture_output=True,
            check=False,
            timeout=30,
        )
        return told.returncode == 0

    @staticmethod
    def _openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], capture_output=True, check=True, timeout=30)


@pytest.fixture
def new_authority(tmp_path: Path) -> Callable[[str], OpensslAuthority]:
    """Make an authority that takes these digests. Where CI is set that must be possible."""
    if shutil.which("openssl") is None:
        why = "openssl is not installed; it makes the timestamps of the tests"
        if is_required():
            pytest.fail(why)
        pytest.skip(why)

    def make(digests: str) -> OpensslAuthority:
        folder = tmp_path / f"authority of {digests}"
        folder.mkdir()
        return OpensslAuthority(folder, digests=digests)

    return make


@pytest.fixture
def authority(new_authority: Callable[[str], OpensslAuthority]) -> OpensslAuthority:
    return new_authority("sha256")
