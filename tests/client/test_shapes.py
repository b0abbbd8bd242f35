"""Foreign records become events: nothing lost, nothing raised, nothing refused."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditlogservice.canonical import dump, parse
from auditlogservice.client.importing import Plan
from auditlogservice.client.shapes import auditd, native, rules
from auditlogservice.client.shapes.known import BY_NAME, SHAPES, recognise
from auditlogservice.client.shapes.moments import moment
from auditlogservice.errors import InvalidInput
from auditlogservice.events import read_event

if TYPE_CHECKING:
    from auditlogservice.client.shapes.fields import Row

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DATA = Path(__file__).parents[1] / "data"
FOREIGN = [shape.name for shape in SHAPES if shape.name != "native"]


def sample(name: str) -> list[Row]:
    return [json.loads(line) for line in (DATA / name).read_bytes().splitlines()]


def tell(record: dict[str, Any]) -> dict[str, Any]:
    shape = recognise(record)
    assert shape is not None
    return shape.tell(record)


# ---- any data --------------------------------------------------------------------------

INTERESTING = st.sampled_from([
    "", "-", "?", "null", "2020-09-14 10:11:12.123", "2022-08-18T13:56:13.9686605Z", "1600000000",
    "0x8020000000000000", "-9214364837600034816", "ec2.internal", "::1", "Audit Failure",
    "audit(1364481363.243:24287)", "\x1b[31m", "\u202e", "a" * 3_000, "line\r\n\r\nline",
    "99999999999999999999999999", "9999-12-31T23:59:59-23:59", "4E554C", "%%1833",
])  # fmt: skip
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"), max_size=20)
    | INTERESTING
)
KEYS = st.sampled_from([
    "id", "name", "type", "Name", "@Name", "#text", "#attributes", "Data", "System", "EventData",
    "EventID", "Provider", "SystemTime", "UserID", "sessionContext", "sessionIssuer", "userName",
    "arn", "accountId", "username", "uid", "code", "status", "resource", "namespace", "Keyword",
    "keywords", "event_data", "event_id", "user", "summary", "actor", "object", "primary", "data",
    "ARN", "TargetUserName", "SubjectUserSid", "IpAddress", "auid", "acct", "res", "ConsoleLogin",
])  # fmt: skip
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=8,
)
TOP_KEYS = {
    "cloudtrail": "eventSource eventName eventTime eventID userIdentity sourceIPAddress errorCode "
    "userAgent requestID resources responseElements awsRegion recipientAccountId detail "
    "detail-type",
    "kubernetes": "kind apiVersion auditID verb stage user impersonatedUser objectRef sourceIPs "
    "responseStatus userAgent requestReceivedTimestamp stageTimestamp requestURI",
    "windows": "EventID SourceName Channel Hostname Keywords TimeCreated Message SubjectUserSid "
    "SubjectUserName TargetUserName IpAddress Event System EventData winlog event message User "
    "RenderingInfo EventRecordID @timestamp UserData host",
    "auditd": "type msg raw node auditd event user process host source ID SYSCALL USER_LOGIN PATH "
    "res success AUID auid acct exe addr @timestamp",
    "cloudevents": "specversion type source id time subject data traceparent authid authtype",
}


@st.composite
def odd_records(draw: st.DrawFn, shape: str) -> Row:
    keys = st.sampled_from(TOP_KEYS[shape].split())
    return draw(st.dictionaries(keys, VALUES, max_size=12))


@pytest.mark.parametrize("name", FOREIGN)
@given(data=st.data())
def test_a_record_with_anything_anywhere_becomes_a_good_event(
    name: str, data: st.DataObject
) -> None:
    record = data.draw(odd_records(name))
    before = dump(record)
    told = Plan(BY_NAME[name]).tell(record, layout="lines", now=NOW).event
    assert told["event_data"] is record
    assert dump(record) == before
    read_event(told, now=NOW)


@given(record=st.dictionaries(st.sampled_from(" ".join(TOP_KEYS.values()).split()), VALUES))
def test_recognising_never_fails(record: Row) -> None:
    recognise(record)


@given(st.text() | INTERESTING)
def test_parsing_an_auditd_line_never_fails(line: str) -> None:
    auditd.parse_line(line)
    auditd.parse_line(f"type=X msg=audit(1:2): {line}")


# ---- real data -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "shape"),
    [("cloudtrail.ndjson", "cloudtrail"), ("windows-security.ndjson", "windows")],
)
def test_real_records_are_recognised_and_become_good_events(file: str, shape: str) -> None:
    for record in sample(file):
        assert recognise(record) is BY_NAME[shape]
        told = tell(record)
        event = read_event(told, now=NOW)
        assert parse(dump(event.told["event_data"])) == record
        assert told["occurred_at"] == record["@timestamp"]
        assert told["detail"]
        assert "\n" not in str(told["detail"])


def test_a_cloudtrail_record_is_told_in_a_sentence() -> None:
    told = tell(sample("cloudtrail.ndjson")[0])
    told.pop("event_data")
    assert told == {
        "name": "DescribeInstances",
        "event_type": "aws.ec2.DescribeInstances",
        "detail": "pedro called DescribeInstances on ec2.amazonaws.com from 1.2.3.4",
        "occurred_at": "2020-09-14T00:44:24.000Z",
        "actor": {
            "id": "arn:aws:iam::123456789123:user/pedro",
            "type": "IAMUser",
            "name": "pedro",
        },
        "outcome": "success",
        "source": "ec2.amazonaws.com",
        "context": {
            "ip": "1.2.3.4",
            "user_agent": "console.ec2.amazonaws.com",
            "request_id": "2b757038-7f45-4e5b-b38d-b83a3acb7eab",
            "region": "us-east-1",
            "account": "123456789123",
        },
    }


def test_a_service_of_aws_is_an_actor_and_its_address_a_host() -> None:
    told = tell(
        {
            "eventSource": "sts.amazonaws.com",
            "eventName": "AssumeRole",
            "userIdentity": {"type": "AWSService", "invokedBy": "ec2.amazonaws.com"},
            "sourceIPAddress": "ec2.amazonaws.com",
            "errorCode": "AccessDenied",
            "resources": [{"ARN": "arn:aws:iam::1:role/r", "type": "AWS::IAM::Role"}],
        }
    )
    assert told["actor"] == {
        "id": "ec2.amazonaws.com",
        "type": "AWSService",
        "name": "ec2.amazonaws.com",
    }
    assert told["context"] == {"host": "ec2.amazonaws.com"}
    assert told["outcome"] == "failure"
    assert told["detail"].endswith("from ec2.amazonaws.com: AccessDenied")
    assert told["targets"] == [{"id": "arn:aws:iam::1:role/r", "type": "AWS::IAM::Role"}]


def test_a_refused_sign_in_to_the_console_is_a_failure() -> None:
    told = tell(
        {
            "eventSource": "signin.amazonaws.com",
            "eventName": "ConsoleLogin",
            "responseElements": {"ConsoleLogin": "Failure"},
        }
    )
    assert told["outcome"] == "failure"


def test_a_failed_windows_logon_says_who_and_from_where() -> None:
    record = next(r for r in sample("windows-security.ndjson") if r["EventID"] == 4625)
    told = tell(record)
    assert told["name"] == "An account failed to log on"
    assert told["event_type"] == "windows.security-auditing.4625"
    assert told["outcome"] == "failure"
    assert told["targets"][0]["name"] == "PEDRO-COMPUTER\\pedro-admin"
    assert told["context"]["ip"] == "::1"
    assert told["source"] == "pedro-computer"


@pytest.mark.parametrize(
    ("keywords", "outcome"),
    [
        ("0x8020000000000000", "success"),
        ("0x8010000000000000", "failure"),
        (-9214364837600034816, "success"),
        (-9218868437227405312, "failure"),
        ("-9218868437227405312", "failure"),
        ("9232379236109516800", "success"),
        ("0x8000000000000000", None),
        ("Audit Success", "success"),
        (["Audit Failure"], "failure"),
        ("0x", None),
        ({}, None),
        (True, None),
    ],
)
def test_the_audit_bits_are_read_in_every_spelling(keywords: object, outcome: str | None) -> None:
    told = tell({"EventID": 4624, "Channel": "Security", "Keywords": keywords})
    assert told.get("outcome") == outcome


NESTED = {
    "Event": {
        "System": {
            "Provider": {"#attributes": {"Name": "Microsoft-Windows-Security-Auditing"}},
            "EventID": {"#text": 4625},
            "Keywords": "0x8010000000000000",
            "TimeCreated": {"#attributes": {"SystemTime": "2020-09-14T10:11:12.1234567Z"}},
            "Channel": "Security",
            "Computer": "pc",
        },
        "EventData": {"Data": [{"@Name": "TargetUserName", "#text": "bob"}]},
    }
}
WINLOG = {
    "@timestamp": "2020-09-14T10:11:12.1234567Z",
    "message": "An account failed to log on.\r\n\r\nSubject:",
    "event": {"outcome": "failure"},
    "winlog": {
        "event_id": "4625",
        "channel": "Security",
        "provider_name": "Microsoft-Windows-Security-Auditing",
        "computer_name": "pc",
        "event_data": {"TargetUserName": "bob"},
    },
}


@pytest.mark.parametrize("record", [NESTED, WINLOG], ids=["nested", "winlog"])
def test_other_forms_of_windows_events_tell_the_same(record: dict[str, Any]) -> None:
    told = tell(record)
    assert told["event_type"] == "windows.security-auditing.4625"
    assert told["occurred_at"] == "2020-09-14T10:11:12.1234567Z"
    assert told["outcome"] == "failure"
    assert told["source"] == "pc"
    assert told["targets"] == [{"id": "bob", "type": "user", "name": "bob"}]


def test_a_kubernetes_event_names_person_verb_and_object() -> None:
    told = tell(
        {
            "kind": "Event",
            "apiVersion": "audit.k8s.io/v1",
            "auditID": "a1",
            "stage": "ResponseComplete",
            "verb": "create",
            "user": {"username": "alice", "uid": 7},
            "impersonatedUser": {"username": "system:serviceaccount:a:b"},
            "objectRef": {
                "resource": "pods",
                "subresource": "exec",
                "namespace": "prod",
                "name": "web",
            },
            "sourceIPs": ["10.0.0.1"],
            "responseStatus": {"code": 403, "reason": "Forbidden"},
            "requestReceivedTimestamp": "2025-01-01T00:00:00.123456Z",
        }
    )
    assert told["event_type"] == "kubernetes.pods/exec.create"
    assert told["detail"] == "alice asked to create pods/exec web in prod: Forbidden"
    assert told["outcome"] == "failure"
    assert told["targets"] == [{"id": "prod/web", "type": "pods/exec", "name": "web"}]
    assert told["on_behalf_of"]["type"] == "service_account"
    assert told["context"] == {"ip": "10.0.0.1", "request_id": "a1"}


def test_a_raw_auditd_line_keeps_itself_and_tells_its_fields() -> None:
    line = (
        "node=web1 type=USER_LOGIN msg=audit(1364481363.243:24287): pid=1 uid=0 auid=1000 "
        'msg=\'op=login acct="root" exe="/usr/sbin/sshd" hostname=? addr=1.2.3.4 res=failed\''
    )
    record = auditd.parse_line(line)
    assert record is not None
    assert record["raw"] == line
    told = tell(record)
    assert told["event_data"] is record
    assert told["event_type"] == "auditd.USER_LOGIN"
    assert told["occurred_at"] == "2013-03-28T14:36:03.243000Z"
    assert told["outcome"] == "failure"
    assert told["context"]["ip"] == "1.2.3.4"
    assert told["context"]["audit_id"] == "1364481363.243:24287"
    assert told["source"] == "web1"


@pytest.mark.parametrize(
    ("record", "kind"),
    [
        ({"auditd": {"message_type": "user_login", "result": "fail"}}, "auditd.user_login"),
        ({"ID": "1615113648.981:15220", "SYSCALL": {"success": "no"}}, "auditd.SYSCALL"),
    ],
    ids=["auditbeat", "laurel"],
)
def test_auditd_as_json_is_known(record: dict[str, Any], kind: str) -> None:
    told = tell(record)
    assert told["event_type"] == kind
    assert told["outcome"] == "failure"


def test_a_cloudevent_is_named_by_its_type() -> None:
    told = tell(
        {
            "specversion": "1.0",
            "type": "order.created",
            "source": "/shop",
            "id": 7,
            "subject": "order-1",
            "time": "2025-01-01T00:00:00Z",
        }
    )
    assert told["detail"] == "order.created about order-1 from /shop"
    assert told["context"] == {"request_id": "7"}


# ---- our own ---------------------------------------------------------------------------


def test_an_event_of_ours_goes_through_unchanged_even_with_a_flaw() -> None:
    event = {"name": 7, "event_type": "x", "detail": "", "event_data": {"a": [1]}}
    assert tell(event) == event


def test_an_exported_record_keeps_what_the_next_server_gives_anew() -> None:
    told = tell(
        {
            "_id": "0" * 24,
            "name": "n",
            "event_type": "t",
            "detail": "d",
            "event_data": None,
            "timestamp": "2025-01-01T00:00:00.000000Z",
            "user_id": "u",
            "sequence": 4,
        }
    )
    assert told["occurred_at"] == "2025-01-01T00:00:00.000000Z"
    assert told["context"] == {
        "imported": {
            "_id": "0" * 24,
            "sequence": 4,
            "timestamp": "2025-01-01T00:00:00.000000Z",
            "user_id": "u",
        }
    }
    read_event(told, now=NOW)


def test_a_row_of_a_table_leaves_out_its_empty_cells() -> None:
    row: Row = {
        "name": "n",
        "event_type": "t",
        "detail": "",
        "outcome": "",
        "actor": '{"id":"a"}',
        "event_data": '{"big":9223372036854775807}',
    }
    assert native.tell_row(row) == {
        "name": "n",
        "event_type": "t",
        "detail": "",
        "actor": {"id": "a"},
        "event_data": {"big": 2**63 - 1},
    }


# ---- moments ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("2020-09-14T10:11:12.1234567Z", "2020-09-14T10:11:12.1234567Z"),
        ("2020-09-14T10:11:12+02:00", "2020-09-14T10:11:12+02:00"),
        ("2020-09-14 10:11:12.123", "2020-09-14T10:11:12.123Z"),
        ("2020-09-14 10:11:12 +0200", "2020-09-14T10:11:12+02:00"),
        ("2020-09-14T10:11:12,5", "2020-09-14T10:11:12.5Z"),
        (1600078272, "2020-09-14T10:11:12.000000Z"),
        (1600078272.5, "2020-09-14T10:11:12.500000Z"),
        (1600078272123, "2020-09-14T10:11:12.123000Z"),
        (1600078272123456, "2020-09-14T10:11:12.123456Z"),
        (1600078272123456789, "2020-09-14T10:11:12.123456Z"),
        ("1600078272123", "2020-09-14T10:11:12.123000Z"),
        ("/Date(1600078272123)/", "2020-09-14T10:11:12.123000Z"),
        ("2020-13-14 10:11:12", None),
        ("Sep 14, 2020, 7:01:26 AM", None),
        ("", None),
        (0, None),
        (True, None),
        (1e300, None),
        ([], None),
    ],
)
def test_moments_are_read_as_others_write_them(written: Any, read: str | None) -> None:
    assert moment(written) == read


# ---- rules -----------------------------------------------------------------------------


def mapped(record: Row, *spellings: str) -> Row:
    parsed = [rules.parse_rule(words) for words in spellings]
    told = rules.apply(parsed, rules.bare(record), record)
    read_event(told, now=NOW)
    return told


def test_rules_take_fields_by_path_and_words_by_themselves() -> None:
    record: Row = {
        "action": "delete",
        "who": {"id": 7, "a.b": "x"},
        "list": [{"k": "v"}],
        "ok": False,
        "t": 1600078272,
    }
    told = mapped(
        record,
        "name=action",
        "event_type==app.delete",
        "actor.id=who.id",
        "actor.name=who.a.b",
        "target.id=list.0.k",
        "context.nothing=not.there",
        "outcome=ok",
        "occurred_at=t",
    )
    assert told == {
        "name": "delete",
        "event_type": "app.delete",
        "detail": "delete",
        "event_data": record,
        "actor": {"id": "7", "name": "x"},
        "targets": [{"id": "v"}],
        "context": {},
        "outcome": "failure",
        "occurred_at": "2020-09-14T10:11:12.000000Z",
    }


@pytest.mark.parametrize(
    "words", ["name", "=x", "name=", "nome=x", "actor=x", "a.b.c=x", "actor.=x"]
)
def test_a_rule_that_is_none_is_refused(words: str) -> None:
    with pytest.raises(InvalidInput, match="the fields are"):
        rules.parse_rule(words)
