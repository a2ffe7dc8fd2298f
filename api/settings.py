"""The configuration. This is the only module that reads the environment; `.env.example` lists every setting."""

import re
from enum import StrEnum
from functools import cached_property, lru_cache
from importlib.util import find_spec
from ipaddress import ip_network
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, PositiveInt, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from api.currencies import check_currency

DRIVERS = {
    "sqlite": "sqlite+aiosqlite",
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "mysql": "mysql+aiomysql",
    "mariadb": "mysql+aiomysql",
}
"""The async driver for each way of writing a URL, Heroku's `postgres://` included."""


RETIRED = {
    "database_max_overflow": "DATABASE_POOL_SIZE alone limits the connections",
    "database_pool_pre_ping": "a connection that broke is replaced, and the work is run again",
}
"""Settings that once had a meaning, and why they have none now. They are accepted, and named at the start."""


class Environment(StrEnum):
    DEVELOPMENT = "development"
    PRODUCTION = "production"


class PoolMode(StrEnum):
    QUEUE = "queue"
    NONE = "none"


def _split(value: object) -> object:
    return [each.strip() for each in value.split(",") if each.strip()] if isinstance(value, str) else value


CommaSeparated = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
"""Several values with commas between them; `*` means any."""


class Settings(BaseSettings):
    """Every setting with its default; read from the environment, then from a `.env` file."""

    model_config = SettingsConfigDict(
        env_file=".env",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,  # a database's URL holds its password
    )

    environment: Environment = Environment.DEVELOPMENT
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_535)] = 8000
    keep_alive: Annotated[int, Field(ge=1, le=3_600)] = 75  # seconds; load balancers keep idle connections for 60
    log_level: Annotated[Literal["critical", "error", "warning", "info", "debug"], BeforeValidator(str.lower)] = "info"

    shop_name: str = "Shop"
    currency: Annotated[str, BeforeValidator(str.upper), AfterValidator(check_currency)] = "EUR"
    session_days: PositiveInt = 14
    max_body_size: PositiveInt = 1_048_576  # bytes; 500 products with all their texts fit

    # In 15 minutes. Ten are more than a person mistypes; an address can be that of a whole office.
    failed_sign_ins_per_account: PositiveInt = 10
    failed_sign_ins_per_address: PositiveInt = 100
    registrations_per_address: PositiveInt = 100

    allowed_hosts: CommaSeparated = ("*",)
    cors_origins: CommaSeparated = ()
    cors_headers: CommaSeparated = ("traceparent", "tracestate", "baggage", "sentry-trace", "x-requested-with")
    forwarded_allow_ips: CommaSeparated = ("127.0.0.1", "::1")

    database_url: str = "sqlite:///shop.db"
    database_pool: PoolMode = PoolMode.QUEUE
    database_pool_size: PositiveInt | None = None
    database_pool_timeout: Annotated[float, Field(gt=0, le=9)] = (
        8  # seconds, within the deadline of a request, which is 9
    )
    database_pool_recycle: PositiveInt = 1_800  # seconds; proxies close connections that are an hour old
    database_echo: bool = False

    # Without effect: see RETIRED.
    database_max_overflow: str | None = None
    database_pool_pre_ping: str | None = None

    @field_validator("database_url")
    @classmethod
    def _known_database(cls, value: str) -> str:
        try:
            url = make_url(value)
        except ArgumentError:
            raise ValueError("is not a database URL such as postgresql://user:password@host/name") from None
        backend = url.drivername.partition("+")[0]
        if backend not in DRIVERS:
            raise ValueError(f"names the unsupported database {backend}: use SQLite, PostgreSQL, MariaDB or MySQL")
        if backend == "sqlite" and url.database in (None, "", ":memory:"):
            raise ValueError("must name a file: each connection would get an empty database of its own in memory")
        if backend in ("mysql", "mariadb") and find_spec("aiomysql") is None:
            raise ValueError("needs one more package: pip install aiomysql==0.3.2")
        if backend in ("mysql", "mariadb") and url.query:
            raise ValueError("must have no parameters after a ? for MariaDB and MySQL")
        return value

    @field_validator("allowed_hosts")
    @classmethod
    def _host_names(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for each in value:
            if not re.fullmatch(r"\*|(\*\.)?[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]", each):
                raise ValueError(f"contains {each}, which is not a host name such as shop.example.com or *.example.com")
        return value

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for each in value:
            if not re.fullmatch(r"\*|https?://[^/\s*]+", each):
                raise ValueError(f"contains {each}, which is not an origin such as https://www.example.com")
        return value

    @field_validator("cors_headers")
    @classmethod
    def _header_names(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for each in value:
            if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", each):
                raise ValueError(f"contains {each}, which is not the name of a header such as traceparent")
        return value

    @field_validator("forwarded_allow_ips")
    @classmethod
    def _addresses(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for each in value:
            if each != "*":
                ip_network(each)
        return value

    @model_validator(mode="after")
    def _safe_in_production(self) -> Self:
        unsafe = {
            "ALLOWED_HOSTS must name the shop's own hosts": "*" in self.allowed_hosts,
            "CORS_ORIGINS must not be *": "*" in self.cors_origins,
            "FORWARDED_ALLOW_IPS must name the proxies, or 127.0.0.1 where there is none: "
            "if it is not set, all clients share the proxy's address, and if it allows all, any client can forge one": (
                "forwarded_allow_ips" not in self.model_fields_set
                or any(each == "*" or ip_network(each).prefixlen == 0 for each in self.forwarded_allow_ips)
            ),
            "DATABASE_URL must be set: a file in this folder is lost at the next deployment": (
                "database_url" not in self.model_fields_set
            ),
        }
        found = [what for what, is_so in unsafe.items() if is_so]
        if self.is_production and found:
            raise ValueError("unsafe in production: " + "; ".join(found))
        return self

    @cached_property
    def database(self) -> URL:
        """The database's URL with the async driver that this project uses, whatever driver it was written with."""
        url = make_url(self.database_url)
        return url.set(drivername=DRIVERS[url.drivername.partition("+")[0]])

    @property
    def retired(self) -> list[str]:
        """What to tell about settings that are set and have no effect."""
        return [
            f"{name.upper()} has no effect: {reason}."
            for name, reason in RETIRED.items()
            if getattr(self, name) is not None
        ]

    @property
    def is_production(self) -> bool:
        return self.environment is Environment.PRODUCTION


@lru_cache
def get_settings() -> Settings:
    return Settings()
