"""What a person typed into a form is not lost because the database is busy when it is sent."""

from collections.abc import AsyncIterator

import pytest
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.sessions import Database
from api.models.product import Product
from api.models.user import User
from api.settings import Settings
from tests.admin.support import Browser, fields_of, words_of
from tests.apps import running
from tests.factories import a_token
from tests.support import PASSWORD


@pytest.fixture
async def busy(settings: Settings, session: AsyncSession, staff: User) -> AsyncIterator[tuple[Browser, Database]]:
    """The browser of a staff user, and a database that has one connection for all requests."""
    secret, _ = await a_token(session, staff)
    changes = {"database_pool_size": 1, "database_pool_timeout": 1}
    async with running(settings, **changes) as app, Browser(app, secret) as browser:
        yield browser, app.state.database


async def send_while_busy(busy: tuple[Browser, Database], path: str, fields: dict[str, str]) -> str:
    """Send a form while the only connection is in use; the page that is answered."""
    browser, database = busy
    async with database.reads() as only_session:
        await only_session.exec(select(Product.id).limit(1))
        refused = await browser.post(f"/admin{path}", data=fields)
    assert refused.status_code == 503, words_of(refused.text)
    assert int(refused.headers["Retry-After"]) > 0
    return refused.text


async def test_a_form_is_offered_again_with_what_was_typed(
    busy: tuple[Browser, Database], session: AsyncSession
) -> None:
    browser, _ = busy
    fields = fields_of(await browser.open("/products/new"))
    fields |= {"body.name": "Radio", "body.sku": "r-1", "body.price": "5", "body.description": 'Two\r\n"lines"'}

    html = await send_while_busy(busy, "/products/new?x=1", fields)

    assert "Try again" in words_of(html)
    assert 'action="/admin/products/new?x=1"' in html
    assert fields_of(html) == fields
    sent = [await browser.post("/admin/products/new", data=fields_of(html)) for _ in range(2)]
    assert [each.status_code for each in sent] == [303, 303]
    (product,) = (await session.exec(select(Product).where(col(Product.sku) == "R-1"))).all()
    assert product.description == 'Two\n"lines"'


async def test_a_password_is_not_shown_again(busy: tuple[Browser, Database]) -> None:
    browser, _ = busy
    fields = fields_of(await browser.open("/users/new"))
    (secret,) = [name for name in fields if name.startswith("secret:")]
    fields |= {"body.username": "carla", "body.email": "carla@example.com", secret: "SecurePass123"}

    html = await send_while_busy(busy, "/users/new", fields)

    assert "SecurePass123" not in html
    assert fields_of(html) == {name: text for name, text in fields.items() if name != secret}


async def test_a_sign_in_keeps_nothing_that_was_typed(busy: tuple[Browser, Database]) -> None:
    html = await send_while_busy(busy, "/sign-in", {"username": "staff", "password": PASSWORD})
    assert PASSWORD not in html
