"""A token lets in whom a node vouched for, for as long as it may, and nobody else."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc.jwk import OKPKey

from auditlogservice.access import Principal, Scope, User
from auditlogservice.errors import NotAuthenticated, StoreUnreachable
from auditlogservice.ledger.identity.callers import MAX_TOKEN_BYTES, Callers
from auditlogservice.ledger.identity.clients import Clients
from auditlogservice.ledger.identity.owners import FRESHNESS, Owners
from auditlogservice.ledger.identity.tenants import Tenants
from auditlogservice.ledger.identity.tokenkeys import ALGORITHM, TokenKeys
from auditlogservice.ledger.identity.tokens import TYPE, Tokens
from auditlogservice.store.port import UserChange, VerificationKey
from auditlogservice.store.sqlite import open_sqlite
from strategies import NOON

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from auditlogservice.store.port import AccountStore
    from auditlogservice.store.sqlite import SqliteStore

ISSUER = "https://log.example"
SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)
ALL = frozenset(Scope)


class Clock:
    """A clock that stands still until it is told otherwise."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now


@dataclass
class Watched:
    """The accounts of a store, with its reads of keys counted, and held up if asked."""

    store: AccountStore
    asked: int = 0
    running: int = 0
    most: int = 0
    answered: asyncio.Event = field(default_factory=asyncio.Event)  # the keys are read …
    release: asyncio.Event = field(default_factory=asyncio.Event)  # … and now they are handed over
    broken: bool = False

    def __post_init__(self) -> None:
        self.release.set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    async def keys(self) -> list[VerificationKey]:
        self.asked += 1
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            if self.broken:
                await self.release.wait()
                raise StoreUnreachable
            found = await self.store.keys()
            self.answered.set()
            await self.release.wait()
            return found
        finally:
            self.running -= 1


@dataclass
class World:
    """One store, one clock, one user, and as many nodes as a test asks for."""

    clock: Clock
    store: SqliteStore
    user: User
    key: Ed25519PrivateKey

    def node(
        self,
        key: Ed25519PrivateKey | None = None,
        *,
        store: Any = None,
        lifetime: timedelta = HOUR,
    ) -> Tokens:
        return make_node(
            store or self.store.accounts,
            self.store,
            _as_jwk(key or Ed25519PrivateKey.generate()),
            clock=self.clock,
            lifetime=lifetime,
        )


@dataclass
class OwnKey:
    """A key that is in no file."""

    key: OKPKey

    def current(self) -> OKPKey:
        return self.key

    def renew(self, key_id: str) -> OKPKey:
        if self.key.thumbprint() == key_id:
            self.key = OKPKey.generate_key("Ed25519")
        return self.key


def make_node(
    accounts: Any,
    store: SqliteStore,
    key: OKPKey,
    *,
    clock: Clock,
    lifetime: timedelta = HOUR,
) -> Tokens:
    def entropy(length: int) -> bytes:
        return b"\xab" * length

    documents = store.documents
    tenants = Tenants(documents, accounts=store.accounts, ledger=store.ledger, clock=clock)
    clients = Clients(documents, tenants=tenants, clock=clock, entropy=entropy)
    return Tokens(
        documents,
        Owners(accounts, documents, clients, clock=clock),
        TokenKeys(accounts, documents, OwnKey(key), clock=clock),
        issuer=ISSUER,
        clock=clock,
        entropy=entropy,
        lifetime=lifetime,
    )


def _as_jwk(key: Ed25519PrivateKey) -> OKPKey:
    return OKPKey.import_key(key)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    store = await open_sqlite(":memory:")
    user = User(
        id="id of alice",
        name="alice",
        tenant="acme",
        scopes=ALL,
        password_hash="$argon2id$…",
        disabled=False,
        created_at=NOON,
    )
    await store.accounts.add_user(user)
    yield World(Clock(), store, user, Ed25519PrivateKey.generate())
    await store.close()


async def _is_good(node: Tokens, token: str) -> bool:
    try:
        await Callers(node, node).check(token)
    except NotAuthenticated as error:
        return not error.tried  # a refusal that says there was no token is no right one
    return True


