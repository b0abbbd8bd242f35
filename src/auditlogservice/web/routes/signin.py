"""Sign-in of people with a browser: by password, or at the identity provider. Pages, no script.

Whoever has signed in has a session, in a cookie that counts in the whole API as a token does.
"""

from __future__ import annotations

import re
from html import escape
from typing import Annotated, Any
from urllib.parse import urlencode, urlsplit

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import RedirectResponse, Response

from auditlogservice.access import Principal, format_scopes
from auditlogservice.errors import (
    AccessRefused,
    AuditLogError,
    NotFound,
    TooManyAttempts,
    Unavailable,
)
from auditlogservice.ledger.identity import telling
from auditlogservice.ledger.identity.sessions import Session
from auditlogservice.ledger.identity.signin import TIME, SignIn
from auditlogservice.ledger.selfaudit import acts
from auditlogservice.web import cookies
from auditlogservice.web.authn import caller_of
from auditlogservice.web.budgets import begin_token
from auditlogservice.web.callers import author_of
from auditlogservice.web.documents import body, media, problems, refer
from auditlogservice.web.forms import read_form
from auditlogservice.web.html import page
from auditlogservice.web.logins import log_in
from auditlogservice.web.problems import answer_error
from auditlogservice.web.services import services

router = APIRouter(tags=["sign-in"])

_HTML = "text/html"
_HERE = "/signin"
# A path of this service and nothing that a browser takes for another host; sealed, it has to fit
# into a cookie.
_OWN_PATH = re.compile(r"/(?![/\\])[!-\[\]-~]{0,1000}")


def _pages(*statuses: int) -> dict[int | str, dict[str, Any]]:
    shown = media(_HTML, "The page to sign in, and why nothing came of it")
    return dict.fromkeys(statuses, shown)


