"""Who may open which page of the admin: staff, by a cookie, and nobody else."""

import re

import pytest
from fastapi import FastAPI
from httpx import AsyncClient
from sqlmodel import col, delete, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from api.admin.sessions import COOKIE
from api.database.sessions import Database
from api.main import create_app
from api.models.attempt import Attempt
from api.models.base import utcnow
from api.models.product import Product
from api.models.token import Token
from api.models.user import User
from api.settings import Settings
from tests.admin.support import Browser, fields_of, words_of
from tests.factories import a_product, a_user
from tests.support import PASSWORD, assert_refused
from tests.web.support import open_transaction

PAGES = [
    "",
    "/users",
    "/users/1",
    "/users/new",
    "/users/1/edit",
    "/users/1/delete",
    "/users/1/do/deactivate",
    "/users/suggest?search=x",
    "/users/export.csv",
    "/nothing",
    "/users/1/nothing/at/all",
]
FORMS = ["/users/new", "/users/1/edit", "/users/1/delete", "/users/1/do/deactivate"]


async def _script_of_docs(browser: Browser) -> str:
    (script,) = re.findall(r'src="([^"]*shop[.]js)"', (await browser.get("/docs")).text)
    return str(script)


class TestPages:
    async def test_nobody_gets_the_page_to_sign_in_at(self, nobody: Browser) -> None:
        for path in PAGES:
            fields = fields_of(await nobody.open(path, 401))
            assert fields["next"] == (path or "/")
            assert "password" in fields

    async def test_a_customer_is_refused(self, customers_browser: Browser) -> None:
        for path in PAGES:
            assert "The admin is for staff" in words_of(await customers_browser.open(path, 403)), path

    async def test_forms_of_nobody_and_of_customers_do_nothing(
        self, nobody: Browser, customers_browser: Browser, staff: User, session: AsyncSession
    ) -> None:
        for path in FORMS:
            path = path.replace("/1", f"/{staff.id}")
            for browser, status in ((nobody, 401), (customers_browser, 403)):
                refused = await browser.post(f"/admin{path}", data={"body.username": "mallory"})
                assert refused.status_code == status, path
        await session.refresh(staff)
        assert (staff.username, staff.is_active) == ("staff", True)

    async def test_a_token_in_a_header_opens_no_page(self, app: FastAPI, as_staff: AsyncClient) -> None:
        headers = {"Authorization": as_staff.headers["Authorization"]}
        async with Browser(app) as browser:
            assert (await browser.get("/admin/users", headers=headers)).status_code == 401

    async def test_a_user_who_is_demoted_is_refused_from_the_next_page_on(
        self, admin: Browser, staff: User, session: AsyncSession
    ) -> None:
        await admin.open("/users")
        await session.exec(update(User).where(col(User.id) == staff.id).values(is_superuser=False))
        await admin.open("/users", 403)

    @pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "NONSENSE"])
    async def test_a_page_that_is_only_read_takes_no_other_method(
        self, admin: Browser, nobody: Browser, method: str
    ) -> None:
        for path, status in (("/admin", 404), ("/admin/", 404), ("/admin/products", 404)):
            assert (await admin.request(method, path)).status_code == status
            assert (await nobody.request(method, path)).status_code == 401
        (style,) = re.findall(r'href="([^"]*[.]css)"', await admin.open("/"))
        for path in (style, await _script_of_docs(nobody)):
            answer = await nobody.request(method, path)
            assert answer.status_code == (204 if method == "OPTIONS" else 405)
            assert answer.headers["Allow"] == "GET, HEAD, OPTIONS"

    async def test_a_path_with_a_slash_at_its_end_is_the_same_page(self, admin: Browser) -> None:
        assert "<h1>Dashboard</h1>" in await admin.open("/")
        assert "<h1>Users</h1>" in await admin.open("/users/")