# ---- what a token says ------------------------------------------------------------------


async def test_a_token_speaks_for_its_user(world: World) -> None:
    node = world.node()
    token = await node.issue(world.user)
    assert await node.check(token.text) == Principal(
        user_id="id of alice", name="alice", tenant="acme", scopes=ALL, token_id="ab" * 16
    )
    assert (token.expires_in, token.scopes) == (3_600, ALL)


async def test_a_token_is_a_jwt_of_rfc_9068_signed_with_ed25519(world: World) -> None:
    token = await world.node(world.key).issue(world.user)
    signed, _, signature = token.text.rpartition(".")
    world.key.public_key().verify(_decode(signature), signed.encode())
    header, claims = (json.loads(_decode(part)) for part in signed.split("."))
    assert header == {
        "alg": "Ed25519", "typ": "at+jwt", "kid": _as_jwk(world.key).thumbprint(),
    }  # fmt: skip
    assert claims == {
        "iss": "https://log.example",
        "aud": "https://log.example",
        "sub": "id of alice",
        "client_id": "alice",
        "scope": "events:write events:read events:export events:delete ledger:read "
        "users:manage streams:manage tenants:manage admin",
        "iat": int(NOON.timestamp()),
        "exp": int((NOON + HOUR).timestamp()),
        "jti": "ab" * 16,
        "generation": 0,
    }


async def test_the_private_half_of_the_key_never_reaches_the_store(world: World) -> None:
    await world.node(world.key).issue(world.user)
    (kept,) = await world.store.accounts.keys()
    public = json.loads(kept.public)
    assert "d" not in public
    assert _decode(public["x"]) == world.key.public_key().public_bytes(
        Encoding.Raw, PublicFormat.Raw
    )


# ---- how long ---------------------------------------------------------------------------


@pytest.mark.parametrize("seen_before", [True, False])
async def test_a_token_ends_when_the_clock_says_so(world: World, *, seen_before: bool) -> None:
    node = world.node()
    token = (await node.issue(world.user)).text
    if seen_before:
        assert await _is_good(node, token)
    end = datetime.fromtimestamp((NOON + HOUR).timestamp() // 1, NOON.tzinfo)
    world.clock.now = end - timedelta(microseconds=1)
    assert await _is_good(node, token)
    world.clock.now = end
    assert not await _is_good(node, token)
    world.clock.now = end + 100 * HOUR
    assert not await _is_good(node, token)


async def test_a_key_is_known_for_as_long_as_its_tokens_live(world: World) -> None:
    """A node publishes its key seldom; even the last token under one publication is believed."""
    one = world.node(lifetime=HOUR)
    for _ in range(60):
        token = (await one.issue(world.user)).text
        issued = world.clock.now
        world.clock.now = issued + HOUR - 2 * SECOND
        assert await _is_good(world.node(), token)
        world.clock.now = issued + HOUR


async def test_a_key_is_published_once_a_day_and_not_with_every_token(world: World) -> None:
    published = []

    class Counting(Watched):
        async def publish_key(self, key: VerificationKey) -> None:
            published.append(key.expires_at)
            await self.store.publish_key(key)

    node = world.node(store=Counting(world.store.accounts))
    for _ in range(50):
        await node.issue(world.user)
        world.clock.now += HOUR
    assert len(published) in {2, 3}


# ---- scopes -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "given"),
    [
        (None, ALL - {Scope.EVENTS_DELETE}),
        (frozenset({Scope.EVENTS_READ}), {Scope.EVENTS_READ}),
        (frozenset({Scope.EVENTS_DELETE}), set()),
        (frozenset({Scope.EVENTS_DELETE, Scope.EVENTS_WRITE}), {Scope.EVENTS_WRITE}),
        (frozenset(), set()),
    ],
)
async def test_a_token_has_those_of_the_wanted_scopes_that_its_user_has(
    world: World, wanted: frozenset[Scope] | None, given: set[Scope]
) -> None:
    change = UserChange(scopes=ALL - {Scope.EVENTS_DELETE})
    user = await world.store.accounts.change_user(world.user.id, change)
    node = world.node()
    token = await node.issue(user, wanted)
    assert token.scopes == given
    assert (await node.check(token.text)).scopes == given


