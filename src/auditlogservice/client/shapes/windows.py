"""Windows events in the forms that shippers give them.

Flat (NXLog, the OTRF data sets, `Get-WinEvent | ConvertTo-Json`), nested (`System` beside
`EventData`, as evtx readers write the XML) and under `winlog` (Winlogbeat, Elastic Agent). All
become one `_Seen`, and the story is told from that.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from auditlogservice.client.shapes.fields import (
    Row,
    Story,
    Told,
    at,
    entity,
    first,
    from_address,
    objects,
    text,
    whole_number,
)
from auditlogservice.client.shapes.moments import moment

if TYPE_CHECKING:
    from auditlogservice.canonical import Json

# The keywords that winmeta.h gives to audits of a failure and of a success.
_AUDIT_FAILURE, _AUDIT_SUCCESS = 1 << 52, 1 << 53
_MAX_KEYWORDS = 2**64

_PHRASE_END = re.compile(r"[.:](?=\s|$)")
_NOTHING = {"-", "(null)", "N/A", "S-1-0-0"}  # how Windows writes that it has nothing to say
# What a Sysmon event is about, the most telling first.
_SUBJECTS = (
    "TargetImage", "TargetFilename", "TargetObject", "ImageLoaded", "PipeName", "QueryName",
    "DestinationIp", "Device", "CommandLine", "Image",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """What every form says, under one name each. `data` is the event's own fields."""

    event_id: str
    provider: str
    channel: str
    host: str
    number: str
    when: str | None
    keywords: Json
    message: str
    user: Told | None
    data: Row


def is_windows(record: Row) -> bool:
    if isinstance(record.get("winlog"), dict) or _system(record) is not None:
        return True
    origin = ("Channel", "SourceName", "ProviderName", "ProviderGuid", "Provider", "LogName")
    return any(key in record for key in _IDS) and any(key in record for key in origin)


def natural_id(record: Row) -> str:
    """Return the record number with the channel and computer within which it counts."""
    seen = _see(record)
    return f"{seen.host} {seen.channel} {seen.number}" if seen.number else ""


def tell(record: Row) -> Told:
    seen = _see(record)
    kind = seen.provider.lower().removeprefix("microsoft-windows-").replace(" ", "-")
    what = f"{seen.provider or 'Windows'} event {seen.event_id}".strip()
    return Story(
        name=_phrase(seen.message) or what,
        event_type=f"windows.{kind or 'unknown'}.{seen.event_id or 'unknown'}",
        detail=_sentence(seen) or what + (f" on {seen.host}" if seen.host else ""),
        occurred_at=seen.when,
        actor=_actor(seen),
        targets=_targets(seen.data),
        outcome=_outcome(seen.keywords),
        source=seen.host or "windows",
        context=_context(seen),
    ).tell(record)


# ---- the three forms ------------------------------------------------------------

_IDS = ("EventID", "EventId", "Id", "event_id")


def _see(record: Row) -> _Seen:
    if isinstance(record.get("winlog"), dict):
        return _see_winlog(record)
    system = _system(record)
    return _see_flat(record) if system is None else _see_nested(record, system)


def _see_flat(record: Row) -> _Seen:
    provider = first(record.get("SourceName"), record.get("ProviderName"))
    return _Seen(
        event_id=first(*map(record.get, _IDS)),
        provider=provider or first(record.get("Provider"), at(record.get("Provider"), "Name")),
        channel=first(record.get("Channel"), record.get("LogName")),
        host=first(*map(record.get, ("Hostname", "Computer", "MachineName", "host"))),
        number=first(*map(record.get, ("EventRecordID", "RecordNumber", "RecordId"))),
        when=moment(*map(record.get, ("TimeCreated", "EventTime", "@timestamp", "UtcTime"))),
        keywords=[
            record.get("Keywords"),
            record.get("KeywordsDisplayNames"),
            record.get("EventType"),
        ],
        message=first(record.get("Message"), record.get("message")),
        user=_account(record.get("UserID"), record.get("AccountName"), record.get("Domain")),
        data=record,
    )


def _see_nested(record: Row, system: Row) -> _Seen:
    event = _event(record)
    rendered = event.get("RenderingInfo")
    return _Seen(
        event_id=_content(system.get("EventID")),
        provider=_attribute(system.get("Provider"), "Name"),
        channel=_content(system.get("Channel")),
        host=_content(system.get("Computer")),
        number=_content(system.get("EventRecordID")),
        when=moment(
            _attribute(system.get("TimeCreated"), "SystemTime"),
            system.get("TimeCreated"),
            record.get("@timestamp"),
        ),
        keywords=[system.get("Keywords"), at(rendered, "Keywords", "Keyword")],
        message=first(at(rendered, "Message"), event.get("Message"), record.get("message")),
        user=_account(_attribute(system.get("Security"), "UserID"), None, None),
        data=_named(event.get("EventData")) or _named(event.get("UserData")),
    )


