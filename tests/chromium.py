"""The Chromium of the system, and a page in it whose errors, requests and breaches of its policy are kept."""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from playwright.async_api import Browser, ConsoleMessage, Page, Request, async_playwright

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")

UNDERSCORES = "Deprecated: escaping deep link whitespace with `_`"
"""Swagger UI warns that an underscore in a link, as in `read_me`, is an old way to write a space; the link works."""

REPORT_VIOLATIONS = """
document.addEventListener("securitypolicyviolation", event =>
    reportViolation(`${event.violatedDirective} ${event.blockedURI} ${event.sample}`))
"""


@asynccontextmanager
async def chromium(what: str) -> AsyncIterator[Browser]:
    """Without a browser the tests of `what` are skipped, and fail in CI."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        give_up = pytest.fail if os.environ.get("CI") else pytest.skip
        give_up(f"{what} is NOT TESTED in a browser: the system has none of {', '.join(BROWSERS)}")
    async with async_playwright() as playwright:
        # As root, which is usual in a container, Chromium does not start with its sandbox.
        yield await playwright.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu"])


@dataclass
class Watched:
    """A page, the errors that its browser reported, and the URLs that it requested."""

    page: Page
    requested: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("request", lambda request: self.requested.append(request.url))
        self.page.on("requestfailed", self._keep_failure)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", self._keep_error)

    def _keep_error(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "assert") and not message.text.startswith(UNDERSCORES):
            self.errors.append(message.text)

    def _keep_failure(self, request: Request) -> None:
        if request.failure != "net::ERR_ABORTED":  # another page was opened meanwhile
            self.errors.append(f"{request.url}: {request.failure}")

    async def open(self, url: str) -> Page:
        await self.page.expose_function("reportViolation", lambda text: self.errors.append(f"policy: {text}"))
        await self.page.add_init_script(REPORT_VIOLATIONS)
        await self.page.goto(url)
        return self.page