async def test_a_scope_that_is_taken_away_is_gone_from_every_token(world: World) -> None:
    nodes = world.node(), world.node()
    token = (await nodes[0].issue(world.user)).text
    for node in nodes:
        assert (await node.check(token)).scopes == ALL
    left = frozenset({Scope.EVENTS_READ})
    await world.store.accounts.change_user(world.user.id, UserChange(scopes=left))
    world.clock.now += FRESHNESS
    for node in nodes:
        assert (await node.check(token)).scopes == left


async def test_a_scope_that_is_given_later_is_not_in_an_older_token(world: World) -> None:
    few = replace(world.user, scopes=frozenset({Scope.EVENTS_READ}))
    node = world.node()
    token = (await node.issue(few)).text
    assert (await node.check(token)).scopes == few.scopes


# ---- users who go -------------------------------------------------------------------------


async def _disable(accounts: AccountStore, user: User) -> None:
    await accounts.change_user(user.id, UserChange(disabled=True))


async def _give_a_new_password(accounts: AccountStore, user: User) -> None:
    await accounts.change_user(user.id, UserChange(password_hash="another hash"))


async def _remove(accounts: AccountStore, user: User) -> None:
    await accounts.remove_user(user.id)


async def _recreate(accounts: AccountStore, user: User) -> None:
    await accounts.remove_user(user.id)
    await accounts.add_user(replace(user, id="another id"))


@pytest.mark.parametrize("go", [_disable, _remove, _recreate, _give_a_new_password])
async def test_who_is_gone_is_out_on_every_node_within_the_promised_time(
    world: World, go: Callable[[AccountStore, User], Any]
) -> None:
    nodes = world.node(), world.node()
    token = (await nodes[0].issue(world.user)).text
    for node in nodes:
        assert await _is_good(node, token)
    await go(world.store.accounts, world.user)
    world.clock.now += FRESHNESS
    assert [await _is_good(node, token) for node in nodes] == [False, False]


async def test_a_token_under_the_new_password_is_good_at_once_where_the_old_one_is_remembered(
    world: World,
) -> None:
    nodes = world.node(), world.node()
    old = (await nodes[0].issue(world.user)).text
    for node in nodes:
        assert await _is_good(node, old)
    user = await world.store.accounts.change_user(world.user.id, UserChange(password_hash="new"))
    new = (await nodes[0].issue(user)).text
    assert [await _is_good(node, new) for node in nodes] == [True, True]
    assert [await _is_good(node, old) for node in nodes] == [False, False]


async def test_who_signed_in_with_the_old_password_while_it_was_changed_gets_nothing_of_it(
    world: World,
) -> None:
    """The old password was right when it was looked at; the token comes after the change."""
    await _give_a_new_password(world.store.accounts, world.user)
    assert not await _is_good(world.node(), (await world.node().issue(world.user)).text)


def test_who_is_gone_is_out_within_a_second() -> None:
    assert timedelta(0) < FRESHNESS < SECOND


async def test_a_clock_that_goes_back_does_not_keep_anyone_in(world: World) -> None:
    node = world.node()
    token = (await node.issue(world.user)).text
    assert await _is_good(node, token)
    await _disable(world.store.accounts, world.user)
    world.clock.now -= HOUR
    assert not await _is_good(node, token)


async def test_freshness_counts_from_before_the_question(world: World) -> None:
    """The store may take its time; what it read may be old when it is told."""

    class Slow(Watched):
        async def user_with_id(self, user_id: str) -> User | None:
            user = await self.store.user_with_id(user_id)
            world.clock.now += FRESHNESS
            return user

    node = world.node(store=Slow(world.store.accounts))
    token = (await node.issue(world.user)).text
    assert await _is_good(node, token)
    await _disable(world.store.accounts, world.user)
    assert not await _is_good(node, token)


# ---- nodes believe one another --------------------------------------------------------------


async def test_a_token_of_one_node_is_good_on_another_at_once(world: World) -> None:
    one, other = world.node(), world.node()
    assert await _is_good(other, (await one.issue(world.user)).text)


