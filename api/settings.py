"""The configuration. This is the only module that reads the environment; `.env.example` lists every setting."""

import re
from collections.abc import Mapping
from enum import StrEnum
from functools import cached_property, lru_cache
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, field_validator, model_validator
from pydantic_settings import NoDecode, SettingsConfigDict
from sqlalchemy import URL

from api.currencies import check_currency
from api.database_url import mysql_options, parse_url
from api.mail_settings import Attempts, MailSettings

ENV_FILE = ".env"
ENV_ENCODING = "utf-8-sig"
"""Of the file; an editor's mark of UTF-8 at its beginning is no part of the first name."""

RETIRED = {
    "database_max_overflow": "DATABASE_POOL_SIZE alone limits the connections",
    "database_pool_pre_ping": "a connection that broke is replaced, and the work is run again",
}
"""Settings that once had a meaning, and why they have none now. They are accepted, and named at the start."""


class Environment(StrEnum):
    DEVELOPMENT = "development"
    PRODUCTION = "production"


class LogFormat(StrEnum):
    JSON = "json"
    TEXT = "text"


class PoolMode(StrEnum):
    QUEUE = "queue"
    NONE = "none"


def _split(value: object) -> object:
    return [each.strip() for each in value.split(",") if each.strip()] if isinstance(value, str) else value


IpAddress = Annotated[str, AfterValidator(lambda value: str(ip_address(value)))]

CommaSeparated = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
"""Several values with commas between them; `*` means any."""


