"""The page at /docs, in a real browser: it works without the internet, under a strict policy, and signs users in."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from playwright.async_api import Browser, Locator, Page, expect

from api.main import create_app
from api.settings import Settings
from tests.chromium import Watched, chromium
from tests.first_start import first_start
from tests.support import ROOT

ACCESS = """
                                                     nobody  owner  other  staff
GET    /docs                                             200    200    200    200
GET    /docs/{digest}/{path}                             200    200    200    200
GET    /openapi.json                                     200    200    200    200
"""

REQUESTS: dict[str, dict[str, Any]] = {"GET /docs/{digest}/{path}": {"path": "swagger-ui.css"}}
"""What stands in the path of a line of `ACCESS`. `{digest}` is the one of the running app."""

ATTEMPTS = {
    "script-src-elem": "document.body.append(Object.assign(document.createElement('script'), {text: '1'}))",
    "style-src": "document.body.append(Object.assign(document.createElement('style'), {textContent: 'a {}'}))",
    "connect-src": "fetch('https://example.com/').catch(() => null)",
}
"""Scripts that a directive of the policy forbids: an inline script, an inline style, a request to another host."""


@dataclass(frozen=True)
class Shop:
    """A running shop, and its first admin as the command line shows it."""

    url: str
    username: str
    password: str


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A shop that `python -m api` started in an empty directory."""
    directory = tmp_path_factory.mktemp("shop")
    database = f"sqlite:///{directory / 'shop.db'}"
    environment = os.environ | {"DATABASE_URL": database, "HOST": "127.0.0.1", "PORT": "0", "PYTHONPATH": str(ROOT)}
    with first_start(environment, directory) as (address, password):
        yield Shop(address, "admin", password)