@pytest.mark.parametrize("later", [-HOUR, timedelta(0), SECOND], ids=str)
async def test_a_node_that_has_just_read_the_keys_learns_a_newer_one(
    world: World, later: timedelta
) -> None:
    """Whatever its clock says: it may stand still, and it may be set back."""
    one, other = world.node(), world.node()
    own = (await other.issue(world.user)).text
    assert await _is_good(other, own)
    world.clock.now += later
    assert await _is_good(other, (await one.issue(world.user)).text)


async def test_a_key_published_while_the_keys_are_read_is_found(world: World) -> None:
    store = Watched(world.store.accounts)
    one, other = world.node(), world.node(store=store)
    store.release.clear()
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        # The answer for this one is read, but on its way, when the key is published.
        tasks.create_task(_is_good(other, await _unknown(world)))
        await store.answered.wait()
        token = (await one.issue(world.user)).text
        world.clock.now += SECOND
        checked = tasks.create_task(_is_good(other, token))
        await asyncio.sleep(0.01)
        world.clock.now += SECOND
        store.release.set()
    assert checked.result()


async def test_after_a_failed_read_of_the_keys_the_next_one_counts(world: World) -> None:
    store = Watched(world.store.accounts)
    one, other = world.node(), world.node(store=store)
    token = (await one.issue(world.user)).text
    store.broken = True
    for _ in range(2):
        with pytest.raises(StoreUnreachable):
            await other.check(token)
    store.broken = False
    assert await _is_good(other, token)


async def test_an_expired_key_in_the_store_is_believed_by_nobody(world: World) -> None:
    one, other = world.node(world.key), world.node()
    token = (await one.issue(world.user)).text
    (kept,) = await world.store.accounts.keys()
    await world.store.accounts.publish_key(replace(kept, expires_at=NOON))
    assert not await _is_good(other, token)


async def test_a_token_that_is_seen_again_asks_for_no_keys(world: World) -> None:
    store = Watched(world.store.accounts)
    node = world.node(store=store)
    token = (await node.issue(world.user)).text
    for _ in range(10):
        assert await _is_good(node, token)
    assert store.asked == 1


async def _unknown(world: World, number: int = 0) -> str:
    """A token of a node that never published its key, in a world of its own."""
    elsewhere = await open_sqlite(":memory:")
    key = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"%d" % number).digest())
    node = make_node(elsewhere.accounts, elsewhere, _as_jwk(key), clock=world.clock)
    token = await node.issue(world.user)
    await elsewhere.close()
    return token.text


async def test_a_flood_of_unknown_keys_asks_the_store_one_question_at_a_time(world: World) -> None:
    store = Watched(world.store.accounts)
    node = world.node(store=store)
    tokens = [await _unknown(world, number) for number in range(50)]
    async with asyncio.timeout(10):
        good = await asyncio.gather(*(_is_good(node, token) for token in tokens))
    assert not any(good)
    assert store.most == 1
    # Those who waited are answered by a question that was asked after they came.
    assert store.asked <= 2


async def test_while_the_store_is_out_one_question_fails_for_all_who_wait_for_it(
    world: World,
) -> None:
    """Each question takes as long as the store's time limit: one after the other is too slow."""
    store = Watched(world.store.accounts)
    node = world.node(store=store)
    good = (await node.issue(world.user)).text
    assert await _is_good(node, good)
    other = (await node.issue(world.user, ALL - {Scope.EVENTS_READ})).text
    tokens = [await _unknown(world, number) for number in range(50)]
    store.broken = True
    store.release.clear()
    asked = store.asked
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        waiting = [tasks.create_task(_outcome(node, token)) for token in tokens]
        await asyncio.sleep(0.01)
        for token in (good, other):  # other was never seen, but its key was
            assert await _is_good(node, token)
        store.release.set()
    assert [task.result() for task in waiting] == [StoreUnreachable] * 50
    assert store.asked == asked + 1


