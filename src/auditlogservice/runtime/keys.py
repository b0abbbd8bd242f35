"""Private keys on disk: made at first start, mode 0600, never printed and never sent anywhere."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from pathlib import Path

from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

from auditlogservice.errors import UnsafeSetup


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
            f"{path} is not a private key; put the right file back, or remove it to get a new key"
        )
    return key


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
