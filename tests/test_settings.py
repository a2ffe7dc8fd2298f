"""Settings: where they come from, what they refuse, and that each is explained."""

import json
import re
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError
from sqlalchemy import NullPool

from api import currencies
from api.database.sessions import Database
from api.settings import RETIRED, Environment, InvalidSettings, PoolMode, Settings, get_settings

NUMBER = re.compile(r'"type": "(integer|number)"')
EXAMPLE = Path(__file__).parent.parent / ".env.example"


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting of whoever runs the tests counts here."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("written", "used"),
    [
        ("postgres://u:p@host:5433/shop", "postgresql+psycopg://u:p@host:5433/shop"),
        ("postgresql://host/shop", "postgresql+psycopg://host/shop"),
        ("postgresql+psycopg2://host/shop?sslmode=require", "postgresql+psycopg://host/shop?sslmode=require"),
        ("mysql://u:p@host/shop", "mysql+aiomysql://u:p@host/shop"),
        ("mysql+pymysql://u:p@host/shop", "mysql+aiomysql://u:p@host/shop"),
        ("mariadb://u:p@host/shop", "mysql+aiomysql://u:p@host/shop"),
        ("sqlite:///shop.db", "sqlite+aiosqlite:///shop.db"),
        ("sqlite:////var/lib/shop.db", "sqlite+aiosqlite:////var/lib/shop.db"),
    ],
)
def test_a_database_url_gets_the_driver_that_the_shop_uses(written: str, used: str) -> None:
    assert Settings(database_url=written).database.render_as_string(hide_password=False) == used


def test_a_refused_database_url_is_not_shown() -> None:
    with pytest.raises(ValidationError) as refused:
        Settings(database_url="oracle://scott:tiger@host/shop")
    assert "tiger" not in str(refused.value)


def test_a_missing_driver_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    extra = re.search(r"^aiomysql==\S+", (EXAMPLE.parent / "requirements-dev.txt").read_text(), re.MULTILINE)
    assert extra is not None
    monkeypatch.setitem(sys.modules, "aiomysql", None)
    with pytest.raises(ValidationError, match=re.escape(f"pip install {extra[0]}")):
        Settings(database_url="mysql://host/shop")


@pytest.mark.parametrize("scheme", ["postgres", "mysql", "mariadb"])
def test_a_password_may_hold_any_character(scheme: str) -> None:
    url = Settings(database_url=f"{scheme}://shop:100%25%40%2F%3A@host/shop").database
    assert (url.username, url.password, url.host) == ("shop", "100%@/:", "host")


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("shop.db", "is not a database URL such as postgresql://user:password@host/name"),
        ("oracle://host/shop", "names the unsupported database oracle: use SQLite, PostgreSQL, MariaDB or MySQL"),
        ("mysql://host/shop?charset=latin1", "must have the charset utf8mb4"),
        (
            "mariadb+aiomysql://host/shop?autocommit=0",
            "the parameter autocommit, which does nothing here: leave it out",
        ),
        ("sqlite://", "must name a file"),
        ("sqlite:///:memory:", "must name a file"),
    ],
)
def test_a_database_url_that_cannot_work_is_refused_with_a_reason(url: str, complaint: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(complaint)):
        Settings(database_url=url)