async def test_who_hangs_up_while_asking_leaves_the_question_to_the_next(world: World) -> None:
    store = Watched(world.store.accounts)
    one, other = world.node(), world.node(store=store)
    token = (await one.issue(world.user)).text
    store.release.clear()
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        first = tasks.create_task(_is_good(other, token))
        await store.answered.wait()
        second = tasks.create_task(_is_good(other, token))
        await asyncio.sleep(0)
        first.cancel()
        store.release.set()
    assert second.result()


async def _outcome(node: Tokens, token: str) -> type[Exception] | None:
    try:
        await node.check(token)
    except (NotAuthenticated, StoreUnreachable) as error:
        return type(error)
    return None


async def test_a_good_token_is_not_held_up_by_unknown_keys_for_good(world: World) -> None:
    store = Watched(world.store.accounts)
    node = world.node(store=store)
    token = (await node.issue(world.user)).text
    unknown = [await _unknown(world, number) for number in range(20)]
    async with asyncio.timeout(10):
        good = await asyncio.gather(
            *(_is_good(node, one) for one in [*unknown, token, *reversed(unknown)])
        )
    assert good == [False] * 20 + [True] + [False] * 20


# ---- forged tokens ----------------------------------------------------------------------------


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Forger:
    """Has a good token, and makes others of its parts. `sign` even has the node's own key."""

    def __init__(self, good: str, key: Ed25519PrivateKey) -> None:
        self.good = good
        self.parts = good.split(".")
        self.header: dict[str, Any] = json.loads(_decode(self.parts[0]))
        self.claims: dict[str, Any] = json.loads(_decode(self.parts[1]))
        self.signature = _decode(self.parts[2])
        self.key = key
        self.jwk = _as_jwk(key)
        self.pem = self.jwk.as_pem(private=False)
        self.public: dict[str, Any] = self.jwk.as_dict(private=False)
        raw = Ed25519PrivateKey.generate()
        self.own_key, self.own_jwk = raw, _as_jwk(raw)

    def unsigned(self, header: object, claims: object) -> str:
        return f"{_encode(_json(header))}.{_encode(_json(claims))}"

    def sign(self, header: object = None, claims: object = None) -> str:
        text = self.unsigned(
            self.header if header is None else header, self.claims if claims is None else claims
        )
        return f"{text}.{_encode(self.key.sign(text.encode()))}"

    def sign_myself(self, header: object) -> str:
        text = self.unsigned(header, self.claims)
        return f"{text}.{_encode(self.own_key.sign(text.encode()))}"

    def hmac(self, secret: bytes, header: object) -> str:
        text = self.unsigned(header, self.claims)
        return f"{text}.{_encode(hmac.digest(secret, text.encode(), hashlib.sha256))}"

    def with_header(self, **changes: Any) -> dict[str, Any]:
        return {**self.header, **changes}

    def with_claims(self, **changes: Any) -> dict[str, Any]:
        return {**self.claims, **changes}

    def without_claim(self, name: str) -> dict[str, Any]:
        return {key: value for key, value in self.claims.items() if key != name}

    def without_header(self, name: str) -> dict[str, Any]:
        return {key: value for key, value in self.header.items() if key != name}

    def flip(self, part: int, place: int) -> str:
        parts = list(self.parts)
        text = parts[part]
        parts[part] = text[:place] + ("A" if text[place] != "A" else "B") + text[place + 1 :]
        return ".".join(parts)


def _json(value: object) -> bytes:
    return value if isinstance(value, bytes) else json.dumps(value).encode()


NO_TEXTS: list[Any] = [None, 5, True, [], {}]
NO_MOMENTS: list[Any] = [
    "", None, True, [], {}, 1e300, 10**30, float("inf"), -float("inf"), float("nan"),
]  # fmt: skip
NO_GENERATIONS: list[Any] = [1, -1, 10**30, 0.0, "0", "\ud800", False, *NO_TEXTS]
PAST = int((NOON - SECOND).timestamp())

