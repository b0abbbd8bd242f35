"""The account store over MongoDB: users, the nodes' public keys, and what they share in secret."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bson import Binary
from pymongo import ASCENDING, ReturnDocument
from pymongo.errors import DuplicateKeyError

from auditlogservice.errors import UserExists, UserNotFound
from auditlogservice.store.mongodb.deadline import Deadline
from auditlogservice.store.mongodb.documents import (
    document_of_key,
    document_of_user,
    key_of,
    update_of_user,
    user_of,
)
from auditlogservice.store.mongodb.failures import reading, writing
from auditlogservice.store.mongodb.schema import KEYS, SECRETS, USERS

if TYPE_CHECKING:
    from pymongo.asynchronous.database import AsyncDatabase

    from auditlogservice.access import User
    from auditlogservice.store.mongodb.schema import Document
    from auditlogservice.store.port import UserChange, VerificationKey


class MongoAccountStore:
    """Keeps the AccountStore contract of `store/port.py`."""

    def __init__(self, database: AsyncDatabase[Document], *, timeout: float) -> None:
        self._users = database[USERS]
        self._keys = database[KEYS]
        self._secrets = database[SECRETS]
        self._timeout = timeout

    # ---- users ------------------------------------------------------------------------

    async def add_user(self, user: User) -> None:
        with writing(), Deadline(self._timeout).limit():
            try:
                await self._users.insert_one(document_of_user(user))
            except DuplicateKeyError:
                raise UserExists from None

    async def change_user(self, user_id: str, change: UserChange) -> User:
        with writing(), Deadline(self._timeout).limit():
            document = await self._users.find_one_and_update(
                {"_id": user_id}, update_of_user(change), return_document=ReturnDocument.AFTER
            )
        if document is None:
            raise UserNotFound
        return user_of(document)

    async def remove_user(self, user_id: str) -> None:
        with writing(), Deadline(self._timeout).limit():
            done = await self._users.delete_one({"_id": user_id})
        if not done.deleted_count:
            raise UserNotFound

    async def user_named(self, name: str) -> User | None:
        return await self._user({"name": name})

    async def user_with_id(self, user_id: str) -> User | None:
        return await self._user({"_id": user_id})

    async def users(self, tenant: str | None) -> list[User]:
        asked = {} if tenant is None else {"tenant": tenant}
        with reading(), Deadline(self._timeout).limit():
            found = self._users.find(asked, sort=[("name", ASCENDING)])
            return [user_of(document) async for document in found]

    async def _user(self, asked: dict[str, str]) -> User | None:
        with reading(), Deadline(self._timeout).limit():
            document = await self._users.find_one(asked)
            return user_of(document) if document else None

    # ---- what the nodes share ---------------------------------------------------------

    async def publish_key(self, key: VerificationKey) -> None:
        with writing(), Deadline(self._timeout).limit():
            await self._keys.replace_one({"_id": key.id}, document_of_key(key), upsert=True)

    async def keys(self) -> list[VerificationKey]:
        with reading(), Deadline(self._timeout).limit():
            return [key_of(document) async for document in self._keys.find()]

    async def shared_secret(self, name: str, proposal: bytes) -> bytes:
        """Keep the proposal if there is none; return the one that is there, once it is durable."""
        with writing(), Deadline(self._timeout).limit():
            try:
                return await self._agree(name, proposal)
            except DuplicateKeyError:  # another node was first, just now: theirs is there
                return await self._agree(name, proposal)

    async def _agree(self, name: str, proposal: bytes) -> bytes:
        found = await self._secrets.find_one_and_update(
            {"_id": name},
            {"$setOnInsert": {"value": Binary(proposal)}},
            upsert=True,
            return_document=ReturnDocument.AFTER,
        )
        assert found  # noqa: S101 - an upsert always leaves a document to return
        return bytes(found["value"])
