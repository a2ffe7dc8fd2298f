"""Take the README's screenshots of the demo: `python -m tests.screenshots`, with the system's Chromium."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory

from playwright.sync_api import Page, ViewportSize, sync_playwright

from tests.support import ROOT

FOLDER = ROOT / ".github"
SIZE = ViewportSize(width=1280, height=800)
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


@contextmanager
def demo() -> Iterator[tuple[str, str]]:
    """The address of a demo, and the password of `admin`."""
    with TemporaryDirectory(prefix="shop-demo-") as folder:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PORT": "0"}
        command = [sys.executable, "-m", "api", "demo"]
        with subprocess.Popen(command, env=environment, cwd=folder, stdout=subprocess.PIPE, text=True) as shop:
            assert shop.stdout is not None
            try:
                shown = ""
                while "/docs" not in shown:
                    shown += shop.stdout.readline()
                password, address = re.search(r"password (\S+)", shown), re.search(r"(http://\S+)/docs", shown)
                assert password is not None, shown
                assert address is not None, shown
                yield address[1], password[1]
            finally:
                shop.terminate()


def take_docs(page: Page, address: str) -> None:
    page.goto(f"{address}/docs#/products")
    page.locator(".opblock").first.wait_for()
    page.locator(".opblock-tag").filter(has_text="products").first.scroll_into_view_if_needed()
    page.screenshot(path=FOLDER / "docs.png")


def take_admin(page: Page, address: str, password: str) -> None:
    page.goto(f"{address}/admin")
    page.fill("input[name=username]", "admin")
    page.fill("input[name=password]", password)
    page.press("input[name=password]", "Enter")
    page.wait_for_load_state("networkidle")
    page.screenshot(path=FOLDER / "admin.png")


def main() -> None:
    browser_file = next(filter(None, map(shutil.which, BROWSERS)), None)
    with demo() as (address, password), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_file, args=["--no-sandbox"])
        page = browser.new_page(viewport=SIZE)
        page.set_default_timeout(120_000)
        take_docs(page, address)
        take_admin(page, address, password)
        browser.close()


if __name__ == "__main__":
    main()
