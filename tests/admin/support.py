"""A browser of the admin's pages, and how their forms are read and sent."""

import re
from html import unescape
from html.parser import HTMLParser
from typing import Any

import httpx

from api.admin.sessions import COOKIE
from tests.support import PASSWORD

HOST = "test.example"
SAME_SITE = {"Sec-Fetch-Site": "same-origin"}


class Browser(httpx.AsyncClient):
    """A client that sends what a browser sends, and follows no redirect by itself."""

    def __init__(self, app: Any, token: str | None = None) -> None:
        cookies = httpx.Cookies()
        if token is not None:
            cookies.set(COOKIE, token, domain=HOST, path="/admin")
        super().__init__(
            transport=httpx.ASGITransport(app), base_url=f"http://{HOST}", headers=SAME_SITE, cookies=cookies
        )

    async def open(self, path: str, status: int = 200) -> str:
        """The HTML of a page."""
        response = await self.get(f"/admin{path}")
        assert response.status_code == status, f"{path}: {response.status_code} {words_of(response.text)[:500]}"
        return response.text

    async def submit(self, path: str, values: dict[str, str] | None = None, **changed: str) -> httpx.Response:
        """Open a form, fill in some of its fields, and send it. A field goes by the end of its name."""
        fields = fields_of(await self.open(path))
        places = {each.rpartition(".")[2]: each for each in fields if not each.startswith("was:")}
        for name, value in {**(values or {}), **changed}.items():
            fields[places.get(name, name)] = value
        return await self.post(f"/admin{path}", data=fields)

    async def sign_in(self, username: str, password: str = PASSWORD, **fields: str) -> httpx.Response:
        return await self.post("/admin/sign-in", data={"username": username, "password": password, **fields})


class _Fields(HTMLParser):
    """The fields of the last form of a page, with what they are filled with."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.fields: dict[str, str] = {}
        self._text: str | None = None
        self._select: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        name = given.get("name") or ""
        match tag:
            case "form" if given.get("method") == "post" and given.get("class") != "out":
                self.fields = {}
            case "input" if name and (given.get("type") != "checkbox" or "checked" in given):
                self.fields[name] = given.get("value") or ""
            case "textarea":
                self._text = name
                self.fields[name] = ""
            case "select":
                self._select = name
                self.fields.setdefault(name, "")
            case "option" if self._select is not None and "selected" in given:
                self.fields[self._select] = given.get("value") or ""

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea":
            self._text = None
        elif tag == "select":
            self._select = None

    def handle_data(self, data: str) -> None:
        if self._text is not None:
            self.fields[self._text] += data.removeprefix("\n")


def fields_of(html: str) -> dict[str, str]:
    """What a browser would send of the form of a page."""
    parser = _Fields()
    parser.feed(html)
    return parser.fields


def words_of(html: str) -> str:
    """What a person reads on a page."""
    body = re.sub(r"<(head|script|nav|aside)\b.*?</\1>", " ", html, flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", body)).split())


def links_of(html: str, start: str) -> list[str]:
    """Where the links of a page lead that begin so, each once."""
    return list(dict.fromkeys(re.findall(rf'href="(/admin{start}[^"]*)"', html)))
