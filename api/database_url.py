"""The URL of a database: which ones the shop takes, and what its parameters mean.

Hosting companies write URLs for drivers of their own. What means something here is taken; of the rest, the refusal says
what to use instead. No refusal repeats a value, because a URL holds a password.
"""

import ssl
from collections.abc import Mapping
from importlib.util import find_spec

from psycopg.pq import Conninfo
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

DRIVERS = {
    "sqlite": "sqlite+aiosqlite",
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "mysql": "mysql+aiomysql",
    "mariadb": "mysql+aiomysql",
}
"""The async driver for each way of writing a URL, Heroku's `postgres://` included."""

TLS_MODES = ("disabled", "preferred", "required", "verify_ca", "verify_identity")
"""MySQL's names of them; all but the first two refuse a server without TLS, and the last two check its certificate."""

MYSQL_PARAMETERS = ("charset", "ssl_mode", "ssl_ca", "ssl_cert", "ssl_key")

POSTGRESQL_PARAMETERS = {option.keyword.decode() for option in Conninfo.get_defaults()}
"""Those of libpq."""

INSTEAD = {
    "pgbouncer": "set DATABASE_POOL=none instead",
    "statement_cache_size": "set DATABASE_POOL=none instead",
    "prepared_statement_cache_size": "set DATABASE_POOL=none instead",
    "schema": "use ?options=-csearch_path%3DNAME, or ALTER ROLE … SET search_path",
    "connection_limit": "set DATABASE_POOL_SIZE instead",
    "pool_size": "set DATABASE_POOL_SIZE instead",
    "pool_timeout": "set DATABASE_POOL_TIMEOUT instead",
    "ssl": "use ?sslmode=require for PostgreSQL, ?ssl_mode=REQUIRED for MariaDB and MySQL",
    "sslaccept": "use ?sslmode=verify-full for PostgreSQL, ?ssl_mode=VERIFY_IDENTITY for MariaDB and MySQL",
    "usessl": "use ?ssl_mode=REQUIRED",
    "sslmode": "use ?ssl_mode=REQUIRED for MariaDB and MySQL",
    "reconnect": "leave it out: connections that broke are replaced",
    "autocommit": "leave it out: the shop begins and commits by itself",
}
"""What the shop has in place of parameters of other drivers."""


def parse_url(value: str) -> URL:
    """A database's URL with the async driver that this project uses, whatever driver it was written with.

    Raises:
        ValueError: The shop cannot work with it.
    """
    try:
        url = make_url(value)
    except (ArgumentError, ValueError):  # a port that is no number
        raise ValueError("is not a database URL such as postgresql://user:password@host/name") from None
    backend = url.drivername.partition("+")[0]
    if backend not in DRIVERS:
        raise ValueError(f"names the unsupported database {backend}: use SQLite, PostgreSQL, MariaDB or MySQL")
    if backend != "sqlite" and "@" in f"{url.host}{url.database}":
        raise ValueError("has an @ too many: in a password, write @ as %40, / as %2F, # as %23 and ? as %3F")
    if backend == "sqlite" and url.database in (None, "", ":memory:"):
        raise ValueError("must name a file: each connection would get an empty database of its own in memory")
    if backend in ("mysql", "mariadb") and find_spec("aiomysql") is None:
        raise ValueError("needs one more package: pip install aiomysql==0.3.2")
    url = url.set(drivername=DRIVERS[backend])
    match url.get_backend_name():
        case "sqlite" if url.query:
            raise ValueError("must have no parameters after a ? for SQLite")
        case "mysql":
            tls_context(mysql_options(url))
        case "postgresql":
            _refuse_unknown(url, POSTGRESQL_PARAMETERS, "libpq's parameters alone")
    return url


def mysql_options(url: URL) -> dict[str, str]:
    """The parameters of MariaDB's or MySQL's URL, which may be written with dashes and in any case.

    Raises:
        ValueError: One of them is unknown, or has a value that is.
    """
    options = {name.replace("-", "_").lower(): str(value) for name, value in url.query.items()}
    _refuse_unknown(url.set(query=options), set(MYSQL_PARAMETERS), ", ".join(MYSQL_PARAMETERS))
    if options.get("charset", "utf8mb4").lower() != "utf8mb4":
        raise ValueError("must have the charset utf8mb4, or none: the shop stores any text")
    if "ssl_mode" in options:
        options["ssl_mode"] = options["ssl_mode"].replace("-", "_").lower()
        if options["ssl_mode"] not in TLS_MODES:
            raise ValueError(f"must have one of these as its ssl_mode: {', '.join(TLS_MODES).upper()}")
    return options


def _refuse_unknown(url: URL, known: set[str], those: str) -> None:
    for name in url.query:
        if name not in known:
            reason = INSTEAD.get(name.lower(), f"it may have {those}")
            raise ValueError(f"has the parameter {name}, which does nothing here: {reason}")


def requires_tls(options: Mapping[str, str]) -> bool:
    return _tls_mode(options) not in ("disabled", "preferred")


def _tls_mode(options: Mapping[str, str]) -> str:
    """Where none is given, a CA is there to be checked, and a certificate to be shown."""
    default = "verify_ca" if "ssl_ca" in options else "required" if "ssl_cert" in options else "disabled"
    return options.get("ssl_mode", default)


def tls_context(options: Mapping[str, str]) -> ssl.SSLContext | None:
    """What the driver needs for TLS to MariaDB and MySQL; `None` where their URL does not ask for it.

    Args:
        options: `ssl_mode`, `ssl_ca`, `ssl_cert` and `ssl_key`, as MySQL's manual has them. libpq knows its own.

    Raises:
        ValueError: A file cannot be read, or is no certificate or key.
    """
    mode = _tls_mode(options)
    if mode == "disabled":
        return None
    try:
        context = ssl.create_default_context(cafile=options.get("ssl_ca"))
        context.check_hostname = mode == "verify_identity"
        context.verify_mode = ssl.CERT_REQUIRED if mode.startswith("verify") else ssl.CERT_NONE
        if "ssl_cert" in options:
            context.load_cert_chain(options["ssl_cert"], options.get("ssl_key"))
    except OSError as error:
        raise ValueError(f"has an ssl_ca, ssl_cert or ssl_key that cannot be used: {error.strerror}") from None
    return context