@pytest.mark.parametrize(
    "url",
    [
        "hunter2",
        "postgresql://shop:x@hunter2@host/shop",
        "postgresql://shop:hunter2@host:port/shop",
        "mysql://shop:hunter2@host/shop?ssl_ca=/nowhere/ca.pem",
        "mysql://shop:hunter2@host/shop?password=hunter2",
        "sqlite:///shop.db?password=hunter2",
    ],
)
def test_no_refusal_of_a_database_url_repeats_a_secret(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("DATABASE_URL", url)
    get_settings.cache_clear()
    with pytest.raises(InvalidSettings) as refused:
        get_settings()
    assert str(refused.value).startswith("DATABASE_URL: ")
    assert "hunter2" not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_every_number_is_bounded_on_both_sides() -> None:
    """A number that is too large is an error somewhere else, where it is used."""
    schemas = Settings.model_json_schema()["properties"]
    numbers = {name: json.dumps(schema) for name, schema in schemas.items() if NUMBER.search(json.dumps(schema))}
    assert len(numbers) >= 10
    assert [name for name, schema in numbers.items() if "inimum" not in schema or "aximum" not in schema] == []


class TestUrlParameters:
    @pytest.mark.parametrize(
        ("url", "instead"),
        [
            ("postgresql://host/shop?pgbouncer=true", "set DATABASE_POOL=none instead"),
            ("postgresql://host/shop?schema=public", "use ?options=-csearch_path%3DNAME"),
            ("postgresql://host/shop?connection_limit=5", "set DATABASE_POOL_SIZE instead"),
            ("postgresql://host/shop?pool_timeout=5", "set DATABASE_POOL_TIMEOUT instead"),
            ("postgresql://host/shop?ssl=true", "use ?sslmode=require for PostgreSQL"),
            ("postgresql://host/shop?nonsense=1", "libpq's parameters alone"),
            ("mysql://host/shop?sslmode=require", "use ?ssl_mode=REQUIRED"),
            ("mysql://host/shop?useSSL=true", "use ?ssl_mode=REQUIRED"),
            ("mysql://host/shop?reconnect=true", "leave it out"),
            ("mysql://host/shop?ssl_mode=MAYBE", "DISABLED, PREFERRED, REQUIRED, VERIFY_CA, VERIFY_IDENTITY"),
            ("mysql://host/shop?nonsense=1", "charset, ssl_mode, ssl_ca, ssl_cert, ssl_key"),
            ("mysql://host/shop?ssl_ca=/nowhere/ca.pem", "cannot be used: No such file or directory"),
            ("sqlite:///shop.db?mode=ro", "must have no parameters"),
        ],
    )
    def test_a_foreign_parameter_is_refused_with_what_to_use_instead(self, url: str, instead: str) -> None:
        with pytest.raises(ValidationError, match=re.escape(instead)):
            Settings(database_url=url)

    @pytest.mark.parametrize(
        "parameters", ["", "?charset=utf8mb4", "?ssl_mode=DISABLED", "?ssl-mode=required", "?ssl_mode=VERIFY_IDENTITY"]
    )
    def test_the_parameters_of_mysql_stand_beside_the_url_of_the_driver(self, parameters: str) -> None:
        settings = Settings(database_url=f"mysql://host/shop{parameters}")
        assert settings.database.render_as_string() == "mysql+aiomysql://host/shop"


def test_pool_none_keeps_no_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_POOL", "none")
    settings = Settings()
    assert settings.database_pool is PoolMode.NONE
    assert isinstance(Database(settings).engine.pool, NullPool)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "65536"),
        ("LOG_LEVEL", "loud"),
        ("CURRENCY", "euro"),
        ("ENVIRONMENT", "staging"),
        ("DATABASE_POOL", "some"),
        ("DATABASE_POOL_SIZE", "0"),
        ("DATABASE_POOL_TIMEOUT", "10"),  # the answer would come after the ten seconds that are promised
        ("SESSION_DAYS", "0"),
        ("SESSION_DAYS", "3000000"),  # the end would be after the year 9999
        ("MAX_BODY_SIZE", "10000000000"),
        ("FAILED_SIGN_INS_PER_ACCOUNT", "9223372036854775808"),
        ("FAILED_SIGN_INS_PER_ADDRESS", "9223372036854775808"),
        ("REGISTRATIONS_PER_ADDRESS", "9223372036854775808"),
        ("DATABASE_POOL_SIZE", "1000000"),
        ("DATABASE_POOL_TIMEOUT", "nan"),
        ("DATABASE_POOL_RECYCLE", "1000000000000"),
        ("WEB_CONCURRENCY", "0"),
        ("WEB_CONCURRENCY", "1000000"),
        ("ACCESS_LOG", "loud"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError, match=name.lower()):
        Settings()


@pytest.mark.parametrize("name", ["DATABASE_MAX_OVERFLOW", "DATABASE_POOL_PRE_PING"])
def test_a_setting_that_has_lost_its_meaning_is_accepted_and_named(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "20")
    (told,) = Settings(_env_file=None).retired
    assert told.startswith(f"{name} has no effect")


def test_log_level_and_currency_ignore_case(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOG_LEVEL", "WARNING")
    monkeypatch.setenv("CURRENCY", "usd")
    settings = Settings()
    assert (settings.log_level, settings.currency) == ("warning", "USD")


@pytest.mark.parametrize(
    ("currency", "reason"),
    [
        ("JPY", "JPY is not supported: it has 0 decimal places, and the shop stores amounts with two"),
        ("krw", "KRW is not supported: it has 0 decimal places"),
        ("KWD", "KWD is not supported: it has 3 decimal places"),
        ("CLF", "CLF is not supported: it has 4 decimal places"),
        ("XAU", "XAU is not supported: it is a code of ISO 4217, but no money"),
        ("XXX", "XXX is not supported"),
        ("ABC", "is no currency in use: use a code of ISO 4217, such as EUR"),
        ("HRK", "is no currency in use"),  # Croatia has had the euro since 2023
        ("EURO", "is no currency in use"),
        ("€", "is no currency in use"),
    ],
)
def test_a_currency_that_the_shop_cannot_have_is_refused_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, currency: str, reason: str
) -> None:
    monkeypatch.setenv("CURRENCY", currency)
    with pytest.raises(ValidationError) as refused:
        Settings()
    (mistake,) = refused.value.errors()
    assert mistake["loc"] == ("currency",)
    assert reason in mistake["msg"]
    assert "\n" not in mistake["msg"]