class TestSession:
    async def test_a_staff_user_signs_in_and_out(self, nobody: Browser, staff: User, session: AsyncSession) -> None:
        signed_in = await nobody.sign_in("staff", next="/products?sort=price")

        assert (signed_in.status_code, signed_in.headers["location"]) == (303, "/admin/products?sort=price")
        cookie = signed_in.headers["set-cookie"]
        for part in ("HttpOnly", "SameSite=lax", "Path=/admin", "Max-Age=1209600"):
            assert part in cookie
        assert "Secure" not in cookie  # by http, where a browser would not send it back
        await nobody.open("/products")
        stolen = nobody.cookies[COOKIE]

        signed_out = await nobody.post("/admin/sign-out")

        assert (signed_out.status_code, signed_out.headers["location"]) == (303, "/admin/sign-in")
        assert COOKIE not in nobody.cookies
        nobody.cookies.set(COOKIE, stolen, domain="test.example", path="/admin")
        await nobody.open("/products", 401)
        assert (await session.exec(select(Token))).all() == []

    async def test_a_cookie_is_secure_by_https_and_in_production(self, nobody: Browser, staff: User) -> None:
        nobody.base_url = "https://test.example"
        assert "Secure" in (await nobody.sign_in("staff")).headers["set-cookie"]

    async def test_a_customer_gets_no_session(self, nobody: Browser, customer: User, session: AsyncSession) -> None:
        refused = await nobody.sign_in("customer")

        assert refused.status_code == 403
        assert "The admin is for staff" in words_of(refused.text)
        assert "set-cookie" not in refused.headers
        assert (await session.exec(select(Token))).all() == []

    async def test_a_wrong_password_is_refused_and_counted_until_no_more_are_tried(
        self, nobody: Browser, staff: User, session: AsyncSession
    ) -> None:
        wrong = await nobody.sign_in("staff", "WrongPass123")
        assert wrong.status_code == 401
        assert "The username or the password is wrong." in words_of(wrong.text)
        assert "WrongPass123" not in wrong.text
        await session.exec(update(Attempt).values(count=10))

        refused = await nobody.sign_in("staff")

        assert refused.status_code == 429
        assert int(refused.headers["retry-after"]) > 0
        assert "Too many attempts." in words_of(refused.text)

    async def test_a_token_that_has_expired_or_been_revoked_leads_to_the_sign_in(
        self, admin: Browser, session: AsyncSession
    ) -> None:
        await session.exec(update(Token).values(expires_at=utcnow()))
        await admin.open("/users", 401)

    @pytest.mark.parametrize(
        "target",
        [
            "//evil.example",
            "https://evil.example",
            "/\\evil.example",
            "/%0d%0aX: 1",
            "/a//b",
            "/../../x",
            "javascript:1",
            "\0",
        ],
    )
    async def test_a_sign_in_leads_to_no_other_website(self, nobody: Browser, staff: User, target: str) -> None:
        signed_in = await nobody.sign_in("staff", next=target)
        assert signed_in.headers["location"] == "/admin"

    async def test_a_sign_out_that_revokes_nothing_says_so_and_keeps_the_session(
        self, nobody: Browser, staff: User, database: Database
    ) -> None:
        """Else the token would be valid for two weeks, and its owner would have lost it."""
        await nobody.sign_in("staff")
        kept = nobody.cookies[COOKIE]
        async with open_transaction(database, statement=update(Token).values(name="locked")):
            refused = await nobody.post("/admin/sign-out")
        assert refused.status_code == 503
        assert int(refused.headers["Retry-After"]) > 0
        assert nobody.cookies[COOKIE] == kept

        assert (await nobody.post("/admin/sign-out")).status_code == 303

    @pytest.mark.parametrize("cookie", ["", "x" * 5_000, "a b", "\u00e9", '"', "Bearer x"])
    async def test_a_cookie_that_is_no_token_is_none(self, nobody: Browser, cookie: str) -> None:
        response = await nobody.get("/admin", headers=[(b"Cookie", f"{COOKIE}={cookie}".encode())])
        assert response.status_code == 401

    @pytest.mark.hostile
    async def test_hostile_sign_ins_are_refused(self, nobody: Browser, staff: User, session: AsyncSession) -> None:
        for name in ("username", "password", "next", "kept"):
            for text in (
                "",
                "\0",
                "a\0b",
                "\ufffd",
                "x" * 50_000,
                "%zz",
                "&&=",
                "\u202e",
                "a=" * 5_000,
                "\r\nSet-Cookie: x",
            ):
                await session.exec(delete(Attempt))
                sent = {"username": "staff", "password": PASSWORD, name: text}
                response = await nobody.post("/admin/sign-in", data=sent)
                assert response.status_code in (200, 303, 401, 422), (name, text[:20])

    async def test_what_was_typed_outlives_the_session(
        self, admin: Browser, staff: User, session: AsyncSession
    ) -> None:
        product = await a_product(session, "Radio")
        path = f"/products/{product.id}/edit"
        fields = {**fields_of(await admin.open(path)), "body.name": "Radio & more"}
        await session.exec(update(Token).values(expires_at=utcnow()))

        ended = await admin.post(f"/admin{path}", data=fields)
        assert ended.status_code == 401
        assert "what you typed is kept" in words_of(ended.text)
        kept = {**fields_of(ended.text), "username": "staff", "password": PASSWORD}
        resumed = await admin.post("/admin/sign-in", data=kept)
        saved = await admin.post(f"/admin{path}", data=fields_of(resumed.text))

        assert saved.status_code == 303
        await session.refresh(product)
        assert product.name == "Radio & more"

    async def test_a_password_that_was_typed_is_not_kept(self, admin: Browser, session: AsyncSession) -> None:
        await session.exec(update(Token).values(expires_at=utcnow()))
        ended = await admin.post("/admin/users/new", data={"body.username": "x", "secret:body.password": "Sesame0pen"})
        assert ended.status_code == 401
        assert "Sesame0pen" not in ended.text


