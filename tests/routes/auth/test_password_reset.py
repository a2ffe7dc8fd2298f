"""A forgotten password: from the request for a mail to the sign-in with a new one, through a real mail server."""

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from httpx import ASGITransport, AsyncClient, Response
from sqlmodel import col, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from api.auth.tokens import hash_token
from api.database.sessions import Database
from api.models.attempt import Attempt
from api.models.base import utcnow
from api.models.mail import Mail
from api.models.outgoing import OutgoingStatus
from api.models.token import TokenKind
from api.models.user import User
from api.settings import Environment, Settings
from api.worker.mail import MailChannel
from api.worker.queue import Queue
from tests.apps import running
from tests.auth.support import NEW_PASSWORD, bearer, password_hash, sign_in
from tests.books import rows_of
from tests.factories import a_mail, a_token, a_user
from tests.mail_server import MailServer, serving
from tests.routes.auth.support import everything_stored
from tests.support import PASSWORD, PASSWORD_HASH, assert_refused, count_statements
from tests.world import link

INVALID = "The link is invalid, has expired or was used already."


async def ask(client: AsyncClient, login: str = "customer") -> Response:
    return await client.post("/auth/password/reset", json={"login": login})


async def confirm(client: AsyncClient, token: str, password: str = NEW_PASSWORD) -> Response:
    return await client.post("/auth/password/reset/confirm", json={"token": token, "new_password": password})


class Post:
    """What the worker sends, and where it arrives."""

    def __init__(self, settings: Settings, database: Database, server: MailServer) -> None:
        sends = {"smtp_url": server.url, "mail_from": "shop@example.com", "public_url": "https://shop.example"}
        self._queue = Queue(MailChannel(settings.model_copy(update=sends)))
        self._database = database
        self.server = server

    async def deliver(self) -> None:
        while await self._queue.step(self._database):
            pass

    async def last_token(self) -> str:
        await self.deliver()
        found = re.search(r"https://shop\.example/password-reset\?token=(\S+)", self.server.texts()[-1])
        assert found is not None
        return found[1]


@pytest.fixture
async def post(settings: Settings, database: Database) -> AsyncIterator[Post]:
    with serving() as server:
        yield Post(settings, database, server)