def _see_winlog(record: Row) -> _Seen:
    log, user = record["winlog"], at(record["winlog"], "user")
    return _Seen(
        event_id=first(at(log, "event_id"), at(record, "event", "code")),
        provider=first(at(log, "provider_name"), at(record, "event", "provider")),
        channel=text(at(log, "channel")),
        host=first(at(log, "computer_name"), at(record, "host", "name")),
        number=text(at(log, "record_id")),
        when=moment(record.get("@timestamp"), at(record, "event", "created")),
        keywords=[at(log, "keywords"), at(record, "event", "outcome")],
        message=first(record.get("message"), at(log, "message")),
        user=_account(at(user, "identifier"), at(user, "name"), at(user, "domain")),
        data=_named(at(log, "event_data")),
    )


def _event(record: Row) -> Row:
    inner = record.get("Event")
    return inner if isinstance(inner, dict) else record


def _system(record: Row) -> Row | None:
    system = _event(record).get("System")
    return system if isinstance(system, dict) else None


def _attribute(element: Json, name: str) -> str:
    """Return an attribute of an XML element, as the different converters write it."""
    ways = (at(element, name), at(element, f"@{name}"), at(element, f"_{name}"))
    return first(*ways, at(element, "#attributes", name), at(element, "$", name))


def _content(element: Json) -> str:
    return first(element, at(element, "#text"), at(element, "_"), at(element, "Value"))


def _named(data: Json) -> Row:
    """`EventData` as one object; some converters write a list of names and values."""
    pairs = objects(at(data, "Data"))
    if pairs:
        return {_attribute(pair, "Name"): _content(pair) for pair in pairs}
    return data if isinstance(data, dict) else {}


# ---- the story --------------------------------------------------------------------


def _said(data: Row, *keys: str) -> str:
    said = (text(data.get(key)) for key in keys)
    return next((words for words in said if words and words not in _NOTHING), "")


def _phrase(message: str) -> str:
    """Return the first phrase of a message: without what differs from event to event."""
    return _PHRASE_END.split(_first_line(message), maxsplit=1)[0]


def _first_line(message: str) -> str:
    return message.partition("\n")[0].strip()


def _sentence(seen: _Seen) -> str:
    line = _first_line(seen.message)
    if not line.endswith(":"):
        return line
    subject = _said(seen.data, *_SUBJECTS)
    return f"{line} {subject}" if subject else line.removesuffix(":")


def _account(sid: Json, name: Json, domain: Json) -> Told | None:
    given: Row = {"sid": sid, "name": name, "domain": domain}
    who, where = _said(given, "name"), _said(given, "domain")
    full = f"{where}\\{who}" if who and where else who
    return entity(id=_said(given, "sid"), type="user", name=full)


def _actor(seen: _Seen) -> Told | None:
    data = seen.data
    subject = _account(*map(data.get, ("SubjectUserSid", "SubjectUserName", "SubjectDomainName")))
    user = _account(None, _said(data, "User", "SourceUser"), None)
    return subject or user or seen.user


def _targets(data: Row) -> list[Told]:
    sid = _said(data, "TargetUserSid", "TargetSid")
    account = _account(sid, data.get("TargetUserName"), data.get("TargetDomainName"))
    thing = entity(
        id=_said(data, "ObjectName", "TargetFilename", "TargetObject", "TargetImage"),
        type=_said(data, "ObjectType"),
    )
    return [target for target in (account, thing) if target]


def _outcome(said: Json) -> str | None:
    """Whether a success or a failure was audited; None if this was no audit.

    The keywords come as hexadecimal or decimal text, as a signed or an unsigned number, or as
    the names that Windows shows for them; several of these may stand in one record.
    """
    if isinstance(said, list):
        return next((found for found in map(_outcome, said) if found), None)
    bits = whole_number(said)
    if bits is not None and abs(bits) < _MAX_KEYWORDS:
        return _by_bit(bits)
    words = text(said)[:200].lower().replace("_", " ")
    named = [name for name in ("failure", "success") if name in words]
    return named[0] if words.startswith(("audit", *named)) and named else None


def _by_bit(bits: int) -> str | None:
    if bits & _AUDIT_FAILURE:
        return "failure"
    return "success" if bits & _AUDIT_SUCCESS else None


def _context(seen: _Seen) -> Told:
    address = _said(seen.data, "IpAddress", "ClientAddress", "SourceIp", "SourceAddress")
    return {
        **from_address(address),
        "channel": seen.channel,
        "process": _said(seen.data, "ProcessName", "Image", "SourceImage", "CallerProcessName"),
        "session_id": _said(seen.data, "SubjectLogonId", "LogonId"),
    }