FORGED: dict[str, Callable[[Forger], str | list[str]]] = {
    # no signature, or one of another kind
    "alg none, no signature": lambda f: [
        f.unsigned(f.with_header(alg=none), f.claims) + "." for none in ("none", "None", "")
    ],
    "alg none, the signature left": lambda f: (
        f.unsigned(f.with_header(alg="none"), f.claims) + "." + f.parts[2]
    ),
    "no alg": lambda f: f.sign(f.without_header("alg")),
    "alg EdDSA, rightly signed": lambda f: f.sign(f.with_header(alg="EdDSA")),
    "alg in lower case": lambda f: f.sign(f.with_header(alg="ed25519")),
    "alg no text": lambda f: [f.sign(f.with_header(alg=alg)) for alg in NO_TEXTS],
    "alg ES256": lambda f: f.sign(f.with_header(alg="ES256")),
    "HS256 with the public key as PEM": lambda f: f.hmac(f.pem, f.with_header(alg="HS256")),
    "HS256 with the public key as JWK": lambda f: [
        f.hmac(secret, f.with_header(alg="HS256"))
        for secret in (
            json.dumps(f.public, sort_keys=True).encode(),
            f.public["x"].encode(),
            _decode(f.public["x"]),
            b"",
        )
    ],
    "HMAC called Ed25519": lambda f: f.hmac(f.pem, f.header),
    "no signature": lambda f: [".".join(f.parts[:2]), ".".join(f.parts[:2]) + "."],
    "a signature of zeros": lambda f: ".".join([*f.parts[:2], _encode(bytes(64))]),
    "a short signature": lambda f: [
        ".".join([*f.parts[:2], _encode(f.signature[:length])]) for length in (1, 32, 63)
    ],
    "a long signature": lambda f: ".".join([*f.parts[:2], _encode(f.signature + b"\0")]),
    "a signature with a flipped bit": lambda f: [
        f.flip(2, place) for place in (0, 1, 42, 43, 84, -1)
    ],
    "a flipped character in the header or the claims": lambda f: [
        f.flip(part, place) for part in (0, 1) for place in (0, 5, -1)
    ],
    "the signature of another token": lambda f: (
        f.unsigned(f.header, f.with_claims(sub="other")) + "." + f.parts[2]
    ),
    # another key
    "signed by a stranger with our kid": lambda f: f.sign_myself(f.header),
    "signed by a stranger with its own kid": lambda f: f.sign_myself(
        f.with_header(kid=f.own_jwk.thumbprint())
    ),
    "no kid": lambda f: [f.sign(f.without_header("kid")), f.sign_myself(f.without_header("kid"))],
    "a kid that is a path": lambda f: [
        f.sign_myself(f.with_header(kid=kid))
        for kid in ("../../../dev/null", "/etc/passwd", "file:///x", "' OR 1=1 --", "\0", "")
    ],
    "a kid that is no text": lambda f: [
        f.sign_myself(f.with_header(kid=kid)) for kid in (*NO_TEXTS, [f.header["kid"]])
    ],
    "a kid with something added": lambda f: [
        f.sign(f.with_header(kid=kid))
        for kid in (f.header["kid"] + "=", f.header["kid"] + "\0", " " + f.header["kid"])
    ],
    "the key in the header": lambda f: f.sign_myself(
        f.with_header(jwk=f.own_jwk.as_dict(private=False))
    ),
    "an address of keys in the header": lambda f: [
        f.sign_myself(f.with_header(**{name: "https://attacker.example/keys"}))
        for name in ("jku", "x5u")
    ],
    "a certificate in the header": lambda f: [
        f.sign_myself(f.with_header(x5c=["AAAA"])), f.sign(f.with_header(x5c=["AAAA"]))
    ],
    # the header, rightly signed
    "typ of another kind of token": lambda f: [
        f.sign(f.with_header(typ=typ))
        for typ in ("JWT", "jwt", "AT+JWT", "application/at+jwt", "id+jwt", "", None)
    ],
    "no typ": lambda f: f.sign(f.without_header("typ")),
    "crit": lambda f: [
        f.sign(f.with_header(crit=crit)) for crit in ([], ["exp"], ["b64"], "exp", None)
    ],
    "unencoded payload": lambda f: f.sign(f.with_header(b64=False, crit=["b64"])),
    "compressed or nested": lambda f: [
        f.sign(f.with_header(zip="DEF")), f.sign(f.with_header(cty="JWT"))
    ],
    "a header with something added": lambda f: f.sign(f.with_header(x=1)),
    "a header that is no object": lambda f: [
        f.sign(header) for header in (b"[]", b"null", b'"alg"', b"1", b"", b"{", b"\xff", b"NaN")
    ],
    "a header without end": lambda f: [
        f"{_encode(header)}.{f.parts[1]}.{f.parts[2]}"
        for header in (
            b"[" * 2_500,
            b'{"a":' * 480,
            b'{"alg":"Ed25519","typ":"at+jwt","kid":' + b"[" * 1_100 + b"]" * 1_100 + b"}",
            b'{"kid":' + b"9" * 2_500 + b"}",
        )
    ],
    # the claims, rightly signed
    "no iss, aud, exp, sub, jti or scope": lambda f: [
        f.sign(claims=f.without_claim(name))
        for name in ("iss", "aud", "exp", "sub", "jti", "scope")
    ],
    "another iss": lambda f: [
        f.sign(claims=f.with_claims(iss=iss)) for iss in ("other", "", ISSUER.upper(), *NO_TEXTS)
    ],
    "another aud": lambda f: [
        f.sign(claims=f.with_claims(aud=aud)) for aud in ("other", "", ["other"], *NO_TEXTS)
    ],
    "exp in the past": lambda f: [
        f.sign(claims=f.with_claims(exp=exp)) for exp in (PAST, PAST + 0.5, 0, -1, -(10**30))
    ],
    "exp that is no moment": lambda f: [
        f.sign(claims=f.with_claims(exp=exp))
        for exp in (str(f.claims["exp"]), *NO_MOMENTS)
    ],
    "exp of many digits": lambda f: f.sign(
        claims=_json(f.claims).replace(b"%d" % f.claims["exp"], b"9" * 2_000)
    ),
    "sub of nobody": lambda f: [
        f.sign(claims=f.with_claims(sub=sub))
        for sub in ("nobody", "alice", "", "\ud800", "id of alice\udfff", "\0", *NO_TEXTS)
    ],
    "another generation, or none": lambda f: [
        f.sign(claims=f.without_claim("generation")),
        *(
            f.sign(claims=f.with_claims(generation=generation))
            for generation in NO_GENERATIONS
        ),
    ],
    "lone surrogates": lambda f: [
        f.sign(claims=f.with_claims(**{name: "\ud800"})) for name in ("iss", "aud", "exp")
    ],
    "jti that is empty": lambda f: [f.sign(claims=f.with_claims(jti=jti)) for jti in ("", None)],
    "scope that is no text": lambda f: [
        f.sign(claims=f.with_claims(scope=scope))
        for scope in (["events:read"], {"events:read": 1}, 5, None, True)
    ],
    "claims that are no object": lambda f: [
        f.sign(claims=claims) for claims in (b"[]", b"null", b'"x"', b"5", b"", b"{", b"\xff")
    ],
    "claims without end": lambda f: [
        f.sign(claims=b"[" * 2_500), f.sign(claims=b"[" * 1_200 + b"]" * 1_200)
    ],
    # the text itself
    "too few or too many segments": lambda f: [
        "", ".", "..", "...", "a", "a.b", "a.b.c", f.parts[0], f.good + ".", "." + f.good,
        f.good + "." + f.parts[2], f.good + "..", f.good.replace(".", ".."),
    ],
    "padding": lambda f: [
        f.good + "=", f.good + "==", f.good + "===", f.good.replace(".", "=."),
        f.good.replace(".", "==."),
    ],
    "blanks": lambda f: [
        " " + f.good, f.good + " ", f.good + "\n", "\t" + f.good, f.good.replace(".", " . "),
        f.good[:20] + " " + f.good[20:], f.good[:-5] + "\n" + f.good[-5:], f.good + "\0",
    ],
    "other letters than those of base64url": lambda f: [
        f.good + "!", f.good[:-5] + "!" + f.good[-5:], f.good + "+", f.good + "/",
        f.good[:-1] + "é", "é" + f.good, f.good + "\ud800", "😀", f.good.replace(".", "。"),
    ],
    "a signature in plain base64": lambda f: ".".join(
        [*f.parts[:2], base64.b64encode(f.signature).decode()]
    ),
    "the JSON serialisation": lambda f: json.dumps(
        {"payload": f.parts[1], "protected": f.parts[0], "signature": f.parts[2]}
    ),
    "encrypted, by its look": lambda f: ".".join([*f.parts, "AAAA", "AAAA"]),
    "more than 4 KiB, rightly signed": lambda f: f.sign(claims=f.with_claims(more="x" * 4_096)),
    "more than 4 KiB of anything": lambda f: ["A" * 5_000, "." * 10**6, f.good + "A" * 5_000],
}  # fmt: skip


