"""The events that are told: cloud calls, Windows logons, Kubernetes calls and web logins.

Their shapes and sizes, 0.4 to 2 kB, are those of the real logs in tests/data and of the
Kubernetes audit format; their values are made up. Event number n is the same in each run.
"""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, TypeAlias

from auditlogservice.entries import SALT_BYTES
from auditlogservice.errors import AuditLogError
from auditlogservice.events import Draft, EventId, read_event
from auditlogservice.store.port import Submission
from auditlogservice.terms import terms_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from auditlogservice.store.port import EventStore

Told: TypeAlias = "dict[str, object]"

START = datetime(2026, 1, 1, tzinfo=UTC)
EVERY = timedelta(seconds=0.5)  # between two events
USER = "writer"

INSTANCES = 1_000  # one in four events names one of them
RARE_NAME = "Password Changed"  # one event in RARE
RARE = 500
WORDS = 2_000  # each event has one of them, told in `detail`

# What Windows adds to the message of each of these events.
_EXPLAINED = (
    "\r\nThis event is generated when a logon session is created. It is generated on the computer"
    " that was accessed.\r\n\r\nThe subject fields indicate the account on the local system which"
    " requested the logon. This is most commonly a service such as the Server service, or a local"
    " process such as Winlogon.exe or Services.exe.\r\n\r\nThe logon type field indicates the kind"
    " of logon that occurred. The most common types are 2 (interactive) and 3 (network).\r\n\r\n"
    "The New Logon fields indicate the account for whom the new logon was created, i.e. the"
    " account that was logged on.\r\n\r\nThe network fields indicate where a remote logon request"
    " originated. Workstation name is not always available and may be left blank in some cases."
)

_CALLS = ("DescribeInstances", "RunInstances", "AssumeRole", "GetObject", "PutObject")
_VERBS = ("get", "list", "watch", "create", "update", "patch", "delete")
_AGENTS = (
    "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 15_5) AppleWebKit/605.1.15 Version/18.5 Safari/605.1",
)


def event(number: int) -> Told:
    """Return event number `number`, as a caller tells it."""
    chance = random.Random(number)
    shape = (_cloud_call, _windows_logon, _kubernetes_call, _web_login)[number % 4]
    return shape(number, chance)


def body(number: int) -> bytes:
    return json.dumps(event(number), separators=(",", ":")).encode()


def batch_body(first: int, end: int) -> bytes:
    """Return the body of a request with these events, from `first` to before `end`."""
    return b"[" + b",".join(body(number) for number in range(first, end)) + b"]"


def instance(number: int) -> str:
    return f"i-{number % INSTANCES:017x}"


def word(number: int) -> str:
    return f"ticket{number % WORDS}"


def draft(number: int, told: Told, *, tenant: str, user: str) -> Draft:
    """Return what the recorder would make of the event, with an id and a salt of the number."""
    moment = START + number * EVERY
    read = read_event(told, now=moment)  # type: ignore[arg-type] # it is JSON
    return Draft(
        id=EventId(f"{number:024x}"),
        tenant=tenant,
        user_id=user,
        keyed=False,
        received_at=moment,
        fingerprint=read.fingerprint,
        body=read.body,
        terms=terms_of({**read.told, "user_id": user}),
        salt=random.Random(number).randbytes(SALT_BYTES),
    )


async def keep(store: EventStore, drafts: Iterable[Draft]) -> None:
    """Have a store keep them all. Raises what kept it from that, which may be its answer."""
    (answer,) = await store.append([Submission(tuple(drafts))])
    if isinstance(answer, AuditLogError):
        raise answer


def _address(chance: random.Random) -> str:
    return f"10.{chance.randrange(256)}.{chance.randrange(256)}.{chance.randrange(1, 255)}"