def _pages_or_problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What a person is told on a page, and whoever sent no form of a page here as a problem."""
    shown, told = _pages(*statuses), problems(*statuses)
    return {
        status: {**shown[status], "content": shown[status]["content"] | told[status]["content"]}
        for status in statuses
    }


ReturnTo = Annotated[str, Query(description="The path to go on to after signing in.")]


@router.get(
    "/signin",
    summary="The page to sign in",
    responses={200: media(_HTML, "A page"), **problems(400, 403, 503)},
)
async def show_sign_in(request: Request, return_to: ReturnTo = _HERE) -> Response:
    """Show who is signed in, or the ways to sign in."""
    caller = await _signed_in(request)
    return _who(caller) if caller else _ways(request, return_to)


@router.post(
    "/signin",
    summary="Sign in with a password, in a browser",
    status_code=303,
    dependencies=[Depends(begin_token)],
    responses={
        303: {"description": "A session, and on to where the form wanted to go"},
        **_pages_or_problems(400, 403, 429),
        **problems(408, 413, 415, 503),
    },
    openapi_extra=body(form=refer("SignInForm")),
)
async def sign_in(request: Request) -> Response:
    """Open a session for a name and a password that a page of this service has sent."""
    cookies.require_own_page(request)
    form = await read_form(request)
    return_to = form.get("return_to", _HERE)
    try:
        user = await log_in(request, form)
    except (AccessRefused, TooManyAttempts) as error:
        return _ways(request, return_to, error)
    session = await services(request).sessions.open_for_user(user)
    answer = RedirectResponse(_own_path(return_to), 303)
    return await _admit(request, answer, session)


@router.get(
    "/signin/oidc",
    summary="Sign in at the identity provider",
    status_code=302,
    responses={
        302: {"description": "On to the identity provider"},
        **_pages(503),
        **problems(400, 404),
    },
)
async def go_to_provider(request: Request, return_to: ReturnTo = _HERE) -> Response:
    """Send the browser to the provider; what it must bring back is in a cookie."""
    try:
        begun = await _at_provider(request).begin(_own_path(return_to))
    except Unavailable as error:
        return _ways(request, return_to, error)
    answer = RedirectResponse(begun.address, 302)
    cookies.set_sign_in(answer, begun.sealed, seconds=int(TIME.total_seconds()))
    return answer


@router.get(
    "/signin/callback",
    summary="Come back from the identity provider",
    responses={
        200: media(_HTML, "A session, and a page that goes on"),
        **_pages(403, 503),
        **problems(400, 404),
    },
)
async def come_back(request: Request) -> Response:
    """Open a session for whom the provider names.

    The answer is a page and no redirect: a browser keeps a strict cookie from a request that
    another site has led to, and this page is where leading begins anew.
    """
    sealed = request.cookies.get(cookies.SIGN_IN, "")
    try:
        finished = await _at_provider(request).finish(sealed, request.query_params)
    except (AccessRefused, Unavailable) as error:
        answer = _ways(request, _HERE, error)
    else:
        session = await services(request).sessions.open_for_external(finished.principal)
        answer = await _admit(request, _onward(finished.return_to), session)
    cookies.clear(answer, cookies.SIGN_IN)
    return answer


@router.post(
    "/signout",
    summary="Sign out, in a browser",
    status_code=303,
    responses={303: {"description": "The session has ended"}, **problems(400, 403, 503)},
)
async def sign_out(request: Request) -> Response:
    """End the session of the cookie, on every node."""
    cookies.require_own_page(request)
    await _end_session(request)
    answer = RedirectResponse(_HERE, 303)
    cookies.clear(answer, cookies.SESSION)
    return answer


def _at_provider(request: Request) -> SignIn:
    found = services(request).sign_in
    if found is None:
        raise NotFound("no identity provider is set up")
    return found


async def _signed_in(request: Request) -> Principal | None:
    try:
        return await caller_of(request)
    except AccessRefused:
        return None


async def _admit(request: Request, answer: Response, session: Session) -> Response:
    """Put it on record, give the browser its new session, and end the one that it had."""
    who = session.principal
    entry = telling.signed_in(who, who.scopes, expires_in=session.ends_in)
    await services(request).self_audit.record(acts.LOGIN_SUCCEEDED, author_of(request, who), entry)
    await _end_session(request)
    cookies.set_session(answer, session.text, seconds=session.ends_in)
    return answer


async def _end_session(request: Request) -> None:
    if text := request.cookies.get(cookies.SESSION):
        await services(request).sessions.end(text)


def _own_path(told: str) -> str:
    return told if _OWN_PATH.fullmatch(told) else _HERE


# ---- pages ------------------------------------------------------------------------------


def _who(caller: Principal) -> Response:
    scopes = format_scopes(caller.scopes) or "none"
    return page(
        "Signed in",
        f"<p>You are <b>{escape(caller.name)}</b> of the tenant {escape(caller.tenant)}.</p>"
        f"<p>Your scopes: <code>{escape(scopes)}</code></p>"
        '<form method="post" action="/signout"><button>Sign out</button></form>',
    )


def _ways(request: Request, return_to: str, error: AuditLogError | None = None) -> Response:
    """The ways to sign in; with what went wrong before, and its status."""
    onward = _own_path(return_to)
    provider = services(request).sign_in
    shown = page(
        "Sign in",
        (f'<p role="alert">{escape(str(error))}.</p>' if error else "")
        + (_provider_link(provider, onward) if provider else "")
        + _password_form(onward),
    )
    if error:
        told = answer_error(request, error)
        shown.status_code = told.status_code
        if "retry-after" in told.headers:
            shown.headers["Retry-After"] = told.headers["retry-after"]
    return shown


def _provider_link(provider: SignIn, onward: str) -> str:
    address = f"/signin/oidc?{urlencode({'return_to': onward})}"
    host = urlsplit(provider.issuer).netloc
    return f'<p><a href="{escape(address)}">Sign in at {escape(host)}</a></p>'


def _password_form(onward: str) -> str:
    return (
        '<form method="post" action="/signin">'
        f'<input type="hidden" name="return_to" value="{escape(onward)}">'
        '<label>User name <input name="username" autocomplete="username" required></label>'
        '<label>Password <input name="password" type="password" '
        'autocomplete="current-password" required></label>'
        "<button>Sign in</button></form>"
    )


def _onward(path: str) -> Response:
    where = escape(path)
    return page(
        "Signed in",
        f'<p>You are signed in. <a href="{where}">Go on</a></p>',
        head=f'<meta http-equiv="refresh" content="0; url={where}">',
    )
