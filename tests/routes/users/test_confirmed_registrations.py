"""Registering where it is confirmed by mail: no answer tells who has an account, and the link makes the user."""

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from fastapi import FastAPI
from httpx import AsyncClient, Response
from sqlmodel import col, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from api.auth import throttling
from api.database.sessions import Database
from api.models.attempt import Attempt
from api.models.audit_entry import AuditEntry
from api.models.base import utcnow
from api.models.event import Event, EventType
from api.models.mail import Mail, MailKind
from api.models.outgoing import OutgoingStatus
from api.models.registration import Registration
from api.models.user import User
from api.rules import registration as rule
from api.settings import Settings
from api.worker.mail import MailChannel
from api.worker.queue import Queue
from tests.apps import running
from tests.auth.support import bearer, sign_in
from tests.books import rows_of
from tests.factories import a_mail, a_registration, a_token, a_user
from tests.mail_server import MailServer, serving
from tests.routes.users.support import NEWCOMER, USER_FIELDS
from tests.rules.users import count_users
from tests.support import CheckedTransport, Contract, assert_refused, count_statements
from tests.world import link

CONFIRMS = {"confirm_registrations": True}
OF_REGISTERING = (
    r"(UPDATE|INSERT INTO) (attempts|registrations|mails)\b|SELECT users.id \nFROM users \nWHERE users.username"
)
"""The statements of a registration, and none of those that an app sends when it starts."""

EXPIRED = timedelta(hours=24, seconds=1)


def client_of(app: FastAPI) -> AsyncClient:
    """A client whose answers have to fit the document."""
    return AsyncClient(transport=CheckedTransport(app, Contract(app.openapi())), base_url="http://test.example")


@pytest.fixture
async def shop(settings: Settings, database: Database) -> AsyncIterator[AsyncClient]:
    """A client, that is not signed in, of a shop that confirms registrations."""
    async with running(settings, **CONFIRMS) as app, client_of(app) as client:
        yield client


class Post:
    """What the worker sends, and where it arrives."""

    def __init__(self, settings: Settings, database: Database, server: MailServer) -> None:
        sends = {"smtp_url": server.url, "mail_from": "shop@example.com", "public_url": "https://shop.example"}
        self._queue = Queue(MailChannel(settings.model_copy(update=sends)))
        self._database = database
        self.server = server

    async def deliver(self) -> list[str]:
        """The words of all mails so far."""
        while await self._queue.step(self._database):
            pass
        return self.server.texts()

    async def last_token(self) -> str:
        return token_in((await self.deliver())[-1])


@pytest.fixture
async def post(settings: Settings, database: Database) -> AsyncIterator[Post]:
    with serving() as server:
        yield Post(settings, database, server)


def token_in(text: str) -> str:
    found = re.search(r"https://shop\.example/registration-confirmation\?token=(\S+)", text)
    assert found is not None, text
    return found[1]


async def register(client: AsyncClient, **changes: Any) -> Response:
    return await client.post("/users", json={**NEWCOMER, **changes})


async def confirm(client: AsyncClient, token: str = "secret") -> Response:
    return await client.post("/auth/registration/confirm", json={"token": token})


async def waiting(session: AsyncSession, secret: str = "secret", **fields: Any) -> Registration:
    """A registration whose mail was sent."""
    registration = await a_registration(session, **fields)
    await a_mail(session, registration=registration, status=OutgoingStatus.SENT, **link(secret))
    return registration


def alike(answer: Response) -> tuple[int, dict[str, str], str]:
    """All of an answer but its times and the id of the request."""
    headers = {name: value for name, value in answer.headers.items() if name not in ("x-request-id", "date")}
    return answer.status_code, headers, re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "a time", answer.text)


