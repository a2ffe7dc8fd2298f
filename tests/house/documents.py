"""Reading the README and CONTRIBUTING, and running what they say in a copy of the project."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.support import ROOT

BIN = Path(sys.executable).parent


def section(document: str, title: str) -> str:
    (found,) = re.findall(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", document, re.MULTILINE | re.DOTALL)
    return str(found)


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def run(command: list[str], environment: dict[str, str], folder: Path, timeout: int = 300) -> str:
    """Run a command that has to succeed, and return what it prints; `timeout` is in seconds."""
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, timeout=timeout)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def copy_of_the_project(folder: Path, *without: str) -> Path:
    """A copy to change. What git, the tools and a developer keep beside the files is left out, and so is `without`."""
    ignored = shutil.ignore_patterns(".git", ".venv", ".env", ".*_cache", "__pycache__", "*.db*", *without)
    return Path(shutil.copytree(ROOT, folder / "shop", ignore=ignored))
