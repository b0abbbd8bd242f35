"""Who may come in: users, their passwords and their scopes. Tokens are `tokens.py`."""

from __future__ import annotations

import base64
from contextlib import suppress
from typing import TYPE_CHECKING

from auditlogservice.access import (
    DEFAULT_TENANT,
    Scope,
    User,
    check_tenant_name,
    check_user_name,
)
from auditlogservice.errors import InvalidGrant, Unavailable, UserExists, UserNotFound
from auditlogservice.ledger.identity.backoff import Backoff
from auditlogservice.ledger.identity.passwords import check_password
from auditlogservice.store.port import UserChange

if TYPE_CHECKING:
    from auditlogservice.ledger.clock import Clock, Entropy
    from auditlogservice.ledger.identity.passwords import Passwords
    from auditlogservice.ledger.identity.tenants import Tenants
    from auditlogservice.store.port import AccountStore

FIRST_ADMIN = "admin"


class Accounts:
    def __init__(
        self,
        store: AccountStore,
        *,
        tenants: Tenants,
        passwords: Passwords,
        clock: Clock,
        entropy: Entropy,
    ) -> None:
        self._store = store
        self._tenants = tenants
        self._passwords = passwords
        self._clock = clock
        self._entropy = entropy
        self._backoff = Backoff(clock)

    async def sign_in(self, name: str, password: str, *, address: str = "") -> User:
        """Return the user; raise InvalidGrant, after the same time, whatever is wrong.

        Raises TooManyAttempts if too many logins failed before, by `backoff.py`.
        """

        def check() -> None:
            self._backoff.check(name, address)

        check()  # so that who must wait takes no place in the line
        user = await self._store.user_named(name)
        hopeful = user is not None and not user.disabled
        # Asked for those who are nobody too, so that nobody can tell it by the time.
        barred = await self._tenants.is_suspended(user.tenant if user else DEFAULT_TENANT)
        # Checked again when its turn comes: of many at once, all would have passed the first.
        known = await self._passwords.verify(
            password, user.password_hash if user else None, source=address, before=check
        )
        if not known or not hopeful or barred or user is None:
            self._backoff.failed(name, address)
            raise InvalidGrant
        self._backoff.succeeded(name, address)
        return user

    async def add(
        self, name: str, password: str, *, scopes: frozenset[Scope], tenant: str = DEFAULT_TENANT
    ) -> User:
        """Keep a new user, and its tenant if it is the first one of it.

        Raises InvalidInput for a bad name or password, UserExists.
        """
        await self.check_new(name, password, tenant=tenant)
        user = User(
            id=self._entropy(12).hex(),
            name=name,
            tenant=tenant,
            scopes=scopes,
            password_hash=await self._passwords.hash(password),
            disabled=False,
            created_at=self._clock(),
        )
        await self._store.add_user(user)
        # The user is there, and shows its tenant; only since when may stay unknown.
        with suppress(Unavailable):
            await self._tenants.ensure(tenant)
        return user

    async def check_new(self, name: str, password: str, *, tenant: str) -> None:
        """Return if such a user could be added now. Raises what `add` raises."""
        check_user_name(name)
        check_tenant_name(tenant)
        check_password(password, name=name)
        if await self._store.user_named(name):
            raise UserExists

    async def add_first_admin(self) -> tuple[str, str] | None:
        """Make the first user of an empty store; return its name and its one-time password.

        None if there are users already. Of several nodes that start at once, one makes it.
        """
        if await self._store.users(None):
            return None
        password = base64.b32encode(self._entropy(15)).decode().lower()
        try:
            await self.add(FIRST_ADMIN, password, scopes=frozenset(Scope))
        except UserExists:
            return None
        return FIRST_ADMIN, password

    async def users(self, tenant: str | None) -> list[User]:
        return await self._store.users(tenant)

    async def user(self, name: str, *, tenant: str | None = None) -> User:
        """Return the user, if it is of `tenant` (None: any). Raises UserNotFound."""
        user = await self._store.user_named(name)
        if user is None or tenant not in {None, user.tenant}:
            raise UserNotFound
        return user

    async def change(
        self,
        user: User,
        *,
        password: str | None = None,
        scopes: frozenset[Scope] | None = None,
        disabled: bool | None = None,
    ) -> User:
        """Change what is given, in one write; return the user as it is now.

        Only what is given is written: hashing takes its time, and what others change meanwhile
        must stay changed.
        """
        password_hash = None
        if password is not None:
            check_password(password, name=user.name)
            password_hash = await self._passwords.hash(password)
        return await self._store.change_user(
            user.id, UserChange(password_hash=password_hash, scopes=scopes, disabled=disabled)
        )

    async def remove(self, user: User) -> None:
        await self._store.remove_user(user.id)