class Settings(MailSettings):
    """Every setting with its default; read from the environment, then from a `.env` file."""

    model_config = SettingsConfigDict(
        env_file=ENV_FILE,
        env_file_encoding=ENV_ENCODING,
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,  # the URLs of a database and of a mail server hold passwords
    )

    environment: Environment = Environment.DEVELOPMENT
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_535)] = 8000
    keep_alive: Annotated[int, Field(ge=1, le=3_600)] = 75  # seconds; load balancers keep idle connections for 60
    web_concurrency: Annotated[int, Field(ge=1, le=1_000)] = 1
    access_log: bool = True
    log_format: LogFormat | None = None
    log_level: Annotated[Literal["critical", "error", "warning", "info", "debug"], BeforeValidator(str.lower)] = "info"

    metrics_host: IpAddress = "127.0.0.1"
    metrics_port: Annotated[int, Field(ge=1, le=65_535)] | None = None

    shop_name: str = "Shop"
    currency: Annotated[str, BeforeValidator(str.upper), AfterValidator(check_currency)] = "EUR"
    admin: bool = True
    worker: bool = True
    webhooks_to_private_addresses: bool = False
    session_days: Annotated[int, Field(ge=1, le=3_650)] = 14
    max_body_size: Annotated[int, Field(ge=1, le=104_857_600)] = 1_048_576  # bytes; 500 products with all texts fit
    max_import_size: Annotated[int, Field(ge=1, le=1_073_741_824)] = 52_428_800  # bytes; 100,000 products fit

    # In 15 minutes. Ten are more than a person mistypes; an address can be that of a whole office.
    failed_sign_ins_per_account: Attempts = 10
    failed_sign_ins_per_address: Attempts = 100
    registrations_per_address: Attempts = 100
    password_resets_per_account: Attempts = 5
    password_resets_per_address: Attempts = 100

    allowed_hosts: CommaSeparated = ("*",)
    cors_origins: CommaSeparated = ()
    cors_headers: CommaSeparated = ("traceparent", "tracestate", "baggage", "sentry-trace", "x-requested-with")
    forwarded_allow_ips: CommaSeparated = ("127.0.0.1", "::1")

    database_url: str = "sqlite:///shop.db"
    database_pool: PoolMode = PoolMode.QUEUE
    database_pool_size: Annotated[int, Field(ge=1, le=1_000)] | None = None
    database_pool_timeout: Annotated[float, Field(gt=0, le=9)] = (
        8  # seconds, within the deadline of a request, which is 9
    )
    # Seconds; proxies close connections that are an hour old.
    database_pool_recycle: Annotated[int, Field(ge=1, le=86_400)] = 1_800
    database_echo: bool = False

    # Without effect: see RETIRED.
    database_max_overflow: str | None = None
    database_pool_pre_ping: str | None = None

    @field_validator("database_url")
    @classmethod
    def _known_database(cls, value: str) -> str:
        parse_url(value)
        return value

    @field_validator("allowed_hosts")
    @classmethod
    def _host_names(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for number, each in enumerate(value, 1):
            if not re.fullmatch(r"\*|(\*\.)?[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]", each):
                raise ValueError(f"item {number} is not a host name such as shop.example.com or *.example.com")
        return value

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for number, each in enumerate(value, 1):
            if not re.fullmatch(r"\*|https?://[^/\s*@]+", each):
                raise ValueError(f"item {number} is not an origin such as https://www.example.com")
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
        for number, each in enumerate(value, 1):
            if each == "*":
                continue
            try:
                ip_network(each)
            except ValueError:
                raise ValueError(f"item {number} is no address or network such as 10.0.0.0/8") from None
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
        found = [*(what for what, is_so in unsafe.items() if is_so), *self.unsafe_mail]
        if self.is_production and found:
            raise ValueError("unsafe in production: " + "; ".join(found))
        return self

    @cached_property
    def database(self) -> URL:
        """The database's URL with the async driver that this project uses, whatever driver it was written with."""
        url = parse_url(self.database_url)
        return url.set(query={}) if url.get_backend_name() == "mysql" else url

    @cached_property
    def mysql_options(self) -> dict[str, str]:
        """The parameters of MariaDB's or MySQL's URL."""
        url = parse_url(self.database_url)
        return mysql_options(url) if url.get_backend_name() == "mysql" else {}

    @property
    def retired(self) -> list[str]:
        """What to tell about settings that are set and have no effect."""
        return [
            f"{name.upper()} has no effect: {reason}."
            for name, reason in RETIRED.items()
            if getattr(self, name) is not None
        ]

    @property
    def log_form(self) -> LogFormat:
        """JSON for machines where the shop is in production, and text for people elsewhere, unless the setting says."""
        return self.log_format or (LogFormat.JSON if self.is_production else LogFormat.TEXT)

    @property
    def has_mail(self) -> bool:
        """Whether mail reaches anybody: in development it is shown where it is not sent."""
        return self.smtp_url is not None or not self.is_production

    @property
    def is_production(self) -> bool:
        return self.environment is Environment.PRODUCTION


class InvalidSettings(Exception):
    """Why the shop cannot start with its settings, in one line that names each and repeats no value."""


@lru_cache
def get_settings() -> Settings:
    """The settings of the environment and of `.env`, read once.

    Raises:
        InvalidSettings: One of them cannot be used, or the file cannot be read.
    """
    _check_env_file(Path(ENV_FILE))
    try:
        return Settings()
    except ValidationError as error:
        raise InvalidSettings("; ".join(_mistake(each) for each in error.errors(include_input=False))) from None


def _mistake(error: Mapping[str, Any]) -> str:
    """A setting goes by its name in the environment."""
    name = ".".join(str(part) for part in error["loc"]).upper()
    message = str(error["msg"]).removeprefix("Value error, ")
    return f"{name}: {message}" if name else message


def _check_env_file(file: Path) -> None:
    """A file in another encoding would be a traceback, or would be read as if it had none of its lines."""
    try:
        is_text = not file.exists() or "\0" not in file.read_text(ENV_ENCODING)
    except UnicodeDecodeError:
        is_text = False
    except IsADirectoryError:
        raise InvalidSettings(f"{file} is a folder: the settings are read from a file of this name") from None
    except OSError as error:
        raise InvalidSettings(f"{file} cannot be read: {error.strerror}") from None
    if not is_text:
        raise InvalidSettings(f"{file} is not text in UTF-8: save it in this encoding")
