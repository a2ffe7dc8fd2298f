"""The pages that links in mails lead to."""

import logging
import re
from typing import Any

import pytest
from fastapi import FastAPI, Request
from httpx import ASGITransport, AsyncClient, Response
from sqlalchemy.exc import OperationalError
from sqlmodel.ext.asyncio.session import AsyncSession

from api.auth.mailed_links import set_new_password
from api.mail import pages
from api.models.mail import MailKind, PasswordReset
from api.models.user import User
from api.settings import Environment, Settings
from api.web import transactions
from tests.apps import running
from tests.auth.support import NEW_PASSWORD, sign_in
from tests.factories import a_mail, a_registration, a_user
from tests.world import CONFIRMATION_TOKEN, REGISTRATION_TOKEN, RESET_TOKEN, link

ACCESS = """
                                  nobody  owner  other  staff
GET    /password-reset               200    200    200    200
POST   /password-reset               200    200    200    200
GET    /email-confirmation           200    200    200    200
POST   /email-confirmation           200    200    200    200
GET    /registration-confirmation    200    200    200    200
POST   /registration-confirmation    200    200    200    200
"""

REQUESTS: dict[str, Any] = {
    "GET /password-reset": {"params": {"token": "any"}},
    "POST /password-reset": {"data": {"token": RESET_TOKEN, "new_password": NEW_PASSWORD}},
    "POST /email-confirmation": {"data": {"token": CONFIRMATION_TOKEN}},
    "POST /registration-confirmation": {"data": {"token": REGISTRATION_TOKEN}},
}


def browser(app: FastAPI) -> AsyncClient:
    return AsyncClient(transport=ASGITransport(app), base_url="http://test.example")


def message_of(page: Response) -> str:
    found = re.search(r'<p class="(?:note|alert)" role="\w+">([^<]*)</p>', page.text)
    return found[1] if found else ""


