"""Certificates of a mail server, made once."""

from pathlib import Path

import pytest

from tests.mail_server import make_certificates


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificates(tmp_path_factory.mktemp("certificates"))
