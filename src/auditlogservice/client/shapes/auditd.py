"""The Linux audit daemon: its raw lines, and the JSON that Auditbeat and Laurel make of them.

A raw line is one record of an event that may have several (SYSCALL, PATH, CWD, …). Each becomes
an event of its own; `context.audit_id` is what those of one event share.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from auditlogservice.client.shapes.fields import (
    Row,
    Story,
    Told,
    at,
    entity,
    first,
    from_address,
    text,
)
from auditlogservice.client.shapes.moments import moment

if TYPE_CHECKING:
    from auditlogservice.canonical import Json

_LINE = re.compile(
    r"(?:node=(?P<node>\S+) )?type=(?P<type>\S+) "
    r"msg=(?P<msg>audit\(\d{1,12}(?:\.\d{1,9})?:\d{1,20}\)): ?(?P<rest>.*)",
    re.DOTALL,
)
_PAIR = re.compile(r"""([A-Za-z][\w-]*)=("[^"]*"|'[^']*'|[^\s"']\S*|)""")
_STAMP = re.compile(r"(?:audit\()?(?P<id>(?P<time>\d{1,12}(?:\.\d{1,9})?):\d{1,20})\)?", re.ASCII)
_HEX = re.compile(r"(?:[0-9A-F]{2})+")
_ENRICHED = "\x1d"  # auditd puts the interpreted fields after this
_NOTHING = {"?", "(null)", "(none)", "unset", "4294967295", "-1"}
_LAUREL = re.compile(r"[A-Z][A-Z0-9_]+")
_RESULTS = {
    "yes": "success", "success": "success", "1": "success",
    "no": "failure", "fail": "failure", "failed": "failure", "failure": "failure", "0": "failure",
}  # fmt: skip


def looks_like_line(line: str) -> bool:
    return bool(_LINE.fullmatch(line.strip("\r\n")))


def parse_line(line: str) -> Row | None:
    """Return the fields of a raw line, with the line itself as `raw`; None if it is none."""
    match = _LINE.fullmatch(line.strip("\r\n"))
    if not match:
        return None
    record: Row = {"raw": match[0], "type": match["type"], "msg": match["msg"]}
    if match["node"]:
        record["node"] = match["node"]
    for key, value in _pairs(match["rest"].replace(_ENRICHED, " ")):
        # In a user-space record, `msg='…'` holds the fields that tell the story.
        for name, words in _pairs(value) if key == "msg" else [(key, value)]:
            record.setdefault(name, words)
    return record


def is_auditd(record: Row) -> bool:
    if isinstance(record.get("auditd"), dict):
        return True
    return text(record.get("msg")).startswith("audit(") or bool(_laurel(record))


def natural_id(record: Row) -> str:
    """Return time, serial number and type: the number starts again at each boot."""
    stamp = _STAMP.match(_stamp(record))
    kind = text(record.get("type"))
    return f"{text(record.get('node'))} {stamp['id']} {kind}" if stamp else ""


def tell(record: Row) -> Told:
    if isinstance(record.get("auditd"), dict):
        return _tell_beat(record)
    kind, fields = _laurel(record) or (text(record.get("type")), record)
    stamp = _STAMP.match(_stamp(record))
    host = first(record.get("node"), record.get("NODE"))
    return Story(
        name=_name(kind, fields),
        event_type=f"auditd.{kind or 'unknown'}",
        detail=_sentence(kind, fields, host),
        occurred_at=moment(stamp["time"] if stamp else None, record.get("@timestamp")),
        actor=_actor(fields),
        targets=_targets(fields),
        outcome=_RESULTS.get(_said(fields, "res", "success", "result").lower()),
        source=host or "auditd",
        context=_context(fields, stamp["id"] if stamp else ""),
    ).tell(record)


# ---- raw lines and Laurel ---------------------------------------------------------


def _pairs(words: str) -> list[tuple[str, str]]:
    return [(key, value.strip("\"'")) for key, value in _PAIR.findall(words)]