def _cloud_call(number: int, chance: random.Random) -> Told:
    call, user = chance.choice(_CALLS), f"user{chance.randrange(5_000):04d}"
    account = f"{chance.randrange(10**11, 10**12)}"
    return {
        "name": call,
        "event_type": "cloud.api",
        "detail": f"{user} called {call} for {word(number)}",
        "occurred_at": (START + number * EVERY).isoformat(),
        "actor": {"id": user, "type": "IAMUser", "name": user},
        "outcome": "success" if chance.random() < 0.9 else "failure",
        "source": "cloudtrail",
        "context": {"ip": _address(chance), "request_id": f"{chance.getrandbits(128):032x}"},
        "event_data": {
            "eventVersion": "1.09",
            "eventSource": "ec2.amazonaws.com",
            "awsRegion": chance.choice(("us-east-1", "eu-central-1", "ap-south-1")),
            "eventID": f"{chance.getrandbits(128):032x}",
            "eventType": "AwsApiCall",
            "userAgent": "aws-cli/2.27.49 md/awscrt#0.26.1 ua/2.1 os/linux#6.8 lang/python#3.13",
            "userIdentity": {
                "arn": f"arn:aws:iam::{account}:user/{user}",
                "accountId": account,
                "principalId": f"AIDA{chance.getrandbits(64):016X}",
                "sessionContext": {"attributes": {"mfaAuthenticated": "true"}},
            },
            "requestParameters": {
                "instanceId": instance(number // 4),
                "filterSet": {"items": [{"name": "tag:team", "value": f"t{number % 40}"}]},
                "maxResults": 1000,
            },
            "responseElements": None,
        },
    }


def _windows_logon(number: int, chance: random.Random) -> Told:
    account, process = f"svc-{chance.randrange(900):03d}", f"0x{chance.randrange(65_536):x}"
    computer = f"WS-{chance.randrange(3_000):04d}.corp.example.com"
    sid = f"S-1-5-21-3768430097-3400800235-1714852860-{chance.randrange(1_000, 9_999)}"
    logon = f"0x{chance.randrange(16**6):x}"
    message = (
        f"An account was successfully logged on.\r\n\r\nSubject:\r\n\tSecurity ID:\t\t{sid}\r\n"
        f"\tAccount Name:\t\t{account}\r\n\tAccount Domain:\t\tCORP\r\n\tLogon ID:\t\t{logon}"
        "\r\n\r\nLogon Information:\r\n\tLogon Type:\t\t3\r\n\tRestricted Admin Mode:\t-\r\n"
        "\tVirtual Account:\t\tNo\r\n\tElevated Token:\t\tYes\r\n\r\nImpersonation Level:\t\t"
        f"Impersonation\r\n\r\nProcess Information:\r\n\tProcess ID:\t\t{process}\r\n\tProcess "
        "Name:\t\tC:\\Windows\\System32\\svchost.exe\r\n\r\nNetwork Information:\r\n\tWorkstation"
        f" Name:\t{computer}\r\n\tSource Network Address:\t{_address(chance)}\r\n{_EXPLAINED}"
    )
    return {
        "name": "An account was successfully logged on",
        "event_type": "windows.4624",
        "detail": f"{account} logged on to {computer} for {word(number)}",
        "actor": {"id": sid, "type": "account", "name": account},
        "targets": [{"id": computer, "type": "computer"}],
        "outcome": "success",
        "source": "windows-security",
        "context": {"ip": _address(chance), "session_id": logon},
        "event_data": {
            "Channel": "Security",
            "EventID": 4624,
            "ProviderGuid": "{54849625-5478-4994-a5ba-3e3b0328c30d}",
            "Keywords": "0x8020000000000000",
            "Hostname": computer,
            "LogonType": "3",
            "ProcessId": process,
            "SubjectUserSid": sid,
            "SubjectUserName": account,
            "Message": message,
        },
    }


def _kubernetes_call(number: int, chance: random.Random) -> Told:
    verb, namespace = chance.choice(_VERBS), f"team-{chance.randrange(80)}"
    pod = f"api-{chance.getrandbits(40):010x}"
    user = f"system:serviceaccount:{namespace}:deployer"
    return {
        "name": f"{verb} pods",
        "event_type": f"kubernetes.{verb}",
        "detail": f"{user} did {verb} {pod} for {word(number)}",
        "actor": {"id": user, "type": "serviceaccount", "groups": ["system:authenticated"]},
        "targets": [{"id": f"{namespace}/{pod}", "type": "pods", "name": pod}],
        "outcome": "success" if chance.random() < 0.95 else "failure",
        "source": "kube-apiserver",
        "context": {"ip": _address(chance), "user_agent": "kubectl/v1.33.2 (linux/amd64)"},
        "event_data": {
            "apiVersion": "audit.k8s.io/v1",
            "level": "RequestResponse",
            "auditID": f"{chance.getrandbits(128):032x}",
            "stage": "ResponseComplete",
            "requestURI": f"/api/v1/namespaces/{namespace}/pods/{pod}",
            "objectRef": {"resource": "pods", "namespace": namespace, "apiVersion": "v1"},
            "responseStatus": {"code": 200},
            "annotations": {
                "authorization.k8s.io/decision": "allow",
                "authorization.k8s.io/reason": f'RoleBinding "deployers/{namespace}"',
            },
        },
    }


def _web_login(number: int, chance: random.Random) -> Told:
    user = f"customer{chance.randrange(20_000):05d}"
    return {
        "name": RARE_NAME if number % RARE == RARE - 1 else "User Logged In",
        "event_type": "auth.login",
        "detail": f"{user} signed in for {word(number)}",
        "actor": {"id": user, "type": "user"},
        "outcome": "success" if chance.random() < 0.8 else "failure",
        "source": "web-shop",
        "context": {"ip": _address(chance), "user_agent": chance.choice(_AGENTS)},
        "event_data": {"method": chance.choice(("password", "passkey")), "attempt": number % 3},
    }
