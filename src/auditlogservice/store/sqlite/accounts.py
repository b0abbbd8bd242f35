"""Users, token keys and shared secrets in SQLite: the AccountStore contract of `store/port.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import apsw

from auditlogservice.access import Scope, User, format_scopes
from auditlogservice.errors import UserExists, UserNotFound
from auditlogservice.store.port import VerificationKey
from auditlogservice.times import from_micros, to_micros

if TYPE_CHECKING:
    from auditlogservice.store.port import UserChange
    from auditlogservice.store.sqlite.database import Database

T = TypeVar("T")

_COLUMNS = "id, name, tenant, scopes, password_hash, disabled, created_at, generation"
_USER = f"SELECT {_COLUMNS} FROM users"


class SqliteAccountStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def add_user(self, user: User) -> None:
        def work(connection: apsw.Connection) -> None:
            try:
                connection.execute(
                    f"INSERT INTO users ({_COLUMNS})"
                    " VALUES (:id, :name, :tenant, :scopes, :hash, :off, :at, :generation)",
                    _columns(user),
                )
            except apsw.ConstraintError:
                raise UserExists from None

        await self._database.write(work)

    async def change_user(self, user_id: str, change: UserChange) -> User:
        values = {
            "id": user_id,
            "hash": change.password_hash,
            "scopes": None if change.scopes is None else format_scopes(change.scopes),
            "off": None if change.disabled is None else int(change.disabled),
        }

        def work(connection: apsw.Connection) -> User:
            row = connection.execute(
                "UPDATE users SET scopes=coalesce(:scopes, scopes), disabled=coalesce(:off,"
                " disabled), password_hash=coalesce(:hash, password_hash),"
                f" generation=generation + (:hash IS NOT NULL) WHERE id=:id RETURNING {_COLUMNS}",
                values,
            ).fetchone()
            if row is None:
                raise UserNotFound
            return _user(row)

        return await self._database.write(work)

    async def remove_user(self, user_id: str) -> None:
        def work(connection: apsw.Connection) -> None:
            connection.execute("DELETE FROM users WHERE id=?", (user_id,))
            if not connection.changes():
                raise UserNotFound

        await self._database.write(work)

    async def user_named(self, name: str) -> User | None:
        return await self._first(f"{_USER} WHERE name=?", (name,))

    async def user_with_id(self, user_id: str) -> User | None:
        return await self._first(f"{_USER} WHERE id=?", (user_id,))

    async def _first(self, statement: str, values: tuple[str, ...]) -> User | None:
        users = await self._users(statement, values)
        return users[0] if users else None

    async def users(self, tenant: str | None) -> list[User]:
        if tenant is None:
            return await self._users(f"{_USER} ORDER BY name", ())
        return await self._users(f"{_USER} WHERE tenant=? ORDER BY name", (tenant,))

    async def _users(self, statement: str, values: tuple[str, ...]) -> list[User]:
        def work(connection: apsw.Connection) -> list[User]:
            return [_user(row) for row in connection.execute(statement, values)]

        return await self._database.read(work)

    async def publish_key(self, key: VerificationKey) -> None:
        def work(connection: apsw.Connection) -> None:
            connection.execute(
                "INSERT INTO token_keys VALUES (?, ?, ?)"
                " ON CONFLICT (id) DO UPDATE SET expires_at = excluded.expires_at",
                (key.id, key.public, to_micros(key.expires_at)),
            )

        await self._database.write(work)

    async def keys(self) -> list[VerificationKey]:
        def work(connection: apsw.Connection) -> list[VerificationKey]:
            return [
                VerificationKey(id=name, public=public, expires_at=from_micros(expires))
                for name, public, expires in connection.execute(
                    "SELECT id, public, expires_at FROM token_keys ORDER BY id"
                )
            ]

        return await self._database.read(work)

    async def shared_secret(self, name: str, proposal: bytes) -> bytes:
        def work(connection: apsw.Connection) -> bytes:
            connection.execute("INSERT OR IGNORE INTO secrets VALUES (?, ?)", (name, proposal))
            return bytes(connection.execute("SELECT value FROM secrets WHERE name=?", (name,)).get)

        return await self._database.write(work)


def _columns(user: User) -> dict[str, str | int]:
    return {
        "id": user.id,
        "name": user.name,
        "tenant": user.tenant,
        "scopes": format_scopes(user.scopes),
        "hash": user.password_hash,
        "off": int(user.disabled),
        "at": to_micros(user.created_at),
        "generation": user.generation,
    }


def _user(row: tuple[Any, ...]) -> User:
    user_id, name, tenant, scopes, password_hash, disabled, created_at, generation = row
    return User(
        id=user_id,
        name=name,
        tenant=tenant,
        scopes=frozenset(map(Scope, scopes.split())),
        password_hash=password_hash,
        disabled=bool(disabled),
        created_at=from_micros(created_at),
        generation=generation,
    )
