"""The admin in a real browser: a working day of a shopkeeper, on a desk and on a phone, by mouse and by keyboard."""

import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from playwright.async_api import Browser, Page, Route, expect

from tests.chromium import Watched, chromium
from tests.first_start import first_start
from tests.support import ROOT

DESK: Any = {"width": 1280, "height": 800}
PHONE: Any = {"width": 390, "height": 844}
CUSTOMER = {"username": "anna", "email": "anna@example.com", "password": "SecurePass123"}
RADIO = {"name": "Radio", "price": "79.99", "sku": "R-1", "stock_quantity": 5}
expect.set_options(timeout=30_000)  # on a busy machine a page takes seconds
TOO_WIDE = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


@dataclass(frozen=True)
class Shop:
    """A running shop with many products, and one order that is paid."""

    url: str
    password: str
    order: dict[str, Any]

    def at(self, path: str) -> str:
        return f"{self.url}/admin{path}"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder = tmp_path_factory.mktemp("shop")
    database = f"sqlite:///{folder / 'shop.db'}"
    environment = os.environ | {"DATABASE_URL": database, "HOST": "127.0.0.1", "PORT": "0", "PYTHONPATH": str(ROOT)}
    with first_start(environment, folder) as (address, password), httpx.Client(base_url=address, timeout=60) as client:
        signed_in = client.post("/auth/token", data={"username": "admin", "password": password}).json()
        client.headers["Authorization"] = f"Bearer {signed_in['access_token']}"
        customer, product = client.post("/users", json=CUSTOMER).json(), client.post("/products", json=RADIO).json()
        items = [{"product_id": product["id"], "quantity": 2}]
        order = client.post("/orders", json={"user_id": customer["id"], "items": items}).json()
        many = [{"name": f"Lamp {number}", "price": "1", "sku": f"L-{number}"} for number in range(101)]
        client.post("/products/bulk", json=many).raise_for_status()
        client.post(f"/orders/{order['id']}/payments", json={"method": "card", "amount": "159.98"}).raise_for_status()
        yield Shop(address, password, order)


@pytest.fixture(scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium("/admin") as browser:
        yield browser


@pytest.fixture
async def watched(browser: Browser) -> AsyncIterator[Watched]:
    context = await browser.new_context(viewport=DESK)
    yield Watched(await context.new_page())
    await context.close()


async def sign_in(watched: Watched, shop: Shop, path: str = "") -> Page:
    """Open a page, and sign in on the way; the browser reports the 401 of that as an error."""
    page = await watched.open(shop.at(path))
    await page.get_by_label("Username or e-mail address").fill("admin")
    await page.get_by_label("Password").fill(shop.password)
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.locator("form.out").first).to_be_attached()
    watched.errors.clear()
    return page


async def test_a_shopkeepers_day(watched: Watched, shop: Shop) -> None:
    page = await sign_in(watched, shop, "/products")
    await expect(page.get_by_role("heading", name="Products")).to_be_visible()

    # A price is changed; a first attempt is refused.
    await page.get_by_label("Search").fill("radio")
    await page.keyboard.press("Enter")
    await page.get_by_role("link", name="Radio").click()
    await page.get_by_role("link", name="Edit").click()
    await page.get_by_label("Price").fill("free")
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_label("Price")).to_have_attribute("aria-invalid", "true")
    await expect(page.get_by_text("must be a number such as 79.99")).to_be_visible()
    watched.errors.clear()  # the browser reports the 422
    await page.get_by_label("Price").fill("69.99")
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_text("Update product: done.")).to_be_visible()
    await expect(page.get_by_text("69.99", exact=True)).to_be_visible()

    # A delivery arrives.
    await page.get_by_role("link", name="Adjust the stock").click()
    await page.get_by_label("Delta").fill("20")
    await page.get_by_label("Reason").fill("Delivery of 12 May")
    await page.get_by_role("button", name="Adjust the stock").click()
    await expect(page.get_by_text("Change stock: done.")).to_be_visible()
    await expect(page.locator("dt:text-is('Stock quantity') + dd")).to_have_text("23")
    await expect(page.get_by_text("Delivery of 12 May")).to_be_visible()

    # An order is found by its customer, shipped, and refunded in part.
    await page.get_by_role("navigation").get_by_role("link", name="Orders", exact=True).click()
    await page.get_by_label("Search").fill("anna")
    await page.keyboard.press("Enter")
    await page.get_by_role("link", name=shop.order["order_number"]).click()
    await page.get_by_role("button", name="Ship").click()
    await expect(page.locator(".facts .badge", has_text="shipped")).to_be_visible()
    await page.locator("main").get_by_role("link", name="Refund").click()
    await page.get_by_label("Amount").fill("9.99")
    await page.get_by_label("Reason").fill("Arrived scratched")
    await page.get_by_role("button", name="Refund").dblclick()  # which refunds once
    await expect(page.get_by_text("Refund payment: done.")).to_be_visible()
    await page.reload()
    await page.goto(shop.at(f"/orders/{shop.order['id']}"))
    await expect(page.locator("dt:text-is('Refunded amount') + dd")).to_have_text("9.99")

    await page.get_by_role("button", name="Sign out").first.click()
    await expect(page.get_by_role("button", name="Sign in")).to_be_visible()
    assert watched.errors == []
    assert [url for url in watched.requested if not url.startswith(f"{shop.url}/")] == []


