"""Every refusal has one shape, says what is wrong, and repeats nothing that was sent."""

import gzip
from typing import Any

import pytest
from httpx import AsyncClient
from sqlmodel.ext.asyncio.session import AsyncSession

from api.web.framework_internals import UNREADABLE_BODY
from api.web.problems import PROBLEM_JSON
from tests.factories import a_category
from tests.support import assert_refused, said

JSON = {"Content-Type": "application/json"}
SECRET = "correct horse battery staple"

NOT_JSON = {
    "an open bracket": b"{",
    "two values": b"{}{}",
    "a comma too many": b'{"username": "a",}',
    "single quotes": b"{'username': 'a'}",
    "a control character": b'{"username": "a\nb"}',
    "only a NUL": b"\0",
    "UTF-16 that breaks off": b"\xff\xfe",
}

UNREADABLE = {
    "Latin-1": (b'{"username": "\xe9t\xe9"}', UnicodeDecodeError),
    "100,000 nested lists": (b"[" * 100_000, RecursionError),
    "100,000 nested objects": (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, RecursionError),
    "a number of 5,000 digits": (b'{"username": ' + b"9" * 5_000 + b"}", ValueError),
}
"""Bodies that cannot be read at all, and the error of Python that each causes."""


class TestProblem:
    async def test_an_unknown_path_is_answered_with_a_problem(self, client: AsyncClient) -> None:
        response = await client.get("/nowhere")

        assert response.headers["Content-Type"] == PROBLEM_JSON
        assert said(response) == {"type": "about:blank", "title": "Not Found", "status": 404, "detail": "Not Found"}

    async def test_a_request_without_a_token_is_told_how_to_sign_in(self, client: AsyncClient) -> None:
        response = await client.get("/orders")

        assert_refused(response, 401)
        assert response.headers["WWW-Authenticate"] == "Bearer"

    async def test_forbidden_missing_and_duplicate_rows_have_the_same_shape_of_problem(
        self, as_customer: AsyncClient, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        await a_category(session, "Vinyl")

        for response, status, title in (
            (await as_customer.get("/accounts"), 403, "Forbidden"),
            (await as_customer.get("/orders/1000000"), 404, "Not Found"),
            (await as_staff.post("/categories", json={"name": "Vinyl"}), 409, "Conflict"),
        ):
            problem = said(response)
            assert problem.keys() == {"type", "title", "status", "detail"}
            assert (problem["title"], problem["status"]) == (title, status) == (title, response.status_code)

    async def test_a_problem_names_each_field_with_a_wrong_value(self, client: AsyncClient) -> None:
        body = {"username": "a", "email": "a", "password": "Long enough 1", "colour": "red"}

        problem = said(await client.post("/users", json=body))

        assert problem.keys() == {"type", "title", "status", "detail", "errors"}
        assert [each["field"] for each in problem["errors"]] == ["body.username", "body.email", "body.colour"]
        assert all(each.keys() == {"field", "message"} and each["message"] for each in problem["errors"])
        assert problem["detail"].startswith("body.username: ")

    async def test_a_problem_names_a_field_within_a_list(self, as_customer: AsyncClient) -> None:
        body = {"items": [{"product_id": 1, "quantity": 1}, {"product_id": 1, "quantity": 0}]}

        assert_refused(await as_customer.post("/orders", json=body), 422, "body.items.1.quantity")


class TestSecret:
    """A refusal never repeats a value of the request, because the value can be a password."""

    @pytest.mark.parametrize(
        "password",
        [SECRET, f"{SECRET}\0Aa1", f"{SECRET} Aa1" * 10, "Sh0rtpw"],
        ids=["no digit", "a NUL", "too long", "too short"],
    )
    async def test_a_refused_password_is_not_repeated(self, client: AsyncClient, password: str) -> None:
        body = {"username": "somebody", "email": "somebody@example.com", "password": password}

        response = await client.post("/users", json=body)

        assert_refused(response, 422, "body.password")
        assert password not in response.text
        assert password[:7] not in response.text

    @pytest.mark.parametrize("password", [[SECRET], {"value": SECRET}], ids=["list", "object"])
    async def test_a_password_that_is_not_a_string_is_not_repeated(self, client: AsyncClient, password: Any) -> None:
        body = {"username": "somebody", "email": "somebody@example.com", "password": password}

        response = await client.post("/users", json=body)

        assert_refused(response, 422, "body.password")
        assert SECRET not in response.text

    async def test_a_password_beside_other_mistakes_is_not_repeated(self, client: AsyncClient) -> None:
        response = await client.post("/users", json={"password": SECRET, "confirm": SECRET})

        assert_refused(response, 422)
        assert SECRET not in response.text

    async def test_a_refused_new_password_is_not_repeated(self, as_customer: AsyncClient) -> None:
        body = {"current_password": "SecurePass123", "new_password": SECRET}

        response = await as_customer.post("/auth/password", json=body)

        assert_refused(response, 422, "body.new_password")
        assert SECRET not in response.text
        assert "SecurePass123" not in response.text

    @pytest.mark.parametrize(
        "content",
        [f'{{"password": "{SECRET}"', f'"{SECRET}"', f'["{SECRET}"]', f'{{"password": "{SECRET}"}}x'],
        ids=["no end", "string", "list", "text after the end"],
    )
    async def test_a_password_in_a_malformed_body_is_not_repeated(self, client: AsyncClient, content: str) -> None:
        response = await client.post("/users", content=content, headers=JSON)

        assert_refused(response, 422, "body")
        assert SECRET not in response.text

    async def test_a_password_in_a_refused_form_is_not_repeated(self, client: AsyncClient) -> None:
        response = await client.post("/auth/token", data={"password": SECRET})

        assert_refused(response, 422, "body.username")
        assert SECRET not in response.text


class TestBody:
    @pytest.mark.parametrize("content", NOT_JSON.values(), ids=NOT_JSON)
    async def test_a_body_that_is_not_json_is_refused_with_the_place_of_the_mistake(
        self, client: AsyncClient, content: bytes
    ) -> None:
        response = await client.post("/users", content=content, headers=JSON)

        assert_refused(response, 422, "body: is not valid JSON: ")
        assert [each["field"] for each in response.json()["errors"]] == ["body"]

    @pytest.mark.parametrize(("content", "cause"), UNREADABLE.values(), ids=UNREADABLE)
    async def test_an_unreadable_body_is_refused_with_the_reason(
        self, client: AsyncClient, content: bytes, cause: type[Exception]
    ) -> None:
        refused = await client.post("/users", content=content, headers=JSON)

        assert_refused(refused, 400)
        assert refused.json()["detail"] == UNREADABLE_BODY[cause]

    def test_every_known_cause_of_an_unreadable_body_is_provoked(self) -> None:
        assert {cause for _, cause in UNREADABLE.values()} == UNREADABLE_BODY.keys()

    @pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
    async def test_an_unreadable_body_is_refused_by_every_method(
        self, as_staff: AsyncClient, session: AsyncSession, method: str
    ) -> None:
        category = await a_category(session)
        path = "/categories" if method == "POST" else f"/categories/{category.id}"

        assert_refused(await as_staff.request(method, path, content=b'"\xe9"', headers=JSON), 400, "UTF-8")

    @pytest.mark.parametrize("content", [b"null", b"[]", b'"x"', b"1"], ids=["null", "list", "string", "number"])
    async def test_a_body_that_is_not_an_object_is_refused(self, client: AsyncClient, content: bytes) -> None:
        assert_refused(await client.post("/users", content=content, headers=JSON), 422, "body: ")

    async def test_a_missing_body_is_refused(self, client: AsyncClient) -> None:
        assert_refused(await client.post("/users"), 422, "body: Field required")

    @pytest.mark.parametrize(
        "content_type",
        ["text/plain", "application/x-www-form-urlencoded", "nonsense", ""],
        ids=["text", "form", "nonsense", "none"],
    )
    async def test_a_body_of_another_content_type_is_refused_with_the_right_type(
        self, client: AsyncClient, content_type: str
    ) -> None:
        response = await client.post("/users", content=b"{}", headers={"Content-Type": content_type})

        assert_refused(response, 422, "body: must be sent with the Content-Type application/json")

    @pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "application/merge-patch+json"])
    async def test_a_body_of_any_json_type_is_read(self, client: AsyncClient, content_type: str) -> None:
        response = await client.post("/users", content=b"{}", headers={"Content-Type": content_type})

        assert_refused(response, 422, "body.username: Field required")

    @pytest.mark.parametrize("encoding", ["gzip", "GZIP", "x-gzip", "deflate", "br", "zstd", "gzip, identity"])
    @pytest.mark.parametrize("path", ["/users", "/auth/token", "/orders"])
    async def test_a_compressed_body_is_refused_with_what_to_do(
        self, client: AsyncClient, encoding: str, path: str
    ) -> None:
        content = gzip.compress(b"{}")
        response = await client.post(path, content=content, headers={**JSON, "Content-Encoding": encoding})

        assert_refused(response, 415, "send it as it is, without Content-Encoding")
        assert response.headers["Accept-Encoding"] == "identity"

    async def test_an_identity_encoding_is_none(self, client: AsyncClient) -> None:
        response = await client.post("/users", content=b"{}", headers={**JSON, "Content-Encoding": "identity"})

        assert_refused(response, 422, "body.username: Field required")

    @pytest.mark.parametrize(
        ("content_type", "content"),
        [("multipart/form-data", b"x"), ("multipart/form-data; boundary=a", b"--b\r\nx")],
        ids=["no boundary", "another boundary"],
    )
    async def test_a_malformed_form_is_refused(self, client: AsyncClient, content_type: str, content: bytes) -> None:
        response = await client.post("/auth/token", content=content, headers={"Content-Type": content_type})

        assert_refused(response, 400)

    @pytest.mark.parametrize(
        "content", [b"username=%00&password=%00", b"username=%ff&password=%ed%a0%80"], ids=["NUL", "not UTF-8"]
    )
    async def test_a_form_with_invalid_bytes_signs_nobody_in(self, client: AsyncClient, content: bytes) -> None:
        form = {"Content-Type": "application/x-www-form-urlencoded"}

        response = await client.post("/auth/token", content=content, headers=form)

        assert response.status_code in {401, 422}
