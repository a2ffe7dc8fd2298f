"""The form of a sign-in: which forms are accepted, and which ones are refused."""

from urllib.parse import urlencode

import pytest
from httpx import AsyncClient

from api.models.user import User
from tests.auth.support import sign_in
from tests.support import PASSWORD, assert_refused


class TestSignInForm:
    @pytest.mark.parametrize(
        ("form", "field"),
        [
            ({"password": PASSWORD}, "body.username"),
            ({"username": "customer"}, "body.password"),
            ({"username": "customer", "password": PASSWORD, "grant_type": "magic"}, "body.grant_type"),
        ],
        ids=str,
    )
    async def test_an_invalid_form_is_refused(self, client: AsyncClient, form: dict[str, str], field: str) -> None:
        response = await client.post("/auth/token", data=form)

        assert_refused(response, 422, field)
        assert PASSWORD not in response.text

    async def test_json_instead_of_a_form_is_refused(self, client: AsyncClient, customer: User) -> None:
        response = await client.post("/auth/token", json={"username": "customer", "password": PASSWORD})

        assert_refused(response, 422, "body.username")
        assert PASSWORD not in response.text

    async def test_a_multipart_form_is_accepted(self, client: AsyncClient, customer: User) -> None:
        form = {"username": (None, "customer"), "password": (None, PASSWORD)}

        assert (await client.post("/auth/token", files=form)).status_code == 200

    async def test_a_broken_multipart_form_is_refused(self, client: AsyncClient) -> None:
        headers = {"Content-Type": "multipart/form-data; boundary=x"}

        response = await client.post("/auth/token", content=b"--y\r\nnonsense", headers=headers)

        assert response.status_code in {400, 422}

    async def test_a_form_that_is_too_large_is_refused(self, client: AsyncClient) -> None:
        assert_refused(await sign_in(client, password="x" * 1_100_000), 413)

    @pytest.mark.parametrize("username", ["a\0b", "\0", "' OR 1=1 --", "%", "cust%", "x" * 100_000, "\ufffd", "😀"])
    async def test_a_strange_username_is_refused(self, client: AsyncClient, customer: User, username: str) -> None:
        assert (await sign_in(client, username)).status_code in {401, 422}

    @pytest.mark.parametrize("body", [b"username=%ff&password=%ff", b"username=%ED%A0%80&password=%ED%A0%80", b"=&=&"])
    async def test_strange_bytes_are_refused(self, client: AsyncClient, body: bytes) -> None:
        headers = {"Content-Type": "application/x-www-form-urlencoded"}

        assert (await client.post("/auth/token", content=body, headers=headers)).status_code in {401, 422}

    @pytest.mark.parametrize(
        ("charset", "multipart"),
        [("utf-7", 401), ("unicode_escape", 401), ("no-such-charset", 401), ("utf-16", 422), ("undefined", 400)],
    )
    async def test_text_that_cannot_be_stored_is_refused_in_every_charset(
        self, client: AsyncClient, customer: User, charset: str, multipart: int
    ) -> None:
        """A lone surrogate or a NUL, in any charset that the client declares for the form."""
        part = b'--x\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'
        for value in (b"+2AA-", b"\\ud800", b"\\x00", b"\x00", b"\xff", b"\x00\xd8", b"\xed\xa0\x80"):
            form = {b"username": value, b"password": value}
            bodies = {
                "multipart/form-data; boundary=x": b"".join(part % each for each in form.items()) + b"--x--\r\n",
                "application/x-www-form-urlencoded": urlencode(form).encode(),
            }
            for content_type, body in bodies.items():
                headers = {"Content-Type": f'{content_type}; charset="{charset}"'}
                response = await client.post("/auth/token", content=body, headers=headers)
                expected = multipart if content_type.startswith("multipart") else 401
                assert response.status_code == expected, (
                    f"{value!r} as {content_type} in {charset} was answered {response.status_code}"
                )