def test_there_are_at_least_40_ways_to_forge() -> None:
    assert len(FORGED) >= 40


@pytest.mark.parametrize("way", FORGED)
@pytest.mark.parametrize("has_keys", [True, False])
async def test_a_forged_token_lets_nobody_in(world: World, way: str, *, has_keys: bool) -> None:
    node = world.node(world.key)
    good = (await node.issue(world.user)).text
    if has_keys:
        assert await _is_good(node, good)
    made = FORGED[way](Forger(good, world.key))
    for token in [made] if isinstance(made, str) else made:
        assert token != good
        assert not await _is_good(node, token), token[:500]
    assert await _is_good(node, good)


async def test_what_the_forger_signs_with_the_right_key_and_leaves_alone_is_good(
    world: World,
) -> None:
    """The control: the table refuses for what each row changes, not for how the row was made."""
    node = world.node(world.key)
    forger = Forger((await node.issue(world.user)).text, world.key)
    for token in (
        forger.sign(),
        forger.sign(dict(reversed(forger.header.items()))),
        forger.sign(claims=forger.with_claims(more="x")),
        forger.sign(claims=forger.with_claims(scope="")),
        forger.sign(claims=forger.with_claims(scope="events:read unheard:of")),
        forger.sign(claims=forger.with_claims(exp=forger.claims["exp"] + 0.5)),
    ):
        assert await _is_good(node, token), token
    assert forger.without_header("kid") == {"alg": ALGORITHM, "typ": TYPE}