class TestReset:
    @pytest.mark.parametrize("login", ["customer", "Customer@Example.COM"])
    async def test_a_user_gets_a_link_and_signs_in_with_a_new_password(
        self, client: AsyncClient, customer: User, post: Post, login: str
    ) -> None:
        asked = await ask(client, login)
        assert (asked.status_code, asked.json()["message"][:27]) == (202, "If there is such an account")
        done = await confirm(client, await post.last_token())

        assert (done.status_code, done.content) == (204, b"")
        assert post.server.taken[0]["To"] == "customer@example.com"
        assert_refused(await sign_in(client), 401)
        assert (await sign_in(client, password=NEW_PASSWORD)).status_code == 200

    async def test_the_link_leads_to_the_shop_whatever_the_request_calls_itself(
        self, client: AsyncClient, customer: User, post: Post
    ) -> None:
        """Otherwise anybody could have the secret of a user sent to a host of their own."""
        hosts = {"Host": "evil.example", "X-Forwarded-Host": "evil.example", "Origin": "https://evil.example"}
        asked = await client.post("/auth/password/reset", json={"login": "customer"}, headers=hosts)
        assert asked.status_code == 202
        assert await post.last_token()
        assert "evil" not in str(post.server.taken[0])

    async def test_all_sessions_end_and_keys_stay(
        self, client: AsyncClient, as_customer: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        key, _ = await a_token(session, customer, TokenKind.KEY)
        await a_mail(session, customer, **link("secret"))

        await confirm(client, "secret")

        assert_refused(await as_customer.get("/users/me"), 401)
        assert (await client.get("/users/me", headers=bearer(key))).status_code == 200

    async def test_a_link_works_once(self, client: AsyncClient, customer: User, session: AsyncSession) -> None:
        await a_mail(session, customer, **link("secret"))
        assert (await confirm(client, "secret")).status_code == 204
        assert_refused(await confirm(client, "secret", "AnotherPass789"), 403, INVALID)
        assert (await sign_in(client, password=NEW_PASSWORD)).status_code == 200

    async def test_of_two_resets_at_once_one_wins(
        self, client: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        await a_mail(session, customer, **link("secret"))
        passwords = [f"Password{number}" for number in range(10, 16)]

        answers = await asyncio.gather(*(confirm(client, "secret", each) for each in passwords))

        statuses = [each.status_code for each in answers]
        assert sorted(statuses) == [204, *[403] * 5]
        winner = passwords[statuses.index(204)]
        assert (await sign_in(client, password=winner)).status_code == 200

    @pytest.mark.parametrize("token", ["garbage", "secret ", "Secret", "ﬁ", "%00", "a" * 100])
    async def test_a_token_that_is_none_is_refused(
        self, client: AsyncClient, customer: User, session: AsyncSession, token: str
    ) -> None:
        await a_mail(session, customer, **link("secret*"))
        assert_refused(await confirm(client, token), 403, INVALID)
        assert await password_hash(session, customer) == PASSWORD_HASH

    async def test_an_expired_link_is_refused(self, client: AsyncClient, customer: User, session: AsyncSession) -> None:
        expired = link("secret") | {"token_expires_at": utcnow() - timedelta(seconds=1)}
        await a_mail(session, customer, **expired)
        assert_refused(await confirm(client, "secret"), 403, INVALID)

    async def test_the_link_of_a_user_who_was_deactivated_is_refused(
        self, client: AsyncClient, session: AsyncSession
    ) -> None:
        user = await a_user(session, is_active=False)
        await a_mail(session, user, **link("secret"))
        assert_refused(await confirm(client, "secret"), 403, INVALID)

    async def test_a_weak_password_is_refused_and_the_link_still_works(
        self, client: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        await a_mail(session, customer, **link("secret"))
        assert_refused(await confirm(client, "secret", "weak"), 422)
        assert (await confirm(client, "secret")).status_code == 204

    @pytest.mark.parametrize("change", ["reset", "password"])
    async def test_a_new_password_makes_other_links_void(
        self, client: AsyncClient, as_customer: AsyncClient, customer: User, session: AsyncSession, change: str
    ) -> None:
        await a_mail(session, customer, **link("first"))
        waiting = await a_mail(session, customer, **link("second"))
        if change == "reset":
            await confirm(client, "first")
        else:
            sent = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
            assert (await as_customer.post("/auth/password", json=sent)).status_code == 204
        assert_refused(await confirm(client, "second", "AnotherPass789"), 403, INVALID)
        await session.refresh(waiting)
        assert waiting.status is OutgoingStatus.FAILED, "it is not sent any more"


class TestSecret:
    async def test_the_secret_is_made_when_the_mail_is_sent_and_is_stored_nowhere(
        self, client: AsyncClient, customer: User, session: AsyncSession, post: Post
    ) -> None:
        await ask(client)
        (waiting,) = await rows_of(session, Mail)
        assert waiting.token_hash is None
        before = utcnow()
        token = await post.last_token()

        (mail,) = await rows_of(session, Mail)
        assert mail.token_hash == hash_token(token)
        lifetime = (mail.token_expires_at or before) - before
        assert timedelta(minutes=29) < lifetime < timedelta(minutes=31)
        assert token not in await everything_stored(session)

    async def test_a_mail_that_is_sent_again_has_another_secret(
        self, client: AsyncClient, customer: User, session: AsyncSession, post: Post
    ) -> None:
        """As after a kill between the sending and the note of it."""
        await ask(client)
        first = await post.last_token()
        await session.exec(update(Mail).values(status=OutgoingStatus.PENDING))
        second = await post.last_token()

        assert first != second
        assert_refused(await confirm(client, first), 403, INVALID)
        assert (await confirm(client, second)).status_code == 204
        assert post.server.taken[0]["Message-ID"] == post.server.taken[1]["Message-ID"]


class TestNobody:
    async def test_the_answer_and_the_work_are_the_same_for_everyone(
        self, client: AsyncClient, customer: User, session: AsyncSession, database: Database, post: Post
    ) -> None:
        await a_user(session, "idle", is_active=False)
        await ask(client, "somebody")  # from here on, the row that counts for the address is there
        found: list[Any] = []
        for login in ("customer", "customer@example.com", "nobody", "nobody@example.com", "idle"):
            with count_statements(database) as statements:
                answer = await ask(client, login)
            headers = {name: value for name, value in answer.headers.items() if name != "x-request-id"}
            shapes = [re.sub(r"\s+", " ", each) for each in statements]
            found.append((answer.status_code, answer.content, headers, shapes))
        assert all(each == found[0] for each in found)

        await post.deliver()
        assert [each["To"] for each in post.server.taken] == ["customer@example.com"] * 2
        rows = await rows_of(session, Mail)
        assert [each.status for each in rows[1:]] == [*[OutgoingStatus.SENT] * 2, *[OutgoingStatus.FAILED] * 3]

    async def test_requests_are_counted_by_account_and_by_address(
        self, settings: Settings, database: Database, customer: User, session: AsyncSession
    ) -> None:
        limits = {"password_resets_per_account": 2, "password_resets_per_address": 5}
        async with running(settings, **limits) as app:
            transport = ASGITransport(app, client=("192.0.2.7", 1))
            async with AsyncClient(transport=transport, base_url="http://test.example") as client:
                for login in ("customer", "nobody"):
                    statuses = [(await ask(client, login)).status_code for _ in range(3)]
                    assert statuses == [202, 202, 429]
                assert (await ask(client, "another")).status_code == 202
                refused = await ask(client, "one-more")
        assert_refused(refused, 429, "Too many attempts.")
        assert int(refused.headers["Retry-After"]) > 0
        assert len(await rows_of(session, Mail)) == 5
        counted = (await session.exec(select(Attempt.count).order_by(col(Attempt.id)))).all()
        assert sorted(counted) == [1, 2, 2, 5]

    async def test_where_the_shop_sends_no_mail_it_says_so(self, settings: Settings, customer: User) -> None:
        async with (
            running(settings, environment=Environment.PRODUCTION, allowed_hosts=("test.example",)) as app,
            AsyncClient(transport=ASGITransport(app), base_url="http://test.example") as client,
        ):
            assert_refused(await ask(client), 409, "This shop sends no mail")
