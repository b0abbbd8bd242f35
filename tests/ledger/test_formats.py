"""Files that others read: nothing lost, nothing that does harm, and what the schemas ask for."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from auditlogservice.client.shapes.known import recognise
from auditlogservice.events import Record, Sequence
from auditlogservice.filters import spell
from auditlogservice.ledger.formats import cef, ecs, ndjson, ocsf, tabular
from auditlogservice.ledger.formats import parquet as ours
from auditlogservice.ledger.formats.deeds import session_of, verb_of
from auditlogservice.ledger.formats.known import FORMATS
from auditlogservice.ledger.formats.parquet import SCHEMA, ParquetFile
from auditlogservice.times import parse_rfc3339
from naive import leaves
from strategies import NOON, draft, told, told_events

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from auditlogservice.ledger.formats.encoding import Encoder
    from auditlogservice.ledger.formats.mapping import Row

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs" / "export.md").read_text()


def record(sequence: int = 0, /, **what: Any) -> Record:
    kept = draft({**told(), **what})
    return Record(id=kept.id, sequence=Sequence(sequence), payload=kept.payload(NOON))


def samples() -> Iterator[Record]:
    """The real records in tests/data, as the importer tells them."""
    for name in ("cloudtrail.ndjson", "windows-security.ndjson"):
        for raw in (ROOT / "tests" / "data" / name).read_bytes().splitlines():
            shape = recognise(json.loads(raw))
            assert shape
            yield record(**shape.tell(json.loads(raw)))


SAMPLES = list(samples())
records = told_events.map(lambda what: record(7, **what))


def file_of(encoder: Encoder, *pages: list[Record]) -> bytes:
    return b"".join([encoder.start(), *map(encoder.add, pages), encoder.finish()])


# ---- every format -----------------------------------------------------------------------


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_is_the_same_however_it_is_cut_into_pages(name: str) -> None:
    whole = file_of(FORMATS[name].encoder(), SAMPLES)
    pages = [SAMPLES[start : start + 7] for start in range(0, len(SAMPLES), 7)]
    assert file_of(FORMATS[name].encoder(), *pages) == whole


@pytest.mark.parametrize("name", ["ndjson", "cef", "ocsf", "ecs"])
@given(told_records=st.lists(records, max_size=3))
def test_each_record_is_one_line(name: str, told_records: list[Record]) -> None:
    file = file_of(FORMATS[name].encoder(), told_records)
    assert file.count(b"\n") == len(told_records)
    assert b"\r" not in file
    assert file.endswith(b"\n") or not told_records


def test_ndjson_is_what_the_api_answers() -> None:
    assert ndjson.line(SAMPLES[0]) == SAMPLES[0].answer() + b"\n"


# ---- CSV --------------------------------------------------------------------------------


def rows_of(file: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(file.decode(), newline=""), strict=True))


@given(st.lists(records, max_size=3))
def test_csv_can_be_read_back(told_records: list[Record]) -> None:
    rows = rows_of(file_of(FORMATS["csv"].encoder(), told_records))
    for row, kept in zip(rows, told_records, strict=True):
        fields = kept.fields()
        assert tuple(row) == tabular.COLUMNS
        assert row["sequence"] == "7"
        for name in ("_id", "name", "event_type", "detail", "user_id"):
            assert row[name] in {fields[name], f"'{fields[name]}"}
        for name in ("actor", "targets", "context", "on_behalf_of", "event_data"):
            there = fields.get(name)
            assert row[name] == "" if there is None else json.loads(row[name]) == there


@pytest.mark.parametrize("start", list("=+-@\t\r\n＝＋－＠"))  # noqa: RUF001
@pytest.mark.parametrize("behind", ["cmd|' /C calc'!A0", '1,"x"', "", "\n=1+1"])
def test_no_cell_is_a_formula(start: str, behind: str) -> None:
    hostile = start + behind
    file = file_of(FORMATS["csv"].encoder(), [
        record(
            name=hostile, event_type=hostile, detail=hostile, source=hostile,
            actor={"id": hostile, "type": hostile, "name": hostile}, event_data={hostile: hostile},
            targets=[{"id": hostile}], context={"ip": hostile, "user_agent": hostile},
            on_behalf_of=hostile,
        )
    ])  # fmt: skip
    (row,) = rows_of(file)
    assert row["detail"] == row["actor.id"] == row["context.user_agent"] == f"'{hostile}"
    for cell in row.values():
        assert not cell.startswith(tuple("=+-@\t\r\n＝＋－＠"))  # noqa: RUF001
    assert json.loads(row["event_data"]) == {hostile: hostile}


def test_csv_says_its_columns_even_if_there_is_no_record() -> None:
    file = file_of(FORMATS["csv"].encoder())
    assert file == ",".join(tabular.COLUMNS).encode() + b"\r\n"


@pytest.mark.parametrize("harmless", ["", "a=b", "'=1", " x", "1", "ünï", "a\nb", 'say "x"'])
def test_what_is_harmless_stays_as_it_is(harmless: str) -> None:
    (row,) = rows_of(file_of(FORMATS["csv"].encoder(), [record(detail=harmless)]))
    assert row["detail"] == harmless


# ---- Parquet ----------------------------------------------------------------------------


def read_back(file: bytes) -> Any:
    return parquet.read_table(io.BytesIO(file))


def test_parquet_has_typed_columns() -> None:
    table = read_back(file_of(ParquetFile(), SAMPLES))
    assert table.schema.equals(SCHEMA)
    assert table.num_rows == len(SAMPLES)
    assert table.schema.field("timestamp").type == pa.timestamp("us", tz="UTC")
    assert table.schema.field("sequence").type == pa.int64()
    assert pa.types.is_struct(table.schema.field("actor").type)
    assert pa.types.is_list(table.schema.field("targets").type)


@given(st.lists(records, max_size=3))
def test_parquet_gives_back_what_was_kept(told_records: list[Record]) -> None:
    rows = read_back(file_of(ParquetFile(), told_records)).to_pylist()
    for row, kept in zip(rows, told_records, strict=True):
        fields: dict[str, Any] = kept.fields()
        for name in ("_id", "sequence", "name", "event_type", "detail", "user_id"):
            assert row[name] == fields[name]
        for name in ("outcome", "source"):
            assert row[name] == fields.get(name)
        assert row["timestamp"] == NOON
        assert row["occurred_at_told"] == fields.get("occurred_at")
        if row["occurred_at"]:
            assert row["occurred_at"] == parse_rfc3339(fields["occurred_at"])
        assert json.loads(row["event_data"] or "null") == fields["event_data"]
        assert_same_entity(row["actor"], fields.get("actor"))
        assert_same_entity(row["on_behalf_of"], fields.get("on_behalf_of"))
        assert (row["targets"] is None) == ("targets" not in fields)
        for column, target in zip(row["targets"] or [], fields.get("targets", []), strict=True):
            assert_same_entity(column, target)


def assert_same_entity(column: Any, there: Any) -> None:
    if there is None:
        assert column is None
        return
    assert json.loads(column["json"]) == there
    known = {"id": there} if isinstance(there, str) else there
    assert {key: known.get(key) for key in ("id", "type", "name")} == {
        key: column[key] for key in ("id", "type", "name")
    }


@pytest.mark.parametrize("number", [2**63 - 2, 2**53 + 1, 0])
def test_a_sequence_is_exact(number: int) -> None:
    (row,) = read_back(file_of(ParquetFile(), [record(number)])).to_pylist()
    assert row["sequence"] == number


@pytest.mark.parametrize("number", [-9214364837600034816, 2**63 - 1, -(2**63), 2**53 + 1])
def test_integers_in_event_data_are_exact(number: int) -> None:
    (row,) = read_back(file_of(ParquetFile(), [record(event_data={"n": number})])).to_pylist()
    assert row["event_data"] == f'{{"n":{number}}}'


def test_an_empty_parquet_file_is_one() -> None:
    assert read_back(file_of(ParquetFile())).num_rows == 0


@pytest.mark.parametrize(("rows", "size"), [(10, 10**9), (10**9, 4_000)])
def test_parquet_is_given_out_in_groups_so_that_little_is_in_memory(
    rows: int, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ours, "GROUP_ROWS", rows)
    monkeypatch.setattr(ours, "GROUP_BYTES", size)
    encoder = ParquetFile()
    pieces = [encoder.start()] + [encoder.add([record(n)]) for n in range(100)]
    assert sum(map(bool, pieces)) >= 5
    file = b"".join([*pieces, encoder.finish()])
    assert parquet.ParquetFile(io.BytesIO(file)).num_row_groups >= 5
    assert read_back(file)["sequence"].to_pylist() == list(range(100))


def test_a_parquet_file_without_its_end_is_none() -> None:
    encoder = ParquetFile()
    with pytest.raises(pa.ArrowInvalid):
        read_back(encoder.start() + encoder.add(SAMPLES))


# ---- CEF --------------------------------------------------------------------------------

_UNESCAPED = {"\\": "\\", "=": "=", "|": "|", "n": "\n", "r": "\r"}


def parse_cef(line: bytes) -> tuple[list[str], dict[str, str]]:
    """Read a line as a collector does: seven fields, then pairs that begin at ` key=`."""
    text = line.decode().removesuffix("\n")
    *header, extension = _PIPE.split(text, maxsplit=7)
    starts = list(re.finditer(r"(?:^| )(\w+)=", extension))
    ends = [*(m.start() for m in starts[1:]), len(extension)]
    pairs = {
        m[1]: _unescape(extension[m.end() : end]) for m, end in zip(starts, ends, strict=True)
    }
    return [_unescape(field) for field in header], pairs


_PIPE = re.compile(r"(?<!\\)\|")  # enough for fields that do not end in a backslash


def _unescape(text: str) -> str:
    return re.sub(r"\\(.)", lambda match: _UNESCAPED[match[1]], text)


def test_cef_says_what_a_collector_looks_for() -> None:
    kept = record(
        5, name="Signed in", event_type="auth.login", detail="by web", outcome="failure",
        occurred_at="2026-01-31T12:00:00.5Z", actor={"id": "7", "name": "alice", "type": "user"},
        context={"ip": "10.0.0.1", "user_agent": "curl", "request_id": "r"}, source="web",
        targets=[{"id": "t", "type": "app"}, {"id": "second"}], event_data={"n": 1},
    )  # fmt: skip
    header, pairs = parse_cef(cef.line(kept))
    assert header[0] == "CEF:0"
    assert header[1:3] + header[4:] == [
        "auditlogservice", "auditlogservice", "auth.login", "Signed in", "6",
    ]  # fmt: skip
    unmapped = json.loads(pairs.pop("auditlogserviceUnmapped"))
    assert pairs == {
        "rt": "1769860800000", "start": "1769860800500", "externalId": kept.id, "msg": "by web",
        "outcome": "failure", "suid": "7", "suser": "alice", "src": "10.0.0.1",
        "requestClientApplication": "curl", "sourceServiceName": "web",
        "cn1": "5", "cn1Label": "Sequence", "cs1": "t", "cs1Label": "TargetId",
        "cs2": "app", "cs2Label": "TargetType", "cs4": "user", "cs4Label": "ActorType",
        "cs5": "alice", "cs5Label": "RecordedBy",
        "flexString1": "r", "flexString1Label": "RequestId",
    }  # fmt: skip
    assert unmapped["event_data"] == {"n": 1}
    assert unmapped["targets"] == [{"id": "t", "type": "app"}, {"id": "second"}]


@pytest.mark.parametrize("hostile", [
    "a|b", "a=b", "a\\", "\\|", "\\\\=", "x\nCEF:0|evil|", "x\r\ny", "a=b|c\\d\ne", "=", "|",
    "\\n",
])  # fmt: skip
def test_cef_escapes(hostile: str) -> None:
    kept = record(name=hostile + "x", event_type="a" + hostile, detail="m" + hostile)
    line = cef.line(kept)
    header, _, extension = line.decode().partition("|3|")
    assert line.count(b"\n") == 1
    flat = hostile.replace("\r", " ").replace("\n", " ")
    escaped = flat.replace("\\", "\\\\").replace("|", "\\|")
    assert header.endswith(f"|a{escaped}|{escaped}x")
    value = hostile.replace("\\", "\\\\").replace("=", "\\=")
    value = value.replace("\n", "\\n").replace("\r", "\\r")
    assert f" msg=m{value} " in extension


@pytest.mark.parametrize(
    ("ip", "key"),
    [("10.0.0.1", "src"), ("::1", "c6a2"), ("2001:db8::1", "c6a2"), ("ec2.internal", "shost")],
)
def test_cef_puts_an_address_where_its_kind_belongs(ip: str, key: str) -> None:
    _, pairs = parse_cef(cef.line(record(context={"ip": ip})))
    assert pairs[key] == ip
    assert {"src", "c6a2", "shost"} & pairs.keys() == {key}


# ---- OCSF -------------------------------------------------------------------------------

# What the schema 1.6.0 requires: in every class, in some, and of their objects.
REQUIRED = {"activity_id", "category_uid", "class_uid", "metadata", "severity_id", "time",
            "type_uid"}  # fmt: skip
CLASS_REQUIRED = {
    0: set(),
    3001: {"user"},
    3002: {"user", "service"},
    6003: {"actor", "api", "src_endpoint"},
}


def ocsf_of(kept: Record) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(ocsf.line(kept))
    return made


def assert_is_ocsf(made: dict[str, Any]) -> None:
    assert made.keys() >= REQUIRED | CLASS_REQUIRED[made["class_uid"]]
    assert made["type_uid"] == made["class_uid"] * 100 + made["activity_id"]
    assert made["category_uid"] == made["class_uid"] // 1000
    assert isinstance(made["time"], int)
    assert made["metadata"]["version"] == "1.6.0"
    assert made["metadata"]["product"]["name"]
    user = made.get("user") or made.get("actor", {}).get("user")
    assert user is None or user.keys() & {"uid", "name"}
    if "api" in made:
        assert made["api"]["operation"]
        assert made["src_endpoint"].keys() & {"ip", "name"}
    if "service" in made:
        assert made["service"]["name"]


@pytest.mark.parametrize("kept", SAMPLES, ids=lambda kept: kept.fields()["event_type"])
def test_real_events_are_good_ocsf(kept: Record) -> None:
    made = ocsf_of(kept)
    assert_is_ocsf(made)
    assert made["unmapped"]["event_data"] == kept.fields()["event_data"]


@given(records)
def test_any_event_is_good_ocsf(kept: Record) -> None:
    assert_is_ocsf(ocsf_of(kept))


ACTOR = {"id": "7", "name": "alice", "type": "user"}


@pytest.mark.parametrize(
    ("event_type", "more", "type_uid"),
    [
        ("auth.login", {"actor": ACTOR}, 300201),
        ("user.signed_in", {"actor": ACTOR}, 300201),
        ("aws.signin.ConsoleLogin", {"actor": ACTOR}, 300201),
        ("session.logout", {"actor": ACTOR}, 300202),
        ("user_log_out", {"actor": ACTOR}, 300202),
        ("windows.security-auditing.4625", {"actor": ACTOR}, 300201),
        ("auth.login", {}, 99),
        ("user.created", {"targets": [{"id": "8"}]}, 300101),
        ("aws.iam.CreateUser", {"targets": [{"name": "bob", "type": "user"}]}, 300101),
        ("windows.security-auditing.4726", {"targets": [{"id": "8"}]}, 300106),
        ("user.disabled", {"targets": [{"id": "8"}]}, 300105),
        ("account.locked", {"targets": [{"id": "8"}]}, 300109),
        ("user.password.changed", {"targets": [{"id": "8"}]}, 300103),
        ("user.password.reset", {"targets": [{"id": "8"}]}, 300104),
        ("aws.iam.AttachUserPolicy", {"targets": [{"id": "8"}]}, 300107),
        ("user.renamed", {"targets": [{"id": "8"}]}, 300199),
        ("user.created", {"targets": [{"id": "8", "type": "ticket"}]}, 99),
        ("user.viewed", {"targets": [{"id": "8"}], "actor": ACTOR}, 600302),
        ("document.create", {"actor": ACTOR}, 600301),
        ("documentUpdated", {"actor": ACTOR}, 600303),
        ("aws.s3.DeleteObject", {"actor": ACTOR}, 600304),
        ("robot.danced", {"actor": ACTOR}, 600399),
        ("robot.danced", {"actor": {"role": "x"}}, 99),
        ("robot.danced", {}, 99),
    ],
)
def test_the_class_and_the_activity_are_told_by_the_event_type(
    event_type: str, more: dict[str, Any], type_uid: int
) -> None:
    made = ocsf_of(record(event_type=event_type, **more))
    assert made["type_uid"] == type_uid


# ---- ECS --------------------------------------------------------------------------------

# elastic.co/docs/reference/ecs/ecs-allowed-values-event-category, of the categories used here.
EXPECTED_TYPES = {
    "api": {"access", "admin", "allowed", "change", "creation", "deletion", "denied", "end",
            "info", "start", "user"},
    "authentication": {"start", "end", "info"},
    "iam": {"admin", "change", "creation", "deletion", "group", "info", "user"},
}  # fmt: skip


@given(records)
def test_any_event_is_good_ecs(kept: Record) -> None:
    assert_is_ecs(json.loads(ecs.line(kept)))


@pytest.mark.parametrize("kept", SAMPLES, ids=lambda kept: kept.fields()["event_type"])
def test_real_events_are_good_ecs(kept: Record) -> None:
    made = json.loads(ecs.line(kept))
    assert_is_ecs(made)
    assert made["auditlog"]["event_data"] == kept.fields()["event_data"]
    assert made["event"]["id"] == kept.id


def assert_is_ecs(made: dict[str, Any]) -> None:
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", made["@timestamp"])
    assert made["ecs"]["version"] == "8.17.0"
    assert made["event"]["kind"] == "event"
    for category in made["event"].get("category", []):
        assert set(made["event"]["type"]) <= EXPECTED_TYPES[category]
    assert made["event"].get("outcome", "unknown") in {"success", "failure", "unknown"}


@pytest.mark.parametrize(
    ("event_type", "more", "category", "types"),
    [
        ("auth.login", {}, ["authentication"], ["start"]),
        ("auth.logout", {}, ["authentication"], ["end"]),
        ("user.created", {"targets": [{"id": "8"}]}, ["iam"], ["user", "creation"]),
        ("user.read", {"targets": [{"id": "8"}]}, ["iam"], ["user", "info"]),
        ("file.delete", {"actor": ACTOR}, ["api"], ["deletion"]),
        ("robot.danced", {"actor": ACTOR}, None, ["info"]),
    ],
)
def test_ecs_sorts_events(
    event_type: str, more: dict[str, Any], category: list[str] | None, types: list[str]
) -> None:
    event = json.loads(ecs.line(record(event_type=event_type, **more)))["event"]
    assert (event.get("category"), event["type"]) == (category, types)


# ---- all mappings -----------------------------------------------------------------------


def _words(made: dict[str, Any]) -> set[str]:
    return {spell(leaf) for _, leaf in leaves(made)}


@pytest.mark.parametrize("line", [ocsf.line, ecs.line])
@given(kept=records)
def test_no_value_of_a_record_is_lost(line: Callable[[Record], bytes], kept: Record) -> None:
    said = _words(json.loads(line(kept)))
    fields = {k: v for k, v in kept.fields().items() if k != "outcome"}
    assert _words(fields) - {"", "null"} <= said


@given(kept=records)
def test_no_value_of_a_record_is_lost_in_cef(kept: Record) -> None:
    text = cef.line(kept).decode()
    unmapped = json.loads(
        re.sub(r"\\(.)", lambda m: _UNESCAPED[m[1]], text.partition("auditlogserviceUnmapped=")[2])
    )
    assert unmapped.get("event_data") == kept.fields()["event_data"]


@pytest.mark.parametrize(
    ("event_type", "verb"),
    [
        ("user.created", "create"), ("GetObject", "read"), ("policy.list.delete", "delete"),
        ("HTTPPut", "update"), ("modified", "update"), ("copies", "other"), ("", "other"),
        ("CREATE TABLE", "create"), ("setting", "other"),
    ],
)  # fmt: skip
def test_the_verb_is_the_last_that_is_known(event_type: str, verb: str) -> None:
    assert verb_of({"event_type": event_type}) == verb


@pytest.mark.parametrize(
    ("event_type", "session"),
    [
        ("LogIn", "logon"), ("sign-out", "logoff"), ("logged_in", "logon"), ("blog.in", None),
        ("log.inspect", None), ("authentication.failed", "logon"), ("auth", None),
    ],
)  # fmt: skip
def test_sessions_are_known_by_their_words(event_type: str, session: str | None) -> None:
    assert session_of({"event_type": event_type}) == session


# ---- the documents ----------------------------------------------------------------------


def documented(heading: str) -> list[list[str]]:
    """The rows of the table under this heading, without its head."""
    part = DOCUMENT.split(f"\n{heading}\n")[1].split("\n#")[0]
    rows = [line for line in part.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def told_of(rows: tuple[Row, ...]) -> list[list[str]]:
    return [[f"`{row.target}`", row.told] for row in rows]


@pytest.mark.parametrize(
    ("heading", "rows"),
    [
        ("#### The header of CEF", cef.HEADER),
        ("#### The extension of CEF", cef.EXTENSION),
        ("### ECS", ecs.ROWS),
        ("#### Every class of OCSF", ocsf.COMMON),
        *((f"#### {each.name} ({each.uid})", each.rows) for each in ocsf.CLASSES if each.rows),
    ],
)
def test_the_document_has_the_table_of_each_mapping(heading: str, rows: tuple[Row, ...]) -> None:
    assert documented(heading) == told_of(rows)


def test_the_document_says_which_class_is_chosen() -> None:
    assert documented("### OCSF") == [
        [str(each.uid), each.name, each.when] for each in ocsf.CLASSES
    ]


def test_the_document_lists_the_columns() -> None:
    assert [row[0] for row in documented("### CSV")] == [f"`{name}`" for name in tabular.COLUMNS]
    assert [row[:2] for row in documented("### Parquet")] == [
        [f"`{field.name}`", f"`{field.type}`"] for field in SCHEMA
    ]


def test_the_document_lists_the_formats() -> None:
    assert [row[:2] for row in documented("## Formats")] == [
        [f"`{name}`", f"`{each.media_type}`"] for name, each in FORMATS.items()
    ]


def test_the_moment_of_a_record_is_when_it_happened_and_else_when_it_came_in() -> None:
    happened = record(occurred_at="2025-12-31T23:59:59.9999Z")
    assert ocsf_of(happened)["time"] == 1767225599999
    assert ocsf_of(record())["time"] == int(NOON.timestamp() * 1000)