async def test_a_scope_that_does_not_exist_gives_nothing(world: World) -> None:
    node = world.node(world.key)
    forger = Forger((await node.issue(world.user)).text, world.key)
    token = forger.sign(claims=forger.with_claims(scope="events:read unheard:of EVENTS:WRITE"))
    assert (await node.check(token)).scopes == {Scope.EVENTS_READ}


async def test_a_token_may_have_4_kib(world: World) -> None:
    node = world.node(world.key)
    forger = Forger((await node.issue(world.user)).text, world.key)
    longest = max(
        (
            token
            for size in range(2_400, 3_000)
            if len(token := forger.sign(claims=forger.with_claims(x="x" * size))) <= 4_096
        ),
        key=len,
    )
    assert MAX_TOKEN_BYTES - 4 < len(longest) <= MAX_TOKEN_BYTES == 4_096
    assert await _is_good(node, longest)


async def test_a_key_of_another_type_in_the_store_lets_nobody_in(world: World) -> None:
    """Who can write to the store is trusted; a damaged entry must still break nothing."""
    node = world.node(world.key)
    forger = Forger((await node.issue(world.user)).text, world.key)
    for number, public in enumerate(
        ('{"kty":"oct","k":"AAAA"}', '{"kty":"EC","crv":"P-256"}', "{}", "[]", "not json", "")
    ):
        accounts = (await open_sqlite(":memory:")).accounts
        await accounts.publish_key(
            VerificationKey(id=f"bad {number}", public=public, expires_at=NOON + HOUR)
        )
        other = world.node(store=accounts)
        assert not await _is_good(other, forger.sign(forger.with_header(kid=f"bad {number}")))
        await accounts._database.close()


async def test_a_damaged_key_in_the_store_does_not_lock_the_other_nodes_out(world: World) -> None:
    node, other = world.node(), world.node()
    await world.store.accounts.publish_key(
        VerificationKey(id="damaged", public="{}", expires_at=NOON + HOUR)
    )
    assert await _is_good(other, (await node.issue(world.user)).text)