@pytest.mark.parametrize("currency", ["EUR", "USD", "GBP", "CHF", "PLN", "INR", "BRL", "ZAR", "TRY", "XCD"])
def test_a_currency_with_two_decimal_places_is_taken(monkeypatch: pytest.MonkeyPatch, currency: str) -> None:
    monkeypatch.setenv("CURRENCY", currency)
    assert Settings().currency == currency


def test_no_currency_stands_in_two_lists() -> None:
    lists = [*currencies.WITH_TWO_PLACES, *currencies.WITH_OTHER_PLACES, *currencies.WITHOUT_PLACES]
    assert len(lists) == len(set(lists)) == 178
    assert all(re.fullmatch("[A-Z]{3}", each) for each in lists)


def test_the_environment_counts_for_more_than_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("SHOP_NAME=From the file\nPORT=1234\nUNKNOWN=ignored\n")
    monkeypatch.setenv("PORT", "5678")
    settings = Settings()
    assert (settings.shop_name, settings.port) == ("From the file", 5678)


def test_settings_are_read_once() -> None:
    assert get_settings() is get_settings()


SAFE = {
    "ENVIRONMENT": "production",
    "ALLOWED_HOSTS": "shop.example.com, *.example.org",
    "CORS_ORIGINS": "https://www.example.com",
    "FORWARDED_ALLOW_IPS": "10.0.0.0/8",
    "DATABASE_URL": "postgresql://host/shop",
}


def test_the_environment_setting_means_production(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not Settings().is_production
    for name, value in SAFE.items():
        monkeypatch.setenv(name, value)
    assert Settings().is_production
    assert Settings().environment is Environment.PRODUCTION
    assert Settings().allowed_hosts == ("shop.example.com", "*.example.org")


@pytest.mark.parametrize(
    ("name", "unsafe"),
    [
        ("ALLOWED_HOSTS", ""),
        ("ALLOWED_HOSTS", "*"),
        ("ALLOWED_HOSTS", "shop.example.com,*"),
        ("CORS_ORIGINS", "*"),
        ("CORS_ORIGINS", "https://www.example.com, *"),
        ("FORWARDED_ALLOW_IPS", ""),
        ("FORWARDED_ALLOW_IPS", "*"),
        ("FORWARDED_ALLOW_IPS", "10.0.0.0/8, 0.0.0.0/0"),
        ("FORWARDED_ALLOW_IPS", "::/0"),
        ("DATABASE_URL", ""),
    ],
)
def test_production_refuses_what_is_unsafe_and_names_it(
    monkeypatch: pytest.MonkeyPatch, name: str, unsafe: str
) -> None:
    for safe_name, value in SAFE.items():
        monkeypatch.setenv(safe_name, value)
    monkeypatch.setenv(name, unsafe)
    with pytest.raises(ValidationError, match=name):
        Settings()
    monkeypatch.setenv("ENVIRONMENT", "development")
    Settings()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ALLOWED_HOSTS", "https://shop.example.com"),
        ("ALLOWED_HOSTS", "shop.*.com"),
        ("CORS_ORIGINS", "www.example.com"),
        ("CORS_ORIGINS", "https://www.example.com/"),
        ("CORS_ORIGINS", "https://*.example.com"),
        ("FORWARDED_ALLOW_IPS", "the-proxy"),
        ("FORWARDED_ALLOW_IPS", "10.0.0.1/8"),
    ],
)
def test_an_invalid_item_in_a_list_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError, match=name.lower()):
        Settings()


def test_the_example_explains_every_setting_and_no_other() -> None:
    written = re.findall(r"^([A-Z_]+)=", EXAMPLE.read_text(), re.MULTILINE)
    assert sorted(written) == sorted(name.upper() for name in Settings.model_fields if name not in RETIRED)


def test_the_example_holds_the_defaults() -> None:
    assert Settings(_env_file=EXAMPLE) == Settings(_env_file=None)