def _laurel(record: Row) -> tuple[str, Row] | None:
    """Find the record that tells most of `{"ID": "…", "SYSCALL": {…}, "PATH": […]}`."""
    if not _STAMP.fullmatch(text(record.get("ID"))):
        return None
    kinds = [key for key, value in record.items() if isinstance(value, dict | list)]
    named = sorted((key for key in kinds if _LAUREL.fullmatch(key)), key=_telling)
    for kind in named:
        value = record[kind]
        found = value[0] if isinstance(value, list) and value else value
        if isinstance(found, dict):
            return kind, found
    return None


def _telling(kind: str) -> int:
    return 0 if kind == "SYSCALL" or kind.startswith("USER_") else 1


def _stamp(record: Row) -> str:
    return first(record.get("msg"), record.get("ID"))


def _said(fields: Row, *keys: str) -> str:
    said = (text(fields.get(key)) for key in keys)
    return next((words for words in said if words and words not in _NOTHING), "")


def _plain(words: str) -> str:
    """Return a name in clear: auditd writes one with blanks in it as hexadecimal."""
    if not _HEX.fullmatch(words) or words.isdigit():
        return words
    try:
        clear = bytes.fromhex(words).decode()
    except ValueError:
        return words
    return clear if clear.isprintable() else words


def _name(kind: str, fields: Row) -> str:
    call = _said(fields, "SYSCALL")
    return f"{kind} {call}" if call and kind == "SYSCALL" else kind or "audit record"


def _sentence(kind: str, fields: Row, host: str) -> str:
    who = _plain(_said(fields, "acct", "AUID", "auid", "UID", "uid")) or "someone"
    call = _said(fields, "SYSCALL", "syscall", "op")
    what = _plain(_said(fields, "name", "exe", "comm", "cmd"))
    result = _RESULTS.get(_said(fields, "res", "success", "result").lower(), "")
    words = [f"{kind or 'audit'}:", who, call, what, f"on {host}" if host else ""]
    sentence = " ".join(word for word in words if word)
    return f"{sentence} ({result})" if result else sentence


def _actor(fields: Row) -> Told | None:
    name = _plain(_said(fields, "AUID", "acct", "UID"))
    return entity(id=_said(fields, "auid", "uid") or name, type="user", name=name)


def _targets(fields: Row) -> list[Told]:
    path = entity(id=_plain(_said(fields, "name")), type="file")
    return [path] if path else []


def _context(fields: Row, audit_id: str) -> Told:
    return {
        **from_address(_said(fields, "addr", "hostname")),
        "audit_id": audit_id,
        "session_id": _said(fields, "ses"),
        "process": _plain(_said(fields, "exe", "comm")),
    }


# ---- Auditbeat --------------------------------------------------------------------


def _tell_beat(record: Row) -> Told:
    log, summary = record["auditd"], at(record["auditd"], "summary")
    kind, action = text(at(log, "message_type")), text(at(record, "event", "action"))
    host = first(at(record, "host", "name"), at(record, "host", "hostname"))
    thing = entity(
        id=text(at(summary, "object", "primary")), type=text(at(summary, "object", "type"))
    )
    return Story(
        name=action or kind or "audit record",
        event_type=f"auditd.{kind or action or 'unknown'}",
        detail=_beat_sentence(record, summary, action or kind),
        occurred_at=moment(record.get("@timestamp")),
        actor=_beat_actor(record, summary),
        targets=[thing] if thing else [],
        outcome=_RESULTS.get(first(at(log, "result"), at(record, "event", "outcome"))),
        source=host or "auditd",
        context={
            **from_address(text(at(record, "source", "ip"))),
            "session_id": text(at(log, "session")),
            "process": text(at(record, "process", "executable")),
        },
    ).tell(record)


def _beat_actor(record: Row, summary: Json) -> Told | None:
    user = record.get("user")
    audit = at(user, "audit")
    return entity(
        id=first(at(audit, "id"), at(user, "id")),
        type="user",
        name=first(at(audit, "name"), at(user, "name"), at(summary, "actor", "primary")),
    )


def _beat_sentence(record: Row, summary: Json, action: str) -> str:
    who = first(at(summary, "actor", "primary"), at(record, "user", "name")) or "someone"
    how = text(at(summary, "how"))
    words = [who, action, text(at(summary, "object", "primary")), f"using {how}" if how else ""]
    return " ".join(word for word in words if word)
