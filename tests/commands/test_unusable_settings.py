"""Settings that cannot be used are one line, however the shop is started, and no line repeats a secret."""

import subprocess
import sys
from pathlib import Path

import pytest

from api import __main__ as cli
from tests.support import ROOT

pytestmark = pytest.mark.usefixtures("environment")

SECRET = "hunter2"
URL = f"DATABASE_URL=postgresql://shop:{SECRET}@127.0.0.1:1/shop\n"
NOT_UTF8 = ".env is not text in UTF-8"
FILES: dict[str, tuple[bytes, str]] = {
    "UTF-16": (f"{URL}SHOP_NAME=Café".encode("utf-16"), NOT_UTF8),
    "UTF-16 without a mark": (URL.encode("utf-16-le"), NOT_UTF8),
    "Latin-1": (f"{URL}SHOP_NAME=Café".encode("latin-1"), NOT_UTF8),
    "a mark of UTF-8": (f"LOG_LEVEL=loud\n{URL}".encode("utf-8-sig"), "LOG_LEVEL: Input should be 'critical'"),
    "no URL": (f"DATABASE_URL={SECRET}".encode(), "DATABASE_URL: is not a database URL"),
    "a number": (f"SESSION_DAYS={SECRET}\n{URL}".encode(), "SESSION_DAYS: Input should be a valid integer"),
    "lists": (
        f"ALLOWED_HOSTS={SECRET}/\nCORS_ORIGINS={SECRET}\nFORWARDED_ALLOW_IPS={SECRET}\n".encode(),
        "ALLOWED_HOSTS: item 1 is not a host name",
    ),
}
"""What a file holds, and what is said of it."""

BIN = Path(sys.executable).parent
STARTS = {
    "the release of the Procfile": [str(BIN / "alembic"), "-c", str(ROOT / "alembic.ini"), "upgrade", "head"],
    "the web process of the Procfile": [str(BIN / "uvicorn"), "api.main:app", "--port", "0"],
    "two of them": [str(BIN / "uvicorn"), "api.main:app", "--port", "0", "--workers", "2"],
    "python -m api": [sys.executable, "-m", "api"],
}


def assert_one_line(output: str, expected: str) -> None:
    assert expected in output
    assert SECRET not in output
    assert "Traceback" not in output


class TestFile:
    @pytest.mark.parametrize("command", [[], ["serve"], ["verify"], ["purge"], ["create-admin"]], ids=str)
    @pytest.mark.parametrize(("written", "expected"), FILES.values(), ids=FILES)
    def test_a_command_says_in_one_line_what_is_wrong(
        self, written: bytes, expected: str, command: list[str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        Path(".env").write_bytes(written)
        assert cli.main(command) == 1
        error = capsys.readouterr().err
        assert_one_line(error, f"error: {expected}")
        assert error.count("\n") == 1

    def test_a_folder_is_named(self, capsys: pytest.CaptureFixture[str]) -> None:
        Path(".env").mkdir()
        assert cli.main([]) == 1
        assert capsys.readouterr().err.startswith("error: .env is a folder")

    def test_a_mark_of_utf8_is_no_part_of_the_first_name(self, capsys: pytest.CaptureFixture[str]) -> None:
        Path(".env").write_text("DATABASE_URL=oracle://host/shop\n", encoding="utf-8-sig")
        assert cli.main([]) == 1
        assert "DATABASE_URL: names the unsupported database" in capsys.readouterr().err


class TestStarts:
    @pytest.mark.parametrize("start", STARTS.values(), ids=STARTS)
    @pytest.mark.parametrize("file", ["Latin-1", "no URL"])
    def test_every_way_to_start_ends_with_one_line(self, start: list[str], file: str) -> None:
        written, expected = FILES[file]
        Path(".env").write_bytes(written)
        ended = subprocess.run(start, capture_output=True, text=True, timeout=60)  # uvicorn starts no worker again
        assert_one_line(ended.stdout + ended.stderr, expected)
        assert "Uvicorn running" not in ended.stdout

    @pytest.mark.parametrize("start", ["the release of the Procfile", "python -m api"])
    def test_a_database_that_cannot_be_reached_is_no_traceback(self, start: str) -> None:
        Path(".env").write_text(URL)
        ended = subprocess.run(STARTS[start], capture_output=True, text=True, timeout=60)
        assert ended.returncode != 0
        assert_one_line(ended.stdout + ended.stderr, "Connection refused")
