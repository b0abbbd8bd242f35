"""The formats that there are, by the name that a caller asks for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from auditlogservice.errors import Flaw, InvalidInput
from auditlogservice.ledger.formats import cef, ecs, ndjson, ocsf, tabular
from auditlogservice.ledger.formats.encoding import Encoder, Lines

if TYPE_CHECKING:
    from collections.abc import Callable

_LINES = "application/x-ndjson"


@dataclass(frozen=True, slots=True)
class Format:
    """A kind of file. `encoder` begins one; raises InvalidInput if this server cannot."""

    media_type: str
    suffix: str
    encoder: Callable[[], Encoder]


def _parquet() -> Encoder:
    # PyArrow is large, and not everybody wants it: imported when it is asked for.
    try:
        from auditlogservice.ledger.formats.parquet import ParquetFile  # noqa: PLC0415
    except ModuleNotFoundError:
        why = "this server has no Parquet; run: pip install 'auditlogservice[parquet]'"
        raise InvalidInput([Flaw("format", why)]) from None
    return ParquetFile()


FORMATS: dict[str, Format] = {
    "ndjson": Format(_LINES, "ndjson", lambda: Lines(ndjson.line)),
    "csv": Format(
        "text/csv; charset=utf-8; header=present", "csv", lambda: Lines(tabular.line, tabular.HEAD)
    ),
    "parquet": Format("application/vnd.apache.parquet", "parquet", _parquet),
    "cef": Format("text/plain; charset=utf-8", "cef", lambda: Lines(cef.line)),
    "ocsf": Format(_LINES, "ocsf.ndjson", lambda: Lines(ocsf.line)),
    "ecs": Format(_LINES, "ecs.ndjson", lambda: Lines(ecs.line)),
}
