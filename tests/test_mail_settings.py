"""The settings of mail: what they take, what they refuse, and that no refusal repeats a secret."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from api.mail_settings import Security, SmtpServer, parse_sender, parse_smtp_url
from api.settings import InvalidSettings, Settings, get_settings

SECRET = "hunter2"


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("smtp://mail.example.com", SmtpServer("mail.example.com", 587, Security.STARTTLS)),
        ("smtps://mail.example.com/", SmtpServer("mail.example.com", 465, Security.TLS)),
        ("smtp://127.0.0.1:1025?starttls=no", SmtpServer("127.0.0.1", 1025, Security.NONE)),
        (
            "smtp://shop%40example.com:100%25%40%2F%3A@[::1]:25",
            SmtpServer("::1", 25, Security.STARTTLS, "shop@example.com", "100%@/:"),
        ),
    ],
)
def test_the_url_of_a_mail_server(url: str, server: SmtpServer) -> None:
    assert parse_smtp_url(url) == server
    assert "100%" not in repr(parse_smtp_url(url))


@pytest.mark.parametrize(
    "url",
    [
        SECRET,
        f"https://user:{SECRET}@mail.example.com",
        f"smtp://user:{SECRET}@",
        f"smtp://user:{SECRET}@host:port",
        f"smtp://user:{SECRET}@host:99999",
        f"smtp://{SECRET}@host",
        f"smtp://user:{SECRET}@host/path",
        f"smtp://host?password={SECRET}",
        f"smtp://host?starttls={SECRET}",
        "smtps://host?starttls=no",
        f"smtp://host?ca=/nowhere/{SECRET}.pem",
    ],
)
def test_an_unusable_url_is_refused_in_one_line_without_the_secret(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMTP_URL", url)
    monkeypatch.setenv("MAIL_FROM", "shop@example.com")
    get_settings.cache_clear()
    with pytest.raises(InvalidSettings) as refused:
        get_settings()
    get_settings.cache_clear()
    assert str(refused.value).startswith("SMTP_URL: ")
    assert SECRET not in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("written", "sender"),
    [
        ("shop@example.com", "shop@example.com"),
        ("My Shop <shop@example.com>", "My Shop <shop@example.com>"),
        ("Käse <shop@bücher.example>", "Käse <shop@xn--bcher-kva.example>"),
    ],
)
def test_whom_mail_comes_from(written: str, sender: str) -> None:
    assert str(parse_sender(written)) == sender


@pytest.mark.parametrize(
    "written", ["shop", "a@example.com, b@example.com", "Shop <shop@example.com>\r\nBcc: all@example.com", "Shop:;", ""]
)
def test_what_is_no_address_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match="is not an address such as"):
        parse_sender(written)


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"smtp_url": "smtp://host"}, "MAIL_FROM must be set where SMTP_URL is"),
        ({"public_url": "shop.example.com"}, "is not the address of a page"),
        ({"public_url": "https://user:x@shop.example.com"}, "is not the address of a page"),
        ({"public_url": "https://shop.example.com/?a=b"}, "is not the address of a page"),
        ({"public_url": "javascript:alert(1)"}, "is not the address of a page"),
        ({"password_reset_url": "https://x:y"}, "is not the address of a page"),
        ({"mail_templates": "/nowhere"}, "is not a folder"),
    ],
)
def test_a_setting_that_cannot_work_is_refused(settings: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        Settings(_env_file=None, **settings)


class TestProduction:
    SAFE: dict[str, Any] = {
        "environment": "production",
        "allowed_hosts": "shop.example.com",
        "forwarded_allow_ips": "127.0.0.1",
        "database_url": "sqlite:////data/shop.db",
    }
    MAIL: dict[str, Any] = {
        "smtp_url": "smtp://host",
        "mail_from": "shop@example.com",
        "public_url": "https://shop.example.com",
    }

    @pytest.mark.parametrize(
        ("unsafe", "complaint"),
        [
            ({"public_url": "http://shop.example.com"}, "PUBLIC_URL must begin with https://"),
            ({"password_reset_url": "http://example.com"}, "PASSWORD_RESET_URL must begin with https://"),
            ({"smtp_url": "smtp://host?starttls=no"}, "SMTP_URL must not have starttls=no"),
        ],
    )
    def test_what_is_unsafe_is_named(self, unsafe: dict[str, str], complaint: str) -> None:
        with pytest.raises(ValidationError, match=complaint):
            Settings(_env_file=None, **self.SAFE, **{**self.MAIL, **unsafe})

    def test_registrations_that_nobody_could_confirm_are_refused_in_one_line(self) -> None:
        needs = "unsafe in production: CONFIRM_REGISTRATIONS needs SMTP_URL: without mail nobody could confirm one"
        with pytest.raises(ValidationError) as refused:
            Settings(_env_file=None, **self.SAFE, confirm_registrations=True)
        (error,) = refused.value.errors()
        assert error["msg"] == f"Value error, {needs}"
        Settings(_env_file=None, **self.SAFE, **self.MAIL, confirm_registrations=True)
        assert Settings(_env_file=None, confirm_registrations=True).has_mail

    def test_mail_by_a_server_on_this_computer_needs_no_tls(self) -> None:
        Settings(_env_file=None, **self.SAFE, **{**self.MAIL, "smtp_url": "smtp://localhost:25?starttls=no"})

    def test_mail_is_there_where_it_is_sent_or_shown(self, tmp_path: Path) -> None:
        production = Settings(_env_file=None, **self.SAFE)
        assert (production.has_mail, production.confirms_addresses) == (False, False)
        sending = Settings(_env_file=None, **self.SAFE, **self.MAIL, mail_templates=tmp_path)
        assert (sending.has_mail, sending.confirms_addresses) == (True, True)
        development = Settings(_env_file=None)
        assert (development.has_mail, development.confirms_addresses) == (True, False)