class TestOtherWebsites:
    @pytest.mark.parametrize(
        "headers",
        [
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site"},
            {"Sec-Fetch-Site": "none"},
            {"Sec-Fetch-Site": "", "Origin": "https://evil.example"},
            {"Sec-Fetch-Site": "cross-site", "Origin": "http://test.example"},
        ],
        ids=str,
    )
    async def test_a_form_that_another_website_sends_does_nothing(
        self, admin: Browser, session: AsyncSession, headers: dict[str, str]
    ) -> None:
        product = await a_product(session, "Radio")
        for path in (f"/products/{product.id}/delete", "/sign-out", "/sign-in", "/users/new"):
            response = await admin.post(f"/admin{path}", data={"x": "1"}, headers=headers)
            assert response.status_code == 403, path
            assert "another website" in words_of(response.text)
        assert await session.get(Product, product.id) is not None
        await admin.open("/users")

    @pytest.mark.parametrize("origin", [None, "null", "http://evil.example", "http://test.example:81", "http://[", "x"])
    async def test_without_fetch_metadata_the_origin_decides(self, admin: Browser, origin: str | None) -> None:
        del admin.headers["Sec-Fetch-Site"]
        headers = {"Origin": origin} if origin else {}
        assert (await admin.post("/admin/sign-out", headers=headers)).status_code == 403
        own = await admin.post("/admin/sign-out", headers={"Origin": "http://test.example"})
        assert own.status_code == 303

    async def test_no_page_changes_anything_when_it_is_only_opened(self, admin: Browser, session: AsyncSession) -> None:
        product = await a_product(session)
        user = await a_user(session)
        for path in (f"/products/{product.id}/delete", f"/users/{user.id}/do/deactivate"):
            await admin.open(path)
        assert await session.get(Product, product.id) is not None
        await session.refresh(user)
        assert user.is_active


class TestHeaders:
    @pytest.mark.parametrize("path", ["", "/products", "/products/new", "/nothing", "/sign-in"])
    async def test_every_page_has_a_strict_policy_and_is_not_cached(self, admin: Browser, path: str) -> None:
        response = await admin.get(f"/admin{path}")
        policy = response.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
        assert "unsafe" not in policy
        assert response.headers["cache-control"] == "no-store"
        assert response.headers["x-frame-options"] == "DENY"
        assert " style=" not in response.text
        assert " on" not in {part[:3] for part in response.text.split('"')}

    async def test_files_are_cached(self, admin: Browser) -> None:
        html = await admin.open("")
        for part in ('rel="stylesheet" href="', 'src="'):
            url = html.partition(part)[2].partition('"')[0]
            assert "immutable" in (await admin.get(url)).headers["cache-control"]

    async def test_the_pages_stand_below_the_prefix_of_a_proxy(self, app: FastAPI, staff: User) -> None:
        async with Browser(app) as browser:
            transport: object = browser._transport
            transport.root_path = "/shop"  # type: ignore[attr-defined]
            signed_in = await browser.post("/shop/admin/sign-in", data={"username": "staff", "password": PASSWORD})
            assert signed_in.headers["location"] == "/shop/admin"
            assert "Path=/shop/admin" in signed_in.headers["set-cookie"]
            browser.cookies.set(COOKIE, browser.cookies[COOKIE], domain="test.example", path="/shop")
            page = await browser.get("/shop/admin/products")
            assert page.status_code == 200
            assert 'href="/admin' not in page.text


async def test_a_database_that_is_away_is_a_page() -> None:
    app = create_app(Settings(_env_file=None, database_url="postgresql://127.0.0.1:1/none"))
    async with app.router.lifespan_context(app), Browser(app, "x") as browser:
        away = await browser.get("/admin/orders")
        assert away.status_code == 503
        assert int(away.headers["retry-after"]) > 0
        assert "<h1>Service Unavailable</h1>" in away.text


async def test_without_an_admin_there_is_no_such_page() -> None:
    app = create_app(Settings(_env_file=None, database_url="sqlite:///unused.db", admin=False))
    async with Browser(app) as browser:
        assert_refused(await browser.get("/admin"), 404)


async def test_the_admin_is_no_part_of_the_document(app: FastAPI) -> None:
    assert not [path for path in app.openapi()["paths"] if path.startswith("/admin")]
