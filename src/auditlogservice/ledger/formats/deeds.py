"""What kind of deed an event is, told from the words of its `event_type`.

Foreign schemas sort events into kinds of their own; sources name them as they like:
`user.created`, `aws.iam.CreateUser`, `auth.login`. What has none of these words is `other`.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from auditlogservice.ledger.formats.mapping import Fields

Verb: TypeAlias = Literal["create", "read", "update", "delete", "other"]
Session: TypeAlias = Literal["logon", "logoff"]

_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")

_SESSIONS: dict[str, Session] = {
    "login": "logon", "logon": "logon", "signin": "logon", "authenticate": "logon",
    "authenticated": "logon", "authentication": "logon",
    "logout": "logoff", "logoff": "logoff", "signout": "logoff",
}  # fmt: skip
_PAIRS = {("log", "in"), ("log", "on"), ("sign", "in"), ("log", "out"), ("log", "off"),
          ("sign", "out"), ("logged", "in"), ("logged", "out"), ("signed", "in"),
          ("signed", "out")}  # fmt: skip
_OUT = {"out", "off"}

_STEMS: dict[Verb, tuple[str, ...]] = {
    "create": ("create", "add", "insert", "register", "upload", "import", "run", "issue"),
    "read": (
        "read", "get", "list", "describe", "view", "download", "search", "query", "head",
        "lookup", "export", "fetch", "access",
    ),
    "update": (
        "update", "change", "modify", "set", "put", "patch", "edit", "rename", "attach", "detach",
        "enable", "disable", "rotate", "grant", "revoke", "assign", "lock", "unlock", "reset",
    ),
    "delete": ("delete", "remove", "destroy", "erase", "drop", "terminate", "purge"),
}  # fmt: skip

# Event types that have numbers instead of words.
_SPELLED = {
    f"windows.security-auditing.{number}": words
    for number, words in {
        4624: "logon", 4625: "logon", 4648: "logon", 4634: "logoff", 4647: "logoff",
        4720: "user create", 4722: "user enable", 4723: "user password change",
        4724: "user password reset", 4725: "user disable", 4726: "user delete",
        4738: "user change", 4740: "user lock", 4767: "user unlock", 4781: "user rename",
    }.items()
}  # fmt: skip

ACCOUNTS = frozenset({"user", "users", "account", "accounts", "role"})


def words_of(event_type: str) -> list[str]:
    """Return the words of an event type; a capital begins a new one."""
    spelled = _SPELLED.get(event_type, event_type)
    return [word.lower() for word in _WORD.findall(spelled)]


def session_of(fields: Fields) -> Session | None:
    """Whether this is about a session, and what became of it."""
    words = words_of(fields["event_type"])
    for word in words:
        if word in _SESSIONS:
            return _SESSIONS[word]
    for pair in pairwise(words):
        if pair in _PAIRS:
            return "logoff" if pair[1] in _OUT else "logon"
    return None


def verb_of(fields: Fields) -> Verb:
    """Return what was done, by the last word that says it: `policy.list.delete` deletes."""
    for word in reversed(words_of(fields["event_type"])):
        if word in _VERBS:
            return _VERBS[word]
    return "other"


def is_about_account(fields: Fields) -> bool:
    """Whether it is done to a user: the type says so, and so does the first target's, if any."""
    target = first_target(fields)
    return (
        not ACCOUNTS.isdisjoint(words_of(fields["event_type"]))
        and bool(target.get("id") or target.get("name"))
        and (not target.get("type") or not ACCOUNTS.isdisjoint(words_of(target["type"])))
    )


def first_target(fields: Fields) -> Fields:
    return next(iter(fields.get("targets") or ()), {})


def _forms(stem: str) -> tuple[str, ...]:
    """How a verb stands in event types: create, creates, created."""
    past = f"{stem}d" if stem.endswith("e") else f"{stem}ed"
    if stem.endswith("y"):
        past = f"{stem[:-1]}ied"
    return stem, f"{stem}s", past


_VERBS: dict[str, Verb] = {
    form: verb for verb, stems in _STEMS.items() for stem in stems for form in _forms(stem)
}
