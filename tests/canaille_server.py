"""A real OpenID provider, Canaille, on a port of this machine, and people who sign in there."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import httpx2
import pytest
from joserfc.jwk import RSAKey

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_iam import Server

PUBLIC = "https://audit.test"
CALLBACK = f"{PUBLIC}/signin/callback"
WEB, SECRET = "auditlog-web", "a secret of the client: 100% + safe"
API = "auditlog-api"
SCOPE = "openid profile groups"


@dataclass
class Provider:
    """Canaille with two clients: ours for people, and one that stands for our API as audience.

    Its store in memory finds what matches any of the conditions, not all of them (0.3.6): as long
    as a client has an unused code, every text is taken for it.
    """

    server: Server

    @property
    def issuer(self) -> str:
        return self.server.url.rstrip("/")

    def person(self, name: str, *groups: str) -> None:
        """Make somebody who is signed in at the provider, and has agreed to tell us."""
        models, backend = self.server.models, self.server.backend
        user = models.User(
            user_name=name, formatted_name=name, family_name=name, display_name=name,
            emails=[f"{name}@example.org"],
        )  # fmt: skip
        backend.save(user)
        for group in groups:
            found = backend.get(models.Group, display_name=group)
            if found is None:
                backend.save(models.Group(display_name=group, members=[user]))
            else:
                backend.update(found, members=[*found.members, user])
                backend.save(found)
        backend.reload(user)
        self.server.login(user)
        self.server.consent(user, backend.get(models.Client, client_id=WEB))

    def rotate(self) -> None:
        """Sign with a new key from now on, and publish no other."""
        key = RSAKey.generate_key(2048, auto_kid=True)
        config: dict[str, Any] = self.server.app.config["CANAILLE_OIDC"]
        config["ACTIVE_JWKS"] = [key.as_dict(private=True)]

    async def answer_to(self, address: str) -> dict[str, str]:
        """Go where our service sends a browser; return what the provider sends it back with."""
        async with httpx2.AsyncClient() as browser:
            answer = await browser.get(address)
        assert answer.status_code == 302, answer.text
        back = answer.headers["location"]
        assert back.startswith(f"{CALLBACK}?"), back
        return dict(parse_qsl(urlsplit(back).query))


@pytest.fixture(scope="session")
def canaille() -> Iterator[Server]:
    # Only tests that ask for the provider pay for importing it.
    from canaille import create_app  # noqa: PLC0415
    from canaille.backends import Backend  # noqa: PLC0415
    from pytest_iam import Server  # noqa: PLC0415

    key = RSAKey.generate_key(2048, auto_kid=True)
    app = create_app(
        config={
            "TESTING": True,
            "SECRET_KEY": "of a test",
            "WTF_CSRF_ENABLED": False,
            "PREFERRED_URL_SCHEME": "http",
            "SERVER_NAME": "localhost",
            "CANAILLE": {
                "DATABASE": "memory",
                "JAVASCRIPT": False,
                "ACL": {"DEFAULT": {"PERMISSIONS": ["use_oidc"]}},
                "LOGGING": {"version": 1, "disable_existing_loggers": False},
            },
            "CANAILLE_OIDC": {"ACTIVE_JWKS": [key.as_dict(private=True)]},
        }
    )
    server = Server(app, 0, Backend.instance)
    server.port = server.httpd.server_port  # the one that was free
    app.config["SERVER_NAME"] = f"localhost:{server.port}"
    thread = threading.Thread(target=server.httpd.serve_forever, args=(0.01,))
    with pytest.MonkeyPatch.context() as environment, app.app_context():
        environment.setenv("AUTHLIB_INSECURE_TRANSPORT", "1")  # it speaks HTTP, on this machine
        thread.start()
        try:
            yield server
        finally:
            server.httpd.shutdown()
            thread.join()
            server.httpd.server_close()


@pytest.fixture
def provider(canaille: Server) -> Iterator[Provider]:
    """The provider with nobody and with two clients."""
    models, backend = canaille.models, canaille.backend
    made = [
        models.Client(
            client_id=name,
            client_secret=SECRET,
            client_name=name,
            client_uri=PUBLIC,
            redirect_uris=[CALLBACK],
            grant_types=["authorization_code"],
            response_types=["code"],
            token_endpoint_auth_method="client_secret_basic",
            scope=SCOPE.split(),
        )
        for name in (WEB, API)
    ]
    for client in made:
        backend.save(client)
    backend.update(made[0], audience=made)
    backend.save(made[0])
    yield Provider(canaille)
    canaille.logout()
    for kind in (
        models.Consent,
        models.AuthorizationCode,
        models.Token,
        models.Group,
        models.User,
        models.Client,
    ):
        for thing in backend.query(kind):
            backend.delete(thing)