class TestPage:
    @pytest.mark.parametrize(
        ("path", "done"), [("/password-reset", "Your password"), ("/email-confirmation", "Your new")]
    )
    async def test_a_link_that_fails_looks_like_it_and_one_that_works_too(
        self, app: FastAPI, session: AsyncSession, path: str, done: str
    ) -> None:
        user = await a_user(session, pending_email="new@example.com")
        await a_mail(session, user, **link(RESET_TOKEN))
        confirmation = {"kind": MailKind.EMAIL_CONFIRMATION, "address": "new@example.com"} | link(CONFIRMATION_TOKEN)
        await a_mail(session, user, **confirmation)
        request = REQUESTS[f"POST {path}"]
        async with browser(app) as visitor:
            incomplete = await visitor.get(path)
            first, second = [await visitor.post(path, **request) for _ in range(2)]
        for bad in (incomplete, second):
            assert '<p class="alert" role="alert">' in bad.text
            assert "<h1>This link does not work</h1>" in bad.text
        assert f'<p class="note" role="status">{done}' in first.text

    async def test_a_run_that_fails_for_a_moment_is_run_again_and_the_log_names_the_page(
        self, app: FastAPI, session: AsyncSession, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        await a_mail(session, await a_user(session), **link(RESET_TOKEN))
        failures = [OperationalError("UPDATE", {}, ConnectionError("gone"))]

        async def fail_once(request: Request, data: PasswordReset) -> None:
            if failures:
                raise failures.pop()
            await set_new_password(request, data)

        monkeypatch.setattr(pages, "set_new_password", fail_once)
        monkeypatch.setattr(transactions, "_may_succeed_again", lambda *_: True)
        async with browser(app) as visitor:
            with caplog.at_level(logging.INFO, logger=transactions.__name__):
                done = await visitor.post("/password-reset", **REQUESTS["POST /password-reset"])
        assert (done.status_code, message_of(done)) == (200, "Your password is changed. Sign in with the new one.")
        assert "POST /password-reset is run again" in caplog.text


class TestPasswordReset:
    async def test_the_form_sets_the_password_once(
        self, app: FastAPI, client: AsyncClient, session: AsyncSession, customer: User
    ) -> None:
        await a_mail(session, customer, **link("secret"))
        form = {"token": "secret", "new_password": NEW_PASSWORD}
        async with browser(app) as visitor:
            shown = await visitor.get("/password-reset", params={"token": "secret"})
            assert 'name="token" value="secret"' in shown.text
            assert "<script" not in shown.text
            done = await visitor.post("/password-reset", data=form)
            again = await visitor.post("/password-reset", data=form)

        assert (done.status_code, message_of(done)) == (200, "Your password is changed. Sign in with the new one.")
        assert (again.status_code, message_of(again)[:24]) == (403, "The link is invalid, has")
        assert (await sign_in(client, password=NEW_PASSWORD)).status_code == 200

    async def test_a_weak_password_is_said_and_the_link_still_works(
        self, app: FastAPI, session: AsyncSession, customer: User
    ) -> None:
        await a_mail(session, customer, **link("secret"))
        async with browser(app) as visitor:
            for weak, words in (
                ("short", "The password must have 8 to 128 characters."),
                ("nothing-upper", "The password must contain at least one upper-case letter and one digit."),
            ):
                refused = await visitor.post("/password-reset", data={"token": "secret", "new_password": weak})
                assert (refused.status_code, message_of(refused)) == (422, words)
                assert 'name="token" value="secret"' in refused.text
                assert weak not in refused.text

    async def test_what_is_typed_into_the_address_is_escaped(self, app: FastAPI) -> None:
        async with browser(app) as visitor:
            shown = await visitor.get("/password-reset", params={"token": '"><script>alert(1)</script>'})
            incomplete = await visitor.get("/password-reset")
            other = await visitor.post("/password-reset", content="{}", headers={"Content-Type": "application/json"})
        assert "<script>" not in shown.text
        assert message_of(incomplete).startswith("The link is incomplete.")
        assert other.status_code == 415

    async def test_no_page_tells_another_one_where_it_was_opened(self, app: FastAPI) -> None:
        async with browser(app) as visitor:
            headers = (await visitor.get("/password-reset", params={"token": "x"})).headers
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Cache-Control"] == "no-store"
        policy = headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; style-src 'sha256-")
        assert "unsafe" not in policy

    async def test_where_there_is_no_mail_there_is_no_page(self, settings: Settings) -> None:
        safe = {"environment": Environment.PRODUCTION, "allowed_hosts": ("test.example",)}
        async with running(settings, **safe) as app, browser(app) as visitor:
            assert (await visitor.get("/password-reset?token=x")).status_code == 404


class TestEmailConfirmation:
    async def test_the_form_confirms_the_address(self, app: FastAPI, session: AsyncSession) -> None:
        user = await a_user(session, pending_email="new@example.com")
        kind = MailKind.EMAIL_CONFIRMATION
        await a_mail(session, user, kind=kind, address="new@example.com", **link("secret"))
        async with browser(app) as visitor:
            shown = await visitor.get("/email-confirmation", params={"token": "secret"})
            await session.refresh(user)
            assert user.email != "new@example.com", "opening the link does nothing yet"
            assert "Confirm the address" in shown.text
            done = await visitor.post("/email-confirmation", data={"token": "secret"})
        await session.refresh(user)
        assert message_of(done) == "Your new address is confirmed."
        assert (user.email, user.pending_email) == ("new@example.com", None)


class TestRegistrationConfirmation:
    async def test_the_form_makes_the_user_once_and_says_so_again(
        self, app: FastAPI, client: AsyncClient, session: AsyncSession
    ) -> None:
        registration = await a_registration(session, "newcomer")
        await a_mail(session, registration=registration, **link("secret"))
        async with browser(app) as visitor:
            shown = await visitor.get("/registration-confirmation", params={"token": "secret"})
            assert "Create the account" in shown.text
            assert (await sign_in(client, "newcomer")).status_code == 401, "opening the link does nothing yet"
            done = await visitor.post("/registration-confirmation", data={"token": "secret"})
            again = await visitor.post("/registration-confirmation", data={"token": "secret"})

        assert done.status_code == 200
        assert message_of(done) == "Your account is there. Sign in with the password that you chose."
        assert (again.status_code, message_of(again)) == (409, "This registration was confirmed already. Sign in.")
        assert (await sign_in(client, "newcomer")).status_code == 200