async def test_a_form_whose_sending_was_stopped_can_be_sent_again(watched: Watched, shop: Shop) -> None:
    """Esc while a page is slow leaves the form as it is, and the browser tells nobody."""
    page = await sign_in(watched, shop, "/tags/new")
    sent: list[str | None] = []

    async def stop_the_first(route: Route) -> None:
        if route.request.method == "POST":
            sent.append(route.request.post_data)
        await (route.abort("aborted") if len(sent) == 1 else route.continue_())

    await page.route("**/admin/tags/new", stop_the_first)
    create = page.locator("main form").get_by_role("button").first
    await page.get_by_label("Name").fill("Stopped")
    async with page.expect_event("requestfailed"):
        await create.click()
    await create.click()  # a second press at once is taken for a double click
    assert len(sent) == 1

    await page.get_by_label("Name").fill("Stopped once")
    await create.click()
    await expect(page.get_by_text("done.")).to_be_visible()
    assert len(sent) == 2


async def test_rows_are_suggested_while_a_person_types(watched: Watched, shop: Shop) -> None:
    page = await sign_in(watched, shop, "/orders/new")
    await page.locator("[name='body.items.0.product_id']").press_sequentially("radio")
    await expect(page.locator("datalist option")).to_have_count(1)
    assert await page.locator("datalist option").get_attribute("value") == "1"
    assert watched.errors == []


async def test_a_page_with_a_secret_that_is_loaded_again_makes_nothing_again(watched: Watched, shop: Shop) -> None:
    page = await sign_in(watched, shop, "/webhooks/new")
    await page.get_by_label("URL").fill("https://hooks.example.com/shop")
    await page.get_by_role("button", name="Save").click()
    await expect(page.locator(".secret")).to_contain_text("whsec_")
    await page.reload()
    await expect(page.get_by_text("Create webhook: done.")).to_be_visible()
    await page.goto(shop.at("/webhooks"))
    await expect(page.locator("tbody tr")).to_have_count(1)
    assert watched.errors == []


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
async def test_pages_fit_the_screen_and_break_no_policy(browser: Browser, shop: Shop, size: Any) -> None:
    context = await browser.new_context(viewport=size, color_scheme="dark")
    watched = Watched(await context.new_page())
    page = await sign_in(watched, shop)
    order = f"/orders/{shop.order['id']}"
    for path in (
        *("", "/products", "/orders", order, "/users/2", "/products/1/edit", "/orders/new"),
        *(
            f"{order}/do/record-a-payment",
            "/stock-movements",
            "/transactions",
            "/products/1/delete",
            "/posts",
            "/products/import",
        ),
    ):
        await page.goto(shop.at(path))
        await expect(page.locator("h1")).to_be_visible()
        assert await page.evaluate(TOO_WIDE) <= 0, f"{path} is wider than {size['width']} pixels"
    assert watched.errors == []
    await context.close()


async def test_a_person_can_do_without_a_mouse(watched: Watched, shop: Shop) -> None:
    page = await sign_in(watched, shop, "/categories")
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    await page.keyboard.press("Enter")
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="New category")).to_be_focused()
    outline = await page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    await page.keyboard.press("Enter")
    await page.get_by_label("Name").focus()
    await page.keyboard.type("Audio")
    await page.keyboard.press("Enter")
    await expect(page.get_by_text("Create category: done.")).to_be_visible()


@pytest.mark.parametrize(
    "path", ["/products/new", "/users/new", "/orders/new", "/posts/new", "/products/import", "/webhooks/new"]
)
async def test_every_field_has_a_label(watched: Watched, shop: Shop, path: str) -> None:
    page = await sign_in(watched, shop, path)
    nameless = await page.evaluate(
        "[...document.querySelectorAll('main input:not([type=hidden]), main select, main textarea')]"
        ".filter(each => !each.labels.length).map(each => each.name)"
    )
    assert nameless == []
