"""A new e-mail address: at once where the shop sends no mail, and once its link is followed where it does."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from httpx import ASGITransport, AsyncClient, Response
from sqlmodel.ext.asyncio.session import AsyncSession

from api.auth.tokens import new_token
from api.models.mail import Mail, MailKind
from api.models.outgoing import OutgoingStatus
from api.models.token import TokenKind
from api.models.user import User
from api.settings import Environment, Settings
from tests.apps import running
from tests.auth.support import NEW_PASSWORD, bearer
from tests.books import rows_of
from tests.factories import a_mail, a_user
from tests.support import PASSWORD, assert_refused, save
from tests.world import link

NEW = "new@example.com"
SENDS = {"smtp_url": "smtp://127.0.0.1:1?starttls=no", "mail_from": "shop@example.com"}


@pytest.fixture
async def mailing(settings: Settings, session: AsyncSession) -> AsyncIterator[AsyncClient]:
    """A client of a shop that sends mail; nothing is sent, since no worker runs."""
    async with (
        running(settings, **SENDS) as app,
        AsyncClient(transport=ASGITransport(app), base_url="http://test.example") as client,
    ):
        yield client


async def token_of(session: AsyncSession, user: User) -> dict[str, str]:
    secret, token = new_token(user, TokenKind.SESSION, "Test", timedelta(days=1))
    await save(session, token)
    return bearer(secret)


async def mails_of(session: AsyncSession) -> list[tuple[MailKind, int | None, str | None, OutgoingStatus]]:
    return [(each.kind, each.user_id, each.address, each.status) for each in await rows_of(session, Mail)]


async def confirm(client: AsyncClient, token: str) -> int:
    return (await client.post("/auth/email/confirm", json={"token": token})).status_code


async def ask(client: AsyncClient, headers: dict[str, str], address: str, *, password: str = PASSWORD) -> Response:
    return await client.post("/auth/email", json={"current_password": password, "email": address}, headers=headers)


async def a_user_who_waits(session: AsyncSession, secret: str, address: str = NEW) -> User:
    user = await a_user(session, pending_email=address)
    await a_mail(session, user, kind=MailKind.EMAIL_CONFIRMATION, address=address, **link(secret))
    return user


class TestWithMail:
    async def test_a_new_address_waits_until_it_is_confirmed(
        self, mailing: AsyncClient, session: AsyncSession, customer: User
    ) -> None:
        changed = await ask(mailing, await token_of(session, customer), "New@Example.com")

        assert changed.status_code == 200
        body = changed.json()
        assert (body["email"], body["pending_email"]) == ("customer@example.com", NEW)
        pending = OutgoingStatus.PENDING
        assert await mails_of(session) == [(MailKind.EMAIL_CONFIRMATION, customer.id, NEW, pending)]

    async def test_a_token_alone_does_not_change_it(
        self, mailing: AsyncClient, session: AsyncSession, customer: User
    ) -> None:
        """It can be stolen, and whoever has the address can reset the password."""
        headers = await token_of(session, customer)
        whole = {"username": "customer", "email": NEW}

        refused = [
            await mailing.patch("/users/me", json={"email": NEW}, headers=headers),
            await mailing.patch(f"/users/{customer.id}", json={"email": NEW, "bio": "Hello."}, headers=headers),
            await mailing.put(f"/users/{customer.id}", json=whole, headers=headers),
        ]

        for each in refused:
            assert_refused(each, 422, "is changed by `POST /auth/email`, which asks for the password")
        assert_refused(await ask(mailing, headers, NEW, password="SomeGuess123"), 403, "The current password is wrong.")
        await session.refresh(customer)
        assert (customer.email, customer.pending_email, customer.bio) == ("customer@example.com", None, None)
        assert await mails_of(session) == []

    async def test_the_present_address_may_be_sent_along(
        self, mailing: AsyncClient, session: AsyncSession, customer: User
    ) -> None:
        headers = await token_of(session, customer)
        await ask(mailing, headers, NEW)
        sent = {"email": "Customer@Example.com", "bio": "Hello."}
        body = (await mailing.patch("/users/me", json=sent, headers=headers)).json()
        assert (body["email"], body["bio"]) == ("customer@example.com", "Hello.")

    async def test_a_second_address_replaces_the_first(
        self, mailing: AsyncClient, session: AsyncSession, customer: User
    ) -> None:
        """The mail to the first one is not sent, and a link that was sent works no longer."""
        headers = await token_of(session, customer)
        for address in ("first@example.com", NEW):
            await ask(mailing, headers, address)
        first, second = await mails_of(session)
        assert (first[2], first[3]) == ("first@example.com", OutgoingStatus.FAILED)
        assert (second[2], second[3]) == (NEW, OutgoingStatus.PENDING)

    async def test_the_present_address_calls_it_off(
        self, mailing: AsyncClient, session: AsyncSession, customer: User
    ) -> None:
        customer.pending_email = NEW
        await save(session, customer)
        await a_mail(session, customer, kind=MailKind.EMAIL_CONFIRMATION, address=NEW, **link("secret"))
        body = (await ask(mailing, await token_of(session, customer), customer.email)).json()
        assert (body["email"], body["pending_email"]) == (customer.email, None)
        assert await confirm(mailing, "secret") == 403

    async def test_an_address_that_is_taken_is_not_told_before_it_is_confirmed(
        self, mailing: AsyncClient, session: AsyncSession, customer: User, other_customer: User
    ) -> None:
        headers = await token_of(session, customer)
        taken, free = [await ask(mailing, headers, address) for address in (other_customer.email, NEW)]
        assert taken.status_code == free.status_code == 200
        assert taken.json().keys() == free.json().keys()

    async def test_nobody_is_sent_more_than_a_few_mails(
        self, settings: Settings, session: AsyncSession, customer: User, other_customer: User
    ) -> None:
        """Whoever asks: an address that is somebody else's would be flooded by several accounts."""
        async with (
            running(settings, **SENDS, registrations_per_email=2) as app,
            AsyncClient(transport=ASGITransport(app), base_url="http://test.example") as client,
        ):
            askers = [await token_of(session, each) for each in (customer, other_customer, customer)]
            statuses = [(await ask(client, each, NEW)).status_code for each in askers]
        assert statuses == [200, 200, 429]
        assert len(await mails_of(session)) == 2

    async def test_staff_change_the_address_of_others_at_once_and_the_old_one_is_told(
        self, mailing: AsyncClient, session: AsyncSession, customer: User, staff: User
    ) -> None:
        headers = await token_of(session, staff)
        body = (await mailing.patch(f"/users/{customer.id}", json={"email": NEW}, headers=headers)).json()
        assert (body["email"], body["pending_email"]) == (NEW, None)
        told = (MailKind.EMAIL_CHANGED, customer.id, "customer@example.com", OutgoingStatus.PENDING)
        assert await mails_of(session) == [told]

    async def test_staff_confirm_a_new_address_of_their_own(
        self, mailing: AsyncClient, session: AsyncSession, staff: User
    ) -> None:
        body = (await ask(mailing, await token_of(session, staff), NEW)).json()
        assert (body["email"], body["pending_email"]) == ("staff@example.com", NEW)


