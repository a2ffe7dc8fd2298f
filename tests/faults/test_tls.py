"""TLS to the database by the parameters of its URL, with servers of their own and certificates made here."""

import gc
import os
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from httpx import ASGITransport, AsyncClient
from sqlalchemy import URL, make_url

from api.commands.setup import migrate
from api.database.sessions import Database
from api.main import create_app
from api.settings import PoolMode, Settings
from tests.databases import ask
from tests.faults.servers import mariadb, postgresql_of_the_system
from tests.support import assert_refused

pytestmark = pytest.mark.faults

OURS = {"ssl_cert": "pem", "ssl_key": "key"}
"""The files that a client shows."""


@pytest.fixture(scope="module")
def certificates() -> Iterator[Path]:
    """A CA, another CA, and the certificate of a server at 127.0.0.1 which the first one signed."""
    with TemporaryDirectory(prefix="shop-tls-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        for authority in ("ca", "other"):
            _openssl(
                folder,
                f"req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN={authority} "
                f"-keyout {authority}.key -out {authority}.pem",
            )
        (folder / "san").write_text("subjectAltName=IP:127.0.0.1")
        _openssl(folder, "req -newkey rsa:2048 -nodes -subj /CN=server -keyout server.key -out server.csr")
        _openssl(
            folder,
            "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile san -out server.pem",
        )
        yield folder


def _openssl(folder: Path, arguments: str) -> None:
    subprocess.run(["openssl", *arguments.split()], cwd=folder, check=True, capture_output=True, timeout=60)


def _for_server(certificates: Path, user: str) -> list[Path]:
    """The key and the certificate as files that the server's user may read and nobody else."""
    copies = [certificates / f"{user}.{name}" for name in ("key", "pem")]
    for name, copy in zip(("key", "pem"), copies, strict=True):
        shutil.copy(certificates / f"server.{name}", copy)
        copy.chmod(0o600)
        if os.geteuid() == 0:
            shutil.chown(copy, user)
    return copies


async def is_encrypted(url: URL, pool: PoolMode = PoolMode.QUEUE) -> bool:
    """Whether the shop's own connections are, and answer; migrates with the same parameters first."""
    settings = Settings(_env_file=None, database_url=url.render_as_string(hide_password=False), database_pool=pool)
    with ThreadPoolExecutor(1) as thread:
        thread.submit(migrate, settings).result()
    database = Database(settings)
    assert await database.schema_difference() is None
    async with database.engine.connect() as connection:
        if database.backend == "mysql":
            status = await connection.exec_driver_sql("SHOW SESSION STATUS LIKE 'Ssl_cipher'")
            found = bool(status.mappings().one()["Value"])
        else:
            asked = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
            found = bool((await connection.exec_driver_sql(asked)).scalar_one())
    await database.close()
    gc.collect()  # what the migrations left open would be a ResourceWarning, and so an error, here
    return found


async def assert_unreachable(url: URL, reason: str) -> None:
    """By migrations in one line, and by requests with a 503."""
    settings = Settings(_env_file=None, database_url=url.render_as_string(hide_password=False))
    with ThreadPoolExecutor(1) as thread, pytest.raises(Exception, match=reason):
        thread.submit(migrate, settings).result()
    app = create_app(settings)
    async with (
        app.router.lifespan_context(app),
        AsyncClient(transport=ASGITransport(app), base_url="http://test.example") as client,
    ):
        assert_refused(await client.get("/health/ready"), 503)
        assert_refused(await client.get("/products"), 503)


class TestMariadb:
    async def test_each_mode_does_what_mysql_says_of_it(self, certificates: Path) -> None:
        key, certificate = _for_server(certificates, "mysql")
        options = (f"--ssl-key={key}", f"--ssl-cert={certificate}", f"--ssl-ca={certificates / 'ca.pem'}")
        with mariadb(*options) as server:
            url = make_url(server.url)
            ask(url, "CREATE USER shop IDENTIFIED BY 'secret' REQUIRE SSL")
            ask(url, "GRANT ALL ON shop.* TO shop")
            url = url.set(username="shop", password="secret")
            ca, other = str(certificates / "ca.pem"), str(certificates / "other.pem")
            ours = {name: str(certificates / f"server.{ending}") for name, ending in OURS.items()}
            for query in (
                {"ssl_mode": "REQUIRED"},
                {"ssl-mode": "required", "charset": "utf8mb4"},
                {"ssl_mode": "PREFERRED"},
                {"ssl_ca": ca},
                {"ssl_mode": "VERIFY_CA", "ssl_ca": ca},
                {"ssl_mode": "VERIFY_IDENTITY", "ssl_ca": ca},
                {"ssl_ca": ca, **ours},
            ):
                assert await is_encrypted(url.set(query=query)), query
            assert await is_encrypted(url.set(query={"ssl_mode": "REQUIRED"}), PoolMode.NONE)
            await assert_unreachable(url.set(query={}), "Access denied")
            await assert_unreachable(url.set(query={"ssl_ca": other}), "certificate")
            identity = {"ssl_mode": "VERIFY_IDENTITY", "ssl_ca": ca}
            await assert_unreachable(url.set(host="localhost", query=identity), "certificate")

    async def test_a_server_without_tls_is_refused_where_tls_is_demanded(self) -> None:
        """Aiomysql would go on in the clear."""
        with mariadb("--skip-ssl") as server:
            url = make_url(server.url)
            assert not await is_encrypted(url.set(query={"ssl_mode": "PREFERRED"}))
            await assert_unreachable(url.set(query={"ssl_mode": "REQUIRED"}), "The database server offers no TLS")


class TestPostgresql:
    async def test_libpq_s_modes_work_for_requests_and_migrations(self, certificates: Path) -> None:
        key, certificate = _for_server(certificates, "postgres")
        options = ("-c", "ssl=on", "-c", f"ssl_key_file={key}", "-c", f"ssl_cert_file={certificate}")
        with postgresql_of_the_system(*options) as url:
            ca, other = str(certificates / "ca.pem"), str(certificates / "other.pem")
            for query in ({"sslmode": "require"}, {"sslmode": "verify-full", "sslrootcert": ca}):
                for pool in PoolMode:
                    assert await is_encrypted(url.set(query=query), pool), query
            assert not await is_encrypted(url.set(query={"sslmode": "disable"}))
            await assert_unreachable(url.set(query={"sslmode": "verify-full", "sslrootcert": other}), "certificate")

    async def test_a_server_without_tls_is_refused_where_tls_is_demanded(self) -> None:
        with postgresql_of_the_system() as url:
            await assert_unreachable(url.set(query={"sslmode": "require"}), "does not support SSL")
