"""The shop as its first start serves it."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def first_start(environment: dict[str, str], folder: Path, python: str = sys.executable) -> Iterator[tuple[str, str]]:
    """The address of the shop and the first password, as the first start shows them."""
    command = [python, "-m", "api"]
    with subprocess.Popen(command, env=environment, cwd=folder, stdout=subprocess.PIPE, text=True) as shop:
        assert shop.stdout is not None
        try:
            shown = shop.stdout.readline() + shop.stdout.readline()
            password = re.search(r"password (\S+)", shown)
            address = re.search(r"(http://\S+)/docs", shown)
            assert password is not None, shown
            assert address is not None, shown
            yield address[1], password[1]
        finally:
            shop.terminate()
        assert shop.wait(30) == 0
