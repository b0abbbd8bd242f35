"""Private keys on disk: made at first start, mode 0600, never printed and never sent anywhere."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

from auditlogservice.errors import UnsafeSetup

if TYPE_CHECKING:
    from pathlib import Path


def load_token_key(data_dir: Path) -> OKPKey:
    """Return this node's token key, made if there is none.

    Processes that start at once over one folder get one key: each writes a file of its own, and
    the first to link it under the final name wins.
    """
    path = data_dir / "token-key.pem"
    if not path.exists():
        _create(path, OKPKey.generate_key("Ed25519").as_pem(private=True))
    mode = path.stat().st_mode
    if os.name == "posix" and mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise UnsafeSetup(f"others may read {path}; run: chmod 600 {path}")
    try:
        key = OKPKey.import_key(path.read_bytes())
    except (JoseError, ValueError):
        key = None
    if key is None or not key.is_private:
        raise UnsafeSetup(
            f"{path} is not a private key; put the right file back, or remove it to get a new key "
            "(tokens that were issued with the old one then end)"
        )
    return key


def _create(path: Path, content: bytes) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(draft, path)
    except FileExistsError:
        pass  # another process was first; its key is as good
    finally:
        draft.unlink()
