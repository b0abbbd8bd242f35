"""The issuer's keys are known when they are needed, and the issuer is not asked too often."""

from __future__ import annotations

import asyncio
import warnings

import pytest
from issuing import EC, ED, RSA, STRANGER, Issuer, Lines
from joserfc.jwk import OctKey, RSAKey

from auditlogservice.errors import IssuerUnreachable
from auditlogservice.ledger.identity.issuerkeys import IssuerKeys


def keys_of(issuer: Issuer, *, pause: float = 0.0, lines: Lines | None = None) -> IssuerKeys:
    return IssuerKeys(issuer, journal=lines or Lines(), pause=pause)


async def test_a_key_is_fetched_once() -> None:
    issuer = Issuer()
    keys = keys_of(issuer)
    for key in (RSA, EC, ED, RSA):
        found = await keys.find(key.kid)
        assert found
        assert found.thumbprint() == key.thumbprint()
    assert issuer.asked == 1


async def test_a_new_key_is_found_when_a_token_names_it() -> None:
    issuer = Issuer()
    keys = keys_of(issuer)
    assert await keys.find("stranger") is None
    issuer.published = [STRANGER.as_dict(private=False)]
    assert await keys.find("stranger")
    assert await keys.find("ed") is None  # withdrawn


async def test_unknown_keys_are_one_question_in_each_pause() -> None:
    issuer = Issuer()
    keys = keys_of(issuer, pause=60)
    await asyncio.gather(*(keys.find(f"unknown {n}") for n in range(50)))
    assert await keys.find("ed")
    assert issuer.asked == 1


async def test_known_keys_outlive_the_issuer() -> None:
    issuer = Issuer()
    keys = keys_of(issuer)
    assert await keys.find("ed")
    issuer.down = True
    assert await keys.find("unknown") is None
    assert await keys.find("ed")


async def test_where_no_key_was_ever_known_nobody_can_tell() -> None:
    issuer = Issuer(down=True)
    keys = keys_of(issuer)
    with pytest.raises(IssuerUnreachable):
        await keys.find("ed")
    issuer.down = False
    assert await keys.find("ed")


async def test_the_journal_has_each_change_once() -> None:
    issuer, lines = Issuer(), Lines()
    keys = keys_of(issuer, lines=lines)
    await keys.find("ed")
    await keys.find("unknown")
    issuer.down = True
    await keys.find("unknown")
    issuer.down = False
    await keys.find("unknown")
    assert lines.told == [3, "it is down", 3]


async def test_keys_are_fetched_before_anybody_asks() -> None:
    issuer = Issuer()
    lines = Lines()
    keys = keys_of(issuer, pause=60, lines=lines)
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        tasks.create_task(keys.run())
        await lines.changed.wait()
        keys.close()
    issuer.down = True
    assert await keys.find("ed")


async def test_a_token_need_not_name_the_only_key() -> None:
    assert await keys_of(Issuer([EC.as_dict(private=False)])).find(None)
    assert await keys_of(Issuer()).find(None) is None


async def test_keys_that_are_none_do_not_hide_the_others() -> None:
    with warnings.catch_warnings(action="ignore"):  # of the library, about just this
        weak = RSAKey.generate_key(1024, {"kid": "weak"})
    issuer = Issuer(
        [
            "text", None, {}, {"kty": "EC", "kid": "broken"}, {"kty": ["RSA"]},
            OctKey.generate_key(256, {"kid": "secret"}).as_dict(),
            {**RSA.as_dict(private=False), "kid": "for encryption", "use": "enc"},
            weak.as_dict(private=False),
            ED.as_dict(private=False),
        ]
    )  # fmt: skip
    keys = keys_of(issuer, pause=60)
    assert await keys.find("ed")
    for bad in ("broken", "secret", "for encryption", "weak"):
        assert await keys.find(bad) is None
