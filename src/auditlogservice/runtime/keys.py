"""Private keys on disk: made at first start, mode 0600, never printed and never sent anywhere."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

from auditlogservice.errors import UnsafeSetup

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_OF_TOKENS = "token-key.pem"
_LEDGER_KEYS = "ledger-keys"
_DRAFT = ".draft"  # instead of `.pem`: a key that the store may not know


class TokenKeyFile:
    """The token key of this node, which all of its processes read from one file.

    What is put in its place, by any of them or by the command line, is the key from then on: the
    old one is needed no more, since what it signed is checked with its public half. A key is as
    old as its file.
    """

    def __init__(
        self, data_dir: Path, *, lifetime: timedelta, clock: Callable[[], datetime]
    ) -> None:
        self._path = data_dir / _OF_TOKENS
        self._lifetime = lifetime
        self._clock = clock
        self._key = load_token_key(data_dir)
        self._seen = self._mark()

    def current(self) -> OKPKey:
        """Return the key to sign with now. Raises UnsafeSetup if the file is none of a key."""
        if not self._path.exists() or self._mark() != self._seen:
            self._reload()
        made = datetime.fromtimestamp(self._path.stat().st_mtime, UTC)
        if self._clock() - made >= self._lifetime:
            return self.renew(self._key.thumbprint())
        return self._key

    def renew(self, key_id: str) -> OKPKey:
        """Put a new key in the place of the one with this id, unless that was done already."""
        self._reload()
        if self._key.thumbprint() == key_id:
            _replace(self._path, _new_token_key())
            # A file is as old as the system says, which is not what the clock has to say.
            now = self._clock().timestamp()
            os.utime(self._path, (now, now))
            self._reload()
        return self._key

    def _reload(self) -> None:
        mark = self._mark() if self._path.exists() else None
        self._key = load_token_key(self._path.parent)
        self._seen = mark or self._mark()

    def _mark(self) -> tuple[int, int]:
        """What tells one file from the next, which may have the number of a former one."""
        found = self._path.stat()
        return found.st_ino, found.st_mtime_ns


def rotate_token_key(data_dir: Path) -> tuple[str, str]:
    """Put a new token key in the place of the one that is there; return the ids of both.

    A server that runs signs with it from the next token on. Raises UnsafeSetup if there is none.
    """
    if not (data_dir / _OF_TOKENS).exists():
        raise UnsafeSetup(f"there is no token key in {data_dir}; `serve` makes one")
    file = TokenKeyFile(data_dir, lifetime=timedelta.max, clock=lambda: datetime.now(UTC))
    old = file.current().thumbprint()
    return old, file.renew(old).thumbprint()


def load_token_key(data_dir: Path) -> OKPKey:
    """Return this node's token key, made if there is none.

    Processes that start at once over one folder get one key: each writes a file of its own, and
    the first to link it under the final name wins.
    """
    path = data_dir / _OF_TOKENS
    if not path.exists():
        _create(path, _new_token_key())
    _refuse_exposed(path)
    try:
        key = OKPKey.import_key(path.read_bytes())
    except OSError as error:
        raise UnsafeSetup(f"{path} cannot be read: {error.strerror}") from None
    except (JoseError, ValueError):
        key = None
    if key is None or not key.is_private:
        raise UnsafeSetup(
            f"{path} is not a private key; put the right file back, or remove it to get a new key"
        )
    return key


def load_ledger_keys(data_dir: Path) -> list[Ed25519PrivateKey]:
    """Return the keys with which this node signs its logs, the oldest first; none if it has none.

    They are files of PKCS #8 in `ledger-keys`, named by the number of their turn.
    """
    return [load_ledger_key(path) for path in sorted((data_dir / _LEDGER_KEYS).glob("*.pem"))]


def load_ledger_key(path: Path) -> Ed25519PrivateKey:
    """Return the key of this file. Raises UnsafeSetup if it is none, or others may read it."""
    if not path.exists():
        raise UnsafeSetup(f"there is no key at {path}")
    _refuse_exposed(path)
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (TypeError, ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise UnsafeSetup(f"{path} is not an Ed25519 private key; put the right file back")
    return key


def add_ledger_key(data_dir: Path) -> tuple[Ed25519PrivateKey, Path]:
    """Make a key, and the file of the next turn for it."""
    return _make_ledger_key(data_dir, ".pem")


def ledger_drafts(data_dir: Path) -> list[tuple[Ed25519PrivateKey, Path]]:
    """Return the keys that do not sign yet, with their files: rotations that did not end."""
    paths = sorted((data_dir / _LEDGER_KEYS).glob(f"*{_DRAFT}"))
    return [(load_ledger_key(path), path) for path in paths]


def draft_ledger_key(data_dir: Path) -> tuple[Ed25519PrivateKey, Path]:
    """Return a key that does not sign yet, and its file; a new one if none was left behind."""
    for left in ledger_drafts(data_dir):
        return left
    return _make_ledger_key(data_dir, _DRAFT)


def adopt_ledger_key(draft: Path) -> Path:
    """Let the key of this file sign, from the next start on; return its file."""
    path = draft.with_suffix(".pem")
    with contextlib.suppress(FileNotFoundError):  # another process was first, with the same key
        draft.rename(path)
    return path


def _make_ledger_key(data_dir: Path, suffix: str) -> tuple[Ed25519PrivateKey, Path]:
    folder = data_dir / _LEDGER_KEYS
    turns = [int(path.stem) for path in folder.glob("*.pem") if path.stem.isdecimal()]
    path = folder / f"{max(turns, default=0) + 1:04}{suffix}"
    _create(
        path,
        Ed25519PrivateKey.generate().private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        ),
    )
    return load_ledger_key(path), path  # as it is there: another process may have been first


def _refuse_exposed(path: Path) -> None:
    mode = path.stat().st_mode
    if os.name == "posix" and mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise UnsafeSetup(f"others may read {path}; run: chmod 600 {path}")


def _new_token_key() -> bytes:
    return OKPKey.generate_key("Ed25519").as_pem(private=True)


def _create(path: Path, content: bytes) -> None:
    """Make the file, unless there is one: another process was first, and its key is as good."""
    with _draft(path, content) as draft, contextlib.suppress(FileExistsError):
        os.link(draft, path)


def _replace(path: Path, content: bytes) -> None:
    """Put this in the place of the file, whole or not at all."""
    with _draft(path, content) as draft:
        draft.replace(path)


@contextlib.contextmanager
def _draft(path: Path, content: bytes) -> Iterator[Path]:
    """Give a file beside it with this content, that is gone afterwards."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # mkstemp gives mode 0600 from the first moment, and a name that no killed process has left.
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        yield Path(draft)
    finally:
        Path(draft).unlink(missing_ok=True)
