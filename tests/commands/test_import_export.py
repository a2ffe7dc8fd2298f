"""`python -m api import` and `python -m api export`: files by the command line."""

import os
import subprocess
import sys
import termios
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest

from api import __main__ as cli
from tests.commands.support import count

FILE = "sku,name,price,stock_quantity\nA-1,One,1.50,3\nA-2,Two,2.00,0\n"


@dataclass(frozen=True)
class Ended:
    returncode: int
    stdout: bytes
    stderr: bytes


class Run(Protocol):
    """Runs a command, and reads what it wrote."""

    def __call__(self, *arguments: str) -> Ended: ...


@pytest.fixture
def run(capsysbinary: pytest.CaptureFixture[bytes]) -> Run:
    """In this process: a start takes seconds."""

    def run(*arguments: str) -> Ended:
        try:
            code = cli.main(arguments)
        except SystemExit as error:  # of argparse
            code = int(error.code or 0)
        return Ended(code, *capsysbinary.readouterr())

    return run


@pytest.fixture
def new_file(tmp_path: Path) -> Path:
    file = tmp_path / "new.csv"
    file.write_text(FILE)
    return file


class TestImport:
    def test_a_file_is_imported_and_what_is_exported_changes_nothing(
        self, migrated: str, run: Run, new_file: Path, tmp_path: Path
    ) -> None:
        exported, again = tmp_path / "out.jsonl", tmp_path / "again.jsonl"

        imported = run("import", "products", str(new_file))

        assert imported.stdout.decode() == "2 rows of products: 2 added, 0 changed, 0 unchanged, 0 bad\n"
        assert (imported.returncode, imported.stderr) == (0, b""), "the bar is for terminals"
        assert count(migrated, "stock_movements") == 1
        assert run("export", "products", str(exported)).returncode == 0
        assert b"0 added, 0 changed, 2 unchanged" in run("import", "products", str(exported)).stdout
        assert run("export", "products", str(again)).returncode == 0
        assert again.read_bytes() == exported.read_bytes()
        assert b"all is well" in run("verify").stdout

    def test_wrong_rows_are_told_and_the_exit_code_says_it(self, migrated: str, run: Run, new_file: Path) -> None:
        new_file.write_text(FILE.replace("1.50", '"1,50"'))

        refused = run("import", "products", str(new_file))

        assert refused.returncode == 1
        told = refused.stderr.decode().splitlines()
        assert told[0].startswith("line 2.price: must be written with a decimal point")
        assert told[1:] == ["error: 1 of 2 rows is wrong, and nothing was imported."]
        assert count(migrated, "products") == 0
        skipping = run("import", "products", str(new_file), "--skip-bad-rows")
        assert skipping.returncode == 1
        assert b"1 added, 0 changed, 0 unchanged, 1 bad" in skipping.stdout
        assert count(migrated, "products") == 1

    def test_a_dry_run_writes_nothing(self, migrated: str, run: Run, new_file: Path) -> None:
        tried = run("import", "products", str(new_file), "--dry-run")

        assert (tried.returncode, tried.stdout) == (
            0,
            b"2 rows of products: 2 would be added, 0 would be changed, 0 unchanged, 0 bad\n",
        )
        assert count(migrated, "products") == 0

    @pytest.mark.parametrize("name", ["-", "/dev/stdin"])
    def test_a_pipe_is_imported_whatever_it_is_called(self, migrated: str, name: str) -> None:
        command = [sys.executable, "-m", "api", "import", "products", name]
        done = subprocess.run(command, input=FILE.encode(), capture_output=True, timeout=60, check=False)

        assert done.stdout.decode() == "2 rows of products: 2 added, 0 changed, 0 unchanged, 0 bad\n", done.stderr

    def test_on_a_terminal_a_bar_shows_how_far_it_is(self, migrated: str, tmp_path: Path) -> None:
        file = tmp_path / "new.csv"
        file.write_text(f"{FILE}A-3,Three,0,0\n")
        terminal, slave = os.openpty()
        termios.tcsetwinsize(slave, (24, 80))

        command = [sys.executable, "-m", "api", "import", "products", str(file), "--skip-bad-rows"]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=slave, timeout=60, check=False)
        os.close(slave)
        told = ""
        with suppress(OSError):  # its end
            while read := os.read(terminal, 65_536):
                told += read.decode()
        os.close(terminal)

        assert b"2 added, 0 changed, 0 unchanged, 1 bad" in done.stdout
        assert "line 4.price: Input should be greater than 0" in told
        assert "%|" in told

    @pytest.mark.parametrize("backend", ["sqlite"], indirect=True)  # none is asked
    @pytest.mark.parametrize(
        ("arguments", "says"),
        [
            (["products", "missing.csv"], "No such file"),
            (["products", "products.xlsx"], "--format csv or --format jsonl"),
            (["orders", "orders.csv"], "invalid choice"),
        ],
    )
    def test_what_cannot_be_imported_is_refused_in_one_line(
        self, migrated: str, run: Run, arguments: list[str], says: str
    ) -> None:
        refused = run("import", *arguments)

        assert refused.returncode in (1, 2)
        assert says in refused.stderr.decode()
        assert "Traceback" not in refused.stderr.decode()