class TestConfirm:
    async def test_the_link_changes_the_address_and_the_old_one_is_told(
        self, client: AsyncClient, session: AsyncSession
    ) -> None:
        user = await a_user_who_waits(session, "secret")
        old = user.email
        reset = await a_mail(session, user, **link("reset"))

        assert await confirm(client, "secret") == 204

        await session.refresh(user)
        assert (user.email, user.pending_email) == (NEW, None)
        assert NEW in (user.search_text or "")
        assert (MailKind.EMAIL_CHANGED, user.id, old, OutgoingStatus.PENDING) in await mails_of(session)
        await session.refresh(reset)
        assert reset.token_hash is None, "a link that was sent to the old address is void"
        assert await confirm(client, "secret") == 403

    async def test_of_two_who_follow_it_at_once_one_wins(self, client: AsyncClient, session: AsyncSession) -> None:
        await a_user_who_waits(session, "secret")
        statuses = await asyncio.gather(*(confirm(client, "secret") for _ in range(4)))
        assert sorted(statuses) == [204, 403, 403, 403]

    async def test_an_address_that_another_user_has_by_now_is_a_conflict(
        self, client: AsyncClient, session: AsyncSession
    ) -> None:
        user = await a_user_who_waits(session, "secret")
        other = await a_user(session, email=NEW)

        refused = await client.post("/auth/email/confirm", json={"token": "secret"})

        assert_refused(refused, 409, "A user with this email already exists.")
        other.email = "moved@example.com"
        await save(session, other)
        assert await confirm(client, "secret") == 204, "the link was not used up"
        await session.refresh(user)
        assert user.email == NEW

    async def test_two_users_cannot_confirm_one_address(self, client: AsyncClient, session: AsyncSession) -> None:
        users = [await a_user_who_waits(session, secret) for secret in ("one", "two")]
        statuses = await asyncio.gather(confirm(client, "one"), confirm(client, "two"))
        assert sorted(statuses) == [204, 409]
        for each in users:
            await session.refresh(each)
        assert sorted(each.email == NEW for each in users) == [False, True]

    async def test_the_link_of_an_earlier_address_confirms_no_later_one(
        self, client: AsyncClient, session: AsyncSession
    ) -> None:
        """Otherwise whoever reads that mailbox could confirm an address that is not theirs."""
        user = await a_user_who_waits(session, "secret")
        user.pending_email = "other@example.com"
        await save(session, user)
        assert await confirm(client, "secret") == 403

    async def test_a_link_for_a_password_confirms_no_address(self, client: AsyncClient, session: AsyncSession) -> None:
        user = await a_user(session, pending_email=NEW)
        await a_mail(session, user, address=NEW, **link("secret"))
        assert await confirm(client, "secret") == 403
        await a_user_who_waits(session, "confirmation", "another@example.com")
        reset = {"token": "confirmation", "new_password": NEW_PASSWORD}
        assert_refused(await client.post("/auth/password/reset/confirm", json=reset), 403)


