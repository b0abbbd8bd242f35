"""The naive service. FastAPI reads its annotations, and some are local: so they are no strings."""

import secrets
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, TypeAlias

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError
from bson import ObjectId
from fastapi import Depends, FastAPI, HTTPException  # noqa: TID251 - this is how it is written
from fastapi.security import OAuth2PasswordBearer, OAuth2PasswordRequestForm
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey
from pydantic import BaseModel
from pymongo import MongoClient

Document: TypeAlias = dict[str, Any]

_LIFETIME = timedelta(hours=12)
_ALGORITHM = "HS256"


class Event(BaseModel):
    name: str
    event_type: str
    detail: str
    occurred_at: datetime | None = None
    actor: dict[str, Any] | None = None
    targets: list[dict[str, Any]] | None = None
    outcome: str | None = None
    source: str | None = None
    context: dict[str, Any] | None = None
    event_data: dict[str, Any] | None = None


def create_app(database_url: str) -> FastAPI:  # noqa: C901 - one file, as in the tutorials
    """Return the application. Its users are `{"username", "password_hash"}` in `users`."""
    app = FastAPI()
    database = MongoClient[Document](database_url).get_default_database()
    users, events = database["users"], database["events"]
    key = OctKey.import_key(secrets.token_bytes(32))

    def current_user(
        token: Annotated[str, Depends(OAuth2PasswordBearer(tokenUrl="token"))],
    ) -> Document:
        try:
            claims = jwt.decode(token, key, algorithms=[_ALGORITHM]).claims
        except (JoseError, ValueError):
            raise HTTPException(401, "Could not validate credentials") from None
        user = users.find_one({"username": claims["sub"]})
        if user is None or claims["exp"] < _now().timestamp():
            raise HTTPException(401, "Could not validate credentials")
        return user

    User: TypeAlias = Annotated[Document, Depends(current_user)]

    @app.post("/token")
    def login(form: Annotated[OAuth2PasswordRequestForm, Depends()]) -> dict[str, str]:
        user = users.find_one({"username": form.username})
        try:
            PasswordHasher().verify(user["password_hash"] if user else "", form.password)
        except VerifyMismatchError:
            raise HTTPException(400, "Incorrect username or password") from None
        claims = {"sub": form.username, "exp": int((_now() + _LIFETIME).timestamp())}
        token = jwt.encode({"alg": _ALGORITHM}, claims, key, algorithms=[_ALGORITHM])
        return {"access_token": token, "token_type": "bearer"}

    @app.post("/events", status_code=201)
    def create_event(event: Event, user: User) -> Document:
        document = {**event.model_dump(), "timestamp": _now(), "user_id": user["username"]}
        inserted = events.insert_one(document)
        return _shown(events.find_one({"_id": inserted.inserted_id}))

    @app.get("/events")
    def list_events(user: User, field: str | None = None, value: str = "") -> list[Document]:
        del user
        found = events.find({} if field is None else {field: value}).limit(100)
        return [_shown(each) for each in found]

    @app.get("/events/{event_id}")
    def read_event(event_id: str, user: User) -> Document:
        del user
        return _shown(events.find_one({"_id": ObjectId(event_id)}))

    return app


def _now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 - this is how it is written


def _shown(document: Document | None) -> Document:
    if document is None:
        raise HTTPException(404, "Event not found")
    return {**document, "_id": str(document["_id"])}