@pytest.fixture(scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium("/docs") as browser:
        yield browser


async def opened(watched: Watched, url: str) -> Page:
    """The page with its operations, which take seconds to load."""
    page = await watched.open(url)
    await expect(page.locator(".opblock-tag").first).to_be_visible(timeout=30_000)
    return page


@pytest.fixture
async def watched(browser: Browser) -> AsyncIterator[Watched]:
    context = await browser.new_context()
    yield Watched(await context.new_page())
    await context.close()


@pytest.fixture(scope="module")
async def seen(browser: Browser, shop: Shop) -> AsyncIterator[Watched]:
    """The page with one operation unfolded, for tests that only look at it: it takes seconds to load."""
    context = await browser.new_context()
    watched = Watched(await context.new_page())
    await unfolded(await opened(watched, f"{shop.url}/docs#products/products.create"), "products/products.create")
    yield watched
    await context.close()


async def unfolded(page: Page, operation_id: str) -> Locator:
    """The operation that the link to the page named."""
    escaped = operation_id.replace("/", "-").replace(".", r"\\.")  # Swagger UI escapes it for CSS, and CSS once more
    operation = page.locator(f'[id="operations-{escaped}"]')
    await expect(operation.locator(".execute")).to_be_visible(timeout=30_000)
    return operation


async def sign_in(page: Page, shop: Shop) -> None:
    await page.locator(".auth-wrapper .authorize").click()
    await page.locator("#oauth_username").fill(shop.username)
    await page.locator("#oauth_password").fill(shop.password)
    await page.locator(".auth-container", has_text="password").first.locator("button.authorize").click()
    await expect(page.locator(".auth-container").first.get_by_text("Logout")).to_be_visible(timeout=30_000)
    await page.locator(".close-modal").click()


async def execute(operation: Locator) -> Locator:
    await operation.locator(".execute").click()
    answer = operation.locator(".live-responses-table .response")
    await expect(answer).to_be_visible(timeout=30_000)
    return answer


class TestBrowser:
    async def test_the_page_shows_every_operation(self, shop: Shop, seen: Watched) -> None:
        page = seen.page
        document = await (await page.request.get(f"{shop.url}/openapi.json")).json()
        for tag in document["tags"]:
            if await page.locator(f"#operations-tag-{tag['name']}[data-is-open=false]").count():
                await page.locator(f"#operations-tag-{tag['name']}").click()
        items = [*document["paths"].values(), *document["webhooks"].values()]
        operations = sum(len(each) for each in items)
        await expect(page.locator(".opblock")).to_have_count(operations)
        assert await page.title() == document["info"]["title"]

    async def test_the_page_loads_nothing_from_other_hosts(self, shop: Shop, seen: Watched) -> None:
        await seen.page.wait_for_load_state("networkidle")
        assert f"{shop.url}/openapi.json" in seen.requested
        assert [url for url in seen.requested if not url.startswith((f"{shop.url}/", "data:"))] == []

    async def test_the_browser_reports_no_error_on_the_page(self, seen: Watched) -> None:
        page = seen.page
        operation = await unfolded(page, "products/products.create")
        await operation.locator(".model-example").first.get_by_text("Schema").click()
        await page.locator(".models").get_by_role("button").first.click()
        await page.locator(".operation-filter-input").fill("orders")
        await page.locator(".auth-wrapper .authorize").click()
        await page.wait_for_load_state("networkidle")
        await page.locator(".close-modal").click()
        await page.locator(".operation-filter-input").fill("")
        assert seen.errors == []

    async def test_a_user_signs_in_and_reads_their_own_data(self, shop: Shop, watched: Watched) -> None:
        page = await opened(watched, f"{shop.url}/docs")
        await sign_in(page, shop)
        await page.evaluate("location.hash = 'users/users.read_me'")
        await page.reload()  # the user stays signed in
        answer = await execute(await unfolded(page, "users/users.read_me"))
        await expect(answer.locator(".response-col_status")).to_have_text("200")
        await expect(answer).to_contain_text(f'"username": "{shop.username}"')
        assert watched.errors == []

    async def test_a_request_without_a_token_shows_its_refusal(self, shop: Shop, watched: Watched) -> None:
        page = await opened(watched, f"{shop.url}/docs#users/users.read_me")
        answer = await execute(await unfolded(page, "users/users.read_me"))
        await expect(answer.locator(".response-col_status")).to_contain_text("401")
        await expect(answer).to_contain_text("Sign in first")

    async def test_a_user_signs_in_from_the_path_with_a_trailing_slash(self, shop: Shop, watched: Watched) -> None:
        page = await opened(watched, f"{shop.url}/docs/")
        await sign_in(page, shop)
        assert watched.errors == []

    async def test_the_sign_in_form_asks_for_no_client_and_no_scope(self, seen: Watched) -> None:
        page = seen.page
        await page.locator(".auth-wrapper .authorize").click()
        await expect(page.locator("#oauth_password")).to_be_visible()
        await expect(page.locator("#client_id_password")).to_be_hidden()
        await expect(page.locator("#client_secret_password")).to_be_hidden()
        await expect(page.get_by_text("Scopes are used")).to_be_hidden()
        await page.locator(".close-modal").click()

    async def test_attempts_against_the_policy_are_blocked(self, shop: Shop, watched: Watched) -> None:
        page = await opened(watched, f"{shop.url}/docs")
        for attempt in ATTEMPTS.values():
            await page.evaluate(f"() => {{ {attempt} }}")

        def not_blocked() -> list[str]:
            blocked = [error.removeprefix("policy: ") for error in watched.errors if error.startswith("policy: ")]
            return [directive for directive in ATTEMPTS if not any(each.startswith(directive) for each in blocked)]

        with suppress(TimeoutError):
            async with asyncio.timeout(30):
                while not_blocked():  # noqa: ASYNC110 - the browser tells each breach by itself
                    await asyncio.sleep(0.05)
        assert not_blocked() == [], f"the browser blocked only {watched.errors}"


class TestFiles:
    """The page and its files, without a browser."""

    @pytest.fixture
    async def client(self) -> AsyncIterator[httpx.AsyncClient]:
        app: Any = create_app(Settings(_env_file=None, database_url="sqlite:///unused.db", shop_name="<Tom & Jerry's>"))
        transport = httpx.ASGITransport(app, root_path="/shop")
        async with httpx.AsyncClient(transport=transport, base_url="http://shop.example") as client:
            yield client

    async def test_the_page_names_files_below_the_prefix_of_a_proxy(self, client: httpx.AsyncClient) -> None:
        page = (await client.get("/shop/docs")).text
        named = [part.partition('"')[0] for key in (' src="', ' href="', '-url="') for part in page.split(key)[1:]]
        assert len(named) == 6
        for path in named:
            assert path.startswith("/shop/")
            assert (await client.get(path)).status_code == 200

    async def test_the_policy_of_the_page_allows_only_its_own_files(self, client: httpx.AsyncClient) -> None:
        response = await client.get("/shop/docs")
        policy = response.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'")
        assert "unsafe" not in policy
        assert "http" not in policy
        assert "<title>&lt;Tom &amp; Jerry&#x27;s&gt;</title>" in response.text

    async def test_files_are_cached_and_the_page_is_not(self, client: httpx.AsyncClient) -> None:
        page = await client.get("/shop/docs")
        assert page.headers["Cache-Control"] == "no-cache"
        bundle = page.text.partition('<script src="')[2].partition('"')[0]
        response = await client.get(bundle)
        assert "immutable" in response.headers["Cache-Control"]
        assert response.headers["Content-Type"].startswith("text/javascript")
        missing = await client.get(bundle.replace("swagger", "no"))
        assert missing.status_code == 404
        assert "immutable" not in missing.headers.get("Cache-Control", "")

    async def test_no_other_documentation_is_served(self, client: httpx.AsyncClient) -> None:
        assert (await client.get("/shop/redoc")).status_code == 404