class TestWithoutMail:
    async def test_a_new_address_counts_at_once(
        self, as_customer: AsyncClient, session: AsyncSession, customer: User
    ) -> None:
        """In development, where mail is shown and not sent, the old address is told all the same."""
        body = (await as_customer.patch("/users/me", json={"email": NEW})).json()
        assert (body["email"], body["pending_email"]) == (NEW, None)
        told = (MailKind.EMAIL_CHANGED, customer.id, "customer@example.com", OutgoingStatus.PENDING)
        assert await mails_of(session) == [told]

    async def test_the_route_that_asks_for_the_password_changes_it_at_once_too(
        self, as_customer: AsyncClient, other_customer: User
    ) -> None:
        taken = {"current_password": PASSWORD, "email": other_customer.email}
        assert_refused(await as_customer.post("/auth/email", json=taken), 409, "A user with this email already exists.")
        body = (await as_customer.post("/auth/email", json=taken | {"email": NEW})).json()
        assert (body["email"], body["pending_email"]) == (NEW, None)

    async def test_in_production_nobody_is_told(
        self, settings: Settings, session: AsyncSession, customer: User
    ) -> None:
        async with (
            running(settings, environment=Environment.PRODUCTION, allowed_hosts=("test.example",)) as app,
            AsyncClient(transport=ASGITransport(app), base_url="http://test.example") as client,
        ):
            headers = await token_of(session, customer)
            body = (await client.patch("/users/me", json={"email": NEW}, headers=headers)).json()
        assert (body["email"], body["pending_email"]) == (NEW, None)
        assert await mails_of(session) == []