class TestExport:
    def test_the_standard_output_has_the_file_alone(self, migrated: str, run: Run) -> None:
        done = run("export", "categories")

        assert done.returncode == 0
        assert done.stdout.decode("utf-8-sig").splitlines()[1].startswith("Electronics,electronics,")

    def test_a_failed_export_leaves_the_file_that_was_there(
        self, url: str, environment: pytest.MonkeyPatch, run: Run, tmp_path: Path
    ) -> None:
        environment.setenv("DATABASE_URL", url)  # without tables
        file = tmp_path / "products.csv"
        file.write_text("before")

        failed = run("export", "products", str(file))

        assert failed.returncode == 1
        assert file.read_text() == "before"
        assert [each.name for each in tmp_path.glob("products*")] == ["products.csv"]

    def test_a_link_stays_and_leads_to_the_new_file(self, migrated: str, run: Run, tmp_path: Path) -> None:
        (tmp_path / "folder").mkdir()
        targets = [tmp_path / "folder" / name for name in ("present.csv", "absent.csv")]
        targets[0].write_text("before")
        for target in targets:
            link = tmp_path / target.name
            link.symlink_to(target)
            assert run("export", "categories", str(link)).returncode == 0
            assert link.is_symlink()
            assert "Electronics" in target.read_text()
        assert [each.name for each in tmp_path.rglob("*.part")] == []

    def test_a_pipe_is_written_to_and_not_replaced(self, migrated: str, run: Run, tmp_path: Path) -> None:
        pipe = tmp_path / "pipe.csv"
        os.mkfifo(pipe)
        with ThreadPoolExecutor(1) as thread:
            read = thread.submit(pipe.read_text)
            assert run("export", "categories", str(pipe)).returncode == 0
            assert "Electronics" in read.result(60)
        assert pipe.is_fifo()

    def test_a_device_stays_a_device(self, migrated: str, run: Run) -> None:
        assert run("export", "categories", os.devnull, "--format", "csv").returncode == 0
        assert Path(os.devnull).is_char_device()

    @pytest.mark.parametrize(("before", "after"), [(0o604, 0o604), (None, 0o640)], ids=["as before", "of a new file"])
    def test_others_may_read_a_file_as_they_may_others(
        self, migrated: str, run: Run, tmp_path: Path, before: int | None, after: int
    ) -> None:
        file = tmp_path / "categories.csv"
        if before is not None:
            file.touch()
            file.chmod(before)
        mask = os.umask(0o027)
        try:
            assert run("export", "categories", str(file)).returncode == 0
        finally:
            os.umask(mask)
        assert file.stat().st_mode & 0o777 == after
