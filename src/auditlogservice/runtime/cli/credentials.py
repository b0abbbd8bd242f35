"""The tokens that `login` keeps, one for each server, in a file that only its owner can read.

A token is given out for the address it was made for, and for no other.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import orjson
import typer

if TYPE_CHECKING:
    from auditlogservice.canonical import Json


@dataclass(frozen=True, slots=True)
class Signed:
    """Where someone signed in last, and the tokens of all servers by address."""

    url: str
    tokens: dict[str, str] = field(repr=False)


def path() -> Path:
    """Return the file's place: under XDG_CONFIG_HOME, or where the system keeps such files."""
    return Path(typer.get_app_dir("auditlogservice")) / "credentials.json"


def recall() -> Signed:
    """Return what is kept; nothing if there is no file, or one that cannot be read."""
    try:
        value: Json = orjson.loads(path().read_bytes())
    except (OSError, orjson.JSONDecodeError):
        value = None
    kept = value if isinstance(value, dict) else {}
    tokens = kept.get("tokens")
    known = tokens if isinstance(tokens, dict) else {}
    return Signed(
        str(kept.get("url") or ""),
        {url: token for url, token in known.items() if isinstance(token, str)},
    )


def keep(url: str, token: str) -> Path:
    """Keep the token of this server, and take the server as the one that is meant from now on."""
    tokens = {**recall().tokens, url: token}
    file = path()
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _replace(file, orjson.dumps({"url": url, "tokens": tokens}, option=orjson.OPT_INDENT_2))
    return file


def _replace(file: Path, content: bytes) -> None:
    # mkstemp gives mode 0600 from the first moment; the rename is all or nothing.
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=".credentials-")
    try:
        with os.fdopen(handle, "wb") as opened:
            opened.write(content)
        Path(name).replace(file)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise
