"""Private keys on disk: made at first start, mode 0600, never printed and never sent anywhere."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from pathlib import Path

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

_LEDGER_KEYS = "ledger-keys"
_DRAFT = ".draft"  # instead of `.pem`: a key that the store may not know


def load_token_key(data_dir: Path) -> OKPKey:
    """Return this node's token key, made if there is none.

    Processes that start at once over one folder get one key: each writes a file of its own, and
    the first to link it under the final name wins.
    """
    path = data_dir / "token-key.pem"
    if not path.exists():
        _create(path, OKPKey.generate_key("Ed25519").as_pem(private=True))
    _refuse_exposed(path)
    try:
        key = OKPKey.import_key(path.read_bytes())
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


def _create(path: Path, content: bytes) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # mkstemp gives mode 0600 from the first moment, and a name that no killed process has left.
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):  # another process was first; its key is as good
            os.link(draft, path)
    finally:
        Path(draft).unlink()