class TestAsking:
    async def test_nothing_is_created_until_the_link_is_followed(
        self, shop: AsyncClient, session: AsyncSession, post: Post
    ) -> None:
        before = utcnow()
        asked = await register(shop, email="NewComer@Example.com", full_name="New <b>Comer", bio="Hello.")

        assert asked.status_code == 202
        taken = asked.json()
        expires_at = datetime.fromisoformat(taken.pop("expires_at"))
        assert before < expires_at - timedelta(hours=24) < utcnow()
        assert taken == {"username": "newcomer", "email": "newcomer@example.com"}
        assert await count_users(session) == 0
        (row,) = await rows_of(session, Registration)
        assert row.hashed_password.startswith("$argon2id$")
        assert await rows_of(session, AuditEntry) == []
        assert_refused(await sign_in(shop, "newcomer"), 401)

        (text,) = await post.deliver()
        assert post.server.taken[0]["To"] == "newcomer@example.com"
        assert "as newcomer" in text
        assert f"until {expires_at.day} {expires_at:%B %Y, %H:%M} UTC" in text
        assert "Comer" not in text.replace("newcomer", ""), "nobody has the shop send words of their own to strangers"

        confirmed = await confirm(shop, token_in(text))
        assert confirmed.status_code == 201
        assert confirmed.json().keys() == USER_FIELDS
        user = confirmed.json()
        assert (user["username"], user["email"], user["bio"]) == ("newcomer", "newcomer@example.com", "Hello.")
        assert (user["full_name"], user["is_active"], user["is_superuser"]) == ("New <b>Comer", True, False)
        assert (await sign_in(shop, "newcomer")).status_code == 200

    async def test_an_answer_and_the_work_for_it_are_the_same_for_an_address_that_is_taken(
        self, settings: Settings, session: AsyncSession, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        start = throttling._window_start()
        monkeypatch.setattr(throttling, "_window_start", lambda: start)  # in another one, the first is one INSERT more
        await a_user(session, "somebody", email="taken@example.com")
        answers, work = [], []
        async with running(settings, **CONFIRMS) as app, client_of(app) as client:
            await asyncio.gather(*app.state.started)  # which send statements of their own
            await register(client, username="first", email="warm.up@example.com")
            for name, email in (("second", "taken@example.com"), ("third_", "freed@example.com")):
                with count_statements(app.state.database) as statements:
                    answers.append(await register(client, username=name, email=email))
                work.append(statements)
        taken, free = map(alike, answers)

        assert taken[0] == free[0] == 202
        assert taken[1] == free[1]
        assert taken[2].replace("second", "third_").replace("taken", "freed") == free[2]
        assert work[0] == work[1]
        assert [each.split()[0] for each in work[0]][-3:] == ["SELECT", "INSERT", "INSERT"]
        rows = [each.model_dump(include={"kind", "user_id", "status"}) for each in await rows_of(session, Mail)]
        assert rows == [{"kind": MailKind.REGISTRATION, "user_id": None, "status": OutgoingStatus.PENDING}] * 3
        assert len(await rows_of(session, Registration)) == 3

    @pytest.mark.usefixtures("costs_of_the_shop")
    async def test_a_password_is_hashed_for_an_address_that_is_taken_too(
        self, shop: AsyncClient, session: AsyncSession
    ) -> None:
        await a_user(session, "somebody", email="newcomer@example.com")
        await register(shop)
        (row,) = await rows_of(session, Registration)
        assert row.hashed_password.startswith("$argon2id$v=19$m=19456,t=2,p=1$")

    async def test_a_username_that_is_taken_is_said_whatever_the_address(
        self, shop: AsyncClient, session: AsyncSession
    ) -> None:
        await a_user(session, "newcomer", email="taken@example.com")
        for email in ("taken@example.com", "free@example.com"):
            assert_refused(await register(shop, email=email), 409, "A user with this username already exists.")
        assert await rows_of(session, Registration) == []

    async def test_a_weak_password_is_refused_whatever_the_address(
        self, shop: AsyncClient, session: AsyncSession
    ) -> None:
        await a_user(session, "somebody", email="newcomer@example.com")
        assert_refused(await register(shop, password="weak"), 422, "body.password")
        assert await rows_of(session, Registration) == []

    async def test_mails_to_one_address_are_limited_whether_or_not_it_is_taken(
        self, settings: Settings, session: AsyncSession, database: Database
    ) -> None:
        await a_user(session, "somebody", email="taken@example.com")
        async with running(settings, **CONFIRMS, registrations_per_email=2) as app, client_of(app) as client:
            for email in ("Taken@example.com", "free@example.com"):
                answers = [await register(client, username=f"name_{number}", email=email) for number in range(3)]
                assert [each.status_code for each in answers] == [202, 202, 429]
                assert int(answers[-1].headers["Retry-After"]) > 0
            assert len(await rows_of(session, Mail)) == 4
        assert all("@" not in each.subject for each in await rows_of(session, Attempt))

    async def test_staff_add_a_user_at_once_and_customers_register_like_anybody(
        self, shop: AsyncClient, session: AsyncSession, staff: User, customer: User
    ) -> None:
        (of_staff, _), (of_customer, _) = await a_token(session, staff), await a_token(session, customer)
        added = await shop.post("/users", json=NEWCOMER, headers=bearer(of_staff))
        many = [{**NEWCOMER, "username": "many", "email": "many@example.com"}]
        assert (added.status_code, added.json()["username"]) == (201, "newcomer")
        assert (await shop.post("/users/bulk", json=many, headers=bearer(of_staff))).status_code == 201
        assert_refused(await shop.post("/users", json=NEWCOMER, headers=bearer(of_staff)), 409)
        other = {**NEWCOMER, "username": "other", "email": "other@example.com"}
        assert (await shop.post("/users", json=other, headers=bearer(of_customer))).status_code == 202

    async def test_a_key_is_refused(self, shop: AsyncClient) -> None:
        refused = await shop.post("/users", json=NEWCOMER, headers={"Idempotency-Key": "once"})
        assert_refused(refused, 400, "takes no Idempotency-Key")

    async def test_the_document_has_the_202_where_the_setting_is_on(self, settings: Settings, app: FastAPI) -> None:
        async with running(settings, **CONFIRMS) as confirming:
            on, off = (each.openapi() for each in (confirming, app))
        assert on["paths"]["/users"]["post"]["responses"].keys() >= {"201", "202"}
        assert "RegistrationRead" in on["components"]["schemas"]
        assert "202" not in off["paths"]["/users"]["post"]["responses"]
        assert "RegistrationRead" not in off["components"]["schemas"]
        assert "x-by-setting" not in str(on) + str(off)


class TestTakenAddress:
    async def test_its_user_is_told_once_a_day_and_no_registration_is_left(
        self, shop: AsyncClient, session: AsyncSession, customer: User, post: Post
    ) -> None:
        for number in range(3):
            assert (await register(shop, username=f"name_{number}", email=customer.email)).status_code == 202
        (text,) = await post.deliver()

        assert post.server.taken[0]["Subject"] == "You have an account at Shop already"
        assert post.server.taken[0]["To"] == customer.email
        assert "your account\ncustomer already" in text
        assert "token" not in text
        assert await rows_of(session, Registration) == []
        sent, *others = await rows_of(session, Mail)
        assert {(each.kind, each.user_id, each.address) for each in (sent, *others)} == {
            (MailKind.ACCOUNT_EXISTS, customer.id, None)
        }
        assert (sent.status, {each.status for each in others}) == (OutgoingStatus.SENT, {OutgoingStatus.FAILED})
        assert {each.error for each in others} == {"The user was told so within a day."}

        await register(shop, username="again", email=customer.email)
        assert len(await post.deliver()) == 1
        await session.exec(update(Mail).values(created_at=utcnow() - timedelta(hours=25)))
        await register(shop, username="later", email=customer.email)
        assert len(await post.deliver()) == 2

    async def test_two_workers_tell_its_user_once(
        self, settings: Settings, database: Database, session: AsyncSession, customer: User, post: Post
    ) -> None:
        for _ in range(4):
            registration = await a_registration(session, email=customer.email)
            await a_mail(session, registration=registration)
        others = [Post(settings, database, post.server) for _ in range(3)]
        await asyncio.gather(*(each.deliver() for each in (post, *others)))
        assert len(post.server.taken) == 1

    async def test_who_was_deactivated_gets_no_mail(
        self, shop: AsyncClient, session: AsyncSession, customer: User, post: Post
    ) -> None:
        await session.exec(update(User).values(is_active=False))
        await register(shop, email=customer.email)
        assert await post.deliver() == []
        assert await rows_of(session, Registration) == []

    async def test_a_mail_that_waits_for_the_server_is_told_when_it_goes(
        self, shop: AsyncClient, session: AsyncSession, post: Post
    ) -> None:
        """Between the registration and its mail, the address got an account."""
        post.server.refuse_data = lambda _: "451 come again"
        await register(shop)
        assert await post.deliver() == []
        await a_user(session, "quicker", email="newcomer@example.com")
        post.server.refuse_data = lambda _: None
        await session.exec(update(Mail).values(due_at=utcnow()))
        (text,) = await post.deliver()
        assert "quicker already" in text


class TestConfirming:
    async def test_the_link_works_once_and_says_so_after_that(self, client: AsyncClient, session: AsyncSession) -> None:
        await waiting(session)
        assert (await confirm(client)).status_code == 201
        assert_refused(await confirm(client), 409, "This registration was confirmed already. Sign in.")
        assert await count_users(session) == 1
        (mail,) = await rows_of(session, Mail)
        user_id = (await session.exec(select(User.id))).one()
        assert (mail.user_id, mail.registration_id, mail.address) == (user_id, None, None)

    async def test_of_many_who_follow_it_at_once_one_wins(self, client: AsyncClient, session: AsyncSession) -> None:
        await waiting(session)
        answers = await asyncio.gather(*(confirm(client) for _ in range(5)))
        assert sorted(each.status_code for each in answers) == [201, 409, 409, 409, 409]
        assert {each.json()["detail"] for each in answers if each.is_error} == {rule.CONFIRMED}

    async def test_it_is_told_as_an_event_and_in_the_trail(self, client: AsyncClient, session: AsyncSession) -> None:
        await waiting(session)
        user_id = (await confirm(client)).json()["id"]
        (event,) = await rows_of(session, Event)
        assert (event.type, event.subject) == (EventType.USER_REGISTERED, f"users/{user_id}")
        (entry,) = await rows_of(session, AuditEntry)
        assert (entry.entity, entry.row_id, entry.action, entry.user_id) == ("users", user_id, "created", None)
        assert "@" not in str(entry.changes)
        assert "argon2" not in str(entry.changes)

    async def test_a_link_that_has_expired_or_is_none_is_refused(
        self, client: AsyncClient, session: AsyncSession
    ) -> None:
        registration = await waiting(session)
        other = await a_user(session, pending_email="other@example.com")
        await a_mail(session, other, kind=MailKind.EMAIL_CONFIRMATION, address="other@example.com", **link("other"))
        for token in ("guessed", "other"):
            assert_refused(await confirm(client, token), 403, "The link is invalid, has expired or was used already.")
        await session.exec(update(Registration).values(expires_at=registration.expires_at - EXPIRED))
        assert_refused(await confirm(client), 403, "The link is invalid, has expired or was used already.")
        assert_refused(await client.post("/auth/email/confirm", json={"token": "secret"}), 403)
        assert await count_users(session) == 1

    async def test_a_mail_that_comes_too_late_is_not_sent(self, session: AsyncSession, post: Post) -> None:
        await a_mail(session, registration=await a_registration(session, expires_at=utcnow()))
        assert await post.deliver() == []
        (mail,) = await rows_of(session, Mail)
        assert (mail.status, mail.error) == (OutgoingStatus.FAILED, "The registration was confirmed, or has expired.")

    @pytest.mark.parametrize("field", ["username", "email"])
    async def test_what_another_user_has_by_now_is_a_conflict_and_the_link_is_not_used_up(
        self, client: AsyncClient, session: AsyncSession, field: str
    ) -> None:
        registration = await waiting(session)
        theirs = {"username": "other", "email": "other@example.com", field: getattr(registration, field)}
        other = await a_user(session, **theirs)

        assert_refused(await confirm(client), 409, f"A user with this {field} already exists.")

        setattr(other, field, "moved@example.com" if field == "email" else "moved")
        session.add(other)
        await session.flush()
        assert (await confirm(client)).status_code == 201

    async def test_of_two_with_one_address_the_first_to_confirm_has_it_and_the_other_link_is_void(
        self, client: AsyncClient, session: AsyncSession
    ) -> None:
        for name in ("first", "second"):
            await waiting(session, name, username=name, email="same@example.com")
        assert (await confirm(client, "second")).json()["username"] == "second"
        assert_refused(await confirm(client, "first"), 403)
        assert await rows_of(session, Registration) == []
        assert len(await rows_of(session, Mail)) == 1, "that of the other went with its registration"

    @pytest.mark.parametrize("shared", ["username", "email"])
    async def test_of_two_at_once_one_gets_what_both_want(
        self, client: AsyncClient, session: AsyncSession, shared: str
    ) -> None:
        value = "same@example.com" if shared == "email" else "same"
        for number in range(4):
            await waiting(session, f"secret {number}", **{"username": f"name_{number}", shared: value})
        answers = await asyncio.gather(*(confirm(client, f"secret {number}") for number in range(4)))
        assert sorted(each.status_code for each in answers)[0] == 201
        assert {each.status_code for each in answers if each.is_error} <= {403, 409}
        assert await count_users(session) == 1

    async def test_many_who_register_at_once_each_have_a_link(
        self, shop: AsyncClient, session: AsyncSession, post: Post
    ) -> None:
        """Nothing is reserved: who takes a name and never confirms it keeps it from nobody."""
        answers = await asyncio.gather(*(register(shop) for _ in range(4)))
        assert {each.status_code for each in answers} == {202}
        tokens = [token_in(text) for text in await post.deliver()]
        assert len(set(tokens)) == 4
        assert (await confirm(shop, tokens[2])).status_code == 201
        assert await count_users(session) == 1

    async def test_who_registered_before_the_setting_was_turned_off_can_still_confirm(
        self, shop: AsyncClient, client: AsyncClient, session: AsyncSession, post: Post
    ) -> None:
        """`client` is of a shop without the setting."""
        await register(shop)
        assert (await confirm(client, await post.last_token())).status_code == 201
        assert_refused(await register(client), 409)


class TestForgetting:
    async def test_erasing_a_user_takes_along_what_others_registered_with_the_address(
        self, as_staff: AsyncClient, session: AsyncSession, customer: User
    ) -> None:
        await waiting(session, email=customer.email)
        await waiting(session, "other", username="other")
        assert (await as_staff.delete(f"/users/{customer.id}")).status_code == 204
        assert [each.username for each in await rows_of(session, Registration)] == ["other"]
        assert [each.address for each in await rows_of(session, Mail)] == ["other@example.com"]

    async def test_a_user_who_confirmed_is_erased_with_the_mail(
        self, client: AsyncClient, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        await waiting(session)
        user_id = (await confirm(client)).json()["id"]
        assert (await as_staff.delete(f"/users/{user_id}")).status_code == 204
        assert await rows_of(session, Mail) == []

    async def test_a_registration_that_expired_is_purged_with_its_mail(
        self, database: Database, session: AsyncSession
    ) -> None:
        await waiting(session, "late", expires_at=utcnow())
        kept = await waiting(session)
        async with database.transaction() as transaction:
            assert await rule.purge(transaction) == 1
        assert [each.id for each in await rows_of(session, Registration)] == [kept.id]
        assert [each.registration_id for each in await rows_of(session, Mail)] == [kept.id]


async def test_staff_see_the_mail_without_the_address_and_without_the_secret(
    shop: AsyncClient, as_staff: AsyncClient, session: AsyncSession
) -> None:
    await register(shop)
    (shown,) = (await as_staff.get("/mails", params={"kind": "registration"})).json()["items"]
    assert (shown["kind"], shown["user_id"], shown["status"]) == ("registration", None, "pending")
    assert "@" not in str(shown)


async def test_many_mails_to_people_who_are_no_users_yet_do_not_hold_up_those_to_users(
    session: AsyncSession, database: Database, settings: Settings, post: Post
) -> None:
    """Their receiver is null, which is neither in a list nor not in it."""
    for _ in range(60):
        await a_mail(session, registration=await a_registration(session))
    user = await a_user(session)
    for number in range(25):
        await a_mail(session, user, about=f"orders/{number}")
    await post.deliver()
    sent = select(Mail.id).where(col(Mail.status) == OutgoingStatus.SENT)
    assert len((await session.exec(sent)).all()) == 85
