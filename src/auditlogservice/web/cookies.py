"""The cookies of people who sign in with a browser, and the requests in which they count.

A browser adds a cookie to a request whoever made it ask. So a session counts only in requests
that came from a page of this service, or were typed in by its owner.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from auditlogservice.errors import CrossSiteRequest

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

# The prefix makes browsers refuse such a cookie from another host, or over a bare connection.
SESSION = "__Host-session"
SIGN_IN = "__Host-signin"
_SAFE = frozenset({"GET", "HEAD"})  # RFC 9110 §9.2.1


def session_of(request: Request) -> str | None:
    """Return the text of the request's session, None if it has none.

    Raises CrossSiteRequest if a page of somebody else made the browser ask.
    """
    text = request.cookies.get(SESSION)
    if text is None:
        return None
    if request.method in _SAFE:
        # Absent from older browsers, from whom SameSite keeps the cookie of such a request.
        if request.headers.get("sec-fetch-site", "none") not in {"same-origin", "none"}:
            raise CrossSiteRequest
    else:
        require_own_page(request)
    return text


def require_own_page(request: Request) -> None:
    """Return if a page of this service made the browser send this; raise CrossSiteRequest if not.

    Browsers say so in `Sec-Fetch-Site`. Of a script's request older ones say it by the `Origin`
    alone (Fetch §3.2); of a form's they do not, since pages here tell nobody where they are from
    (Referrer-Policy), and so it is refused, as is what says nothing at all.
    """
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        if site != "same-origin":
            raise CrossSiteRequest
        return
    origin = urlsplit(request.headers.get("origin", ""))
    # The scheme is not compared: it is that of a proxy in front, where there is one.
    if origin.scheme not in {"http", "https"} or origin.netloc != request.headers.get("host"):
        raise CrossSiteRequest


def set_session(response: Response, text: str, *, seconds: int) -> None:
    response.set_cookie(
        SESSION, text, max_age=seconds, secure=True, httponly=True, samesite="strict"
    )


def set_sign_in(response: Response, sealed: str, *, seconds: int) -> None:
    """Keep what a sign-in under way needs to know; it has to come along from the issuer's page."""
    response.set_cookie(
        SIGN_IN, sealed, max_age=seconds, secure=True, httponly=True, samesite="lax"
    )


def clear(response: Response, name: str) -> None:
    response.delete_cookie(name, secure=True, httponly=True, samesite="strict")
