"""A browser as far as signing in goes: it keeps cookies, and says which page made it ask."""

from __future__ import annotations

from http.cookies import SimpleCookie
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx2

    from running import Api

ORIGIN = "https://audit.test"
OWN_PAGE = {"Origin": ORIGIN, "Sec-Fetch-Site": "same-origin"}


class Browser:
    """Sends its cookies with each request, as if all were same-site; tests tell what is not."""

    def __init__(self, api: Api) -> None:
        self._http = api.http
        self.cookies: dict[str, str] = {}
        self.attributes: dict[str, str] = {}  # of each cookie, as it was set last

    async def get(self, address: str, **headers: str) -> httpx2.Response:
        return await self.send("GET", address, headers={"Sec-Fetch-Site": "none", **headers})

    async def post(self, address: str, **form: str) -> httpx2.Response:
        """Send a form of a page of the service itself."""
        return await self.send("POST", address, headers=OWN_PAGE, form=form)

    async def send(
        self,
        method: str,
        address: str,
        *,
        headers: dict[str, str],
        form: dict[str, str] | None = None,
    ) -> httpx2.Response:
        told = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        answer = await self._http.request(
            method,
            f"{ORIGIN}{address}",
            data=form,
            headers={"Cookie": told, **headers} if told else headers,
        )
        self._http.cookies.clear()
        for line in answer.headers.get_list("set-cookie"):
            for name, morsel in SimpleCookie(line).items():
                self.attributes[name] = line.partition(";")[2]
                self.cookies.pop(name, None)
                if morsel["max-age"] != "0":
                    self.cookies[name] = morsel.value
        return answer
