"""The worker sends mail: once per event, later where the server asks for it, and not to whom has left."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from httpx import AsyncClient
from sqlmodel import col, delete, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.sessions import Database
from api.mail.following import LONGEST_WAIT
from api.models.base import utcnow
from api.models.mail import Mail, MailKind
from api.models.order import Order, OrderStatus
from api.models.outgoing import OutgoingStatus
from api.models.user import User
from api.models.webhook import Webhook
from api.settings import Settings
from api.worker.fan_out import fan_out
from api.worker.job_rows import RELAY, add_missing_rows, skip_to_end
from api.worker.mail import MAIL_FOLLOWER, MailChannel
from api.worker.queue import Queue
from api.worker.relay import relay
from tests.books import rows_of
from tests.factories import a_mail, a_payment, a_product, a_user, a_webhook, an_order
from tests.mail_server import MailServer, make_certificates, serving, serving_with_login
from tests.support import free_port, longest_backoff
from tests.worker.support import OpenWorker


class Worker:
    """One worker's part in mail."""

    def __init__(self, settings: Settings, database: Database, url: str | None, **changes: Any) -> None:
        sends = {"smtp_url": url, "mail_from": "shop@example.com", **changes}
        self.channel = MailChannel(settings.model_copy(update=sends))
        self.queue = Queue(self.channel)
        self.database = database

    async def follow(self) -> None:
        """Queue the mails of all events."""
        while await relay(self.database) or await fan_out(self.database, [MAIL_FOLLOWER]):
            pass

    async def send(self) -> None:
        """Send until nothing is due."""
        while await self.queue.step(self.database):
            pass

    async def work(self) -> None:
        await self.follow()
        await self.send()


@pytest.fixture(autouse=True)
async def rows_of_jobs(database: Database) -> None:
    await add_missing_rows(database, [RELAY, MAIL_FOLLOWER.name])


@pytest.fixture
async def server() -> AsyncIterator[MailServer]:
    with serving() as server:
        yield server


async def only(session: AsyncSession) -> Mail:
    (mail,) = await rows_of(session, Mail)
    return mail


async def make_due(session: AsyncSession) -> None:
    await session.exec(update(Mail).values(due_at=utcnow()))


class TestOrders:
    async def test_each_step_of_an_order_is_one_mail(
        self, settings: Settings, database: Database, session: AsyncSession, as_staff: AsyncClient, server: MailServer
    ) -> None:
        user = await a_user(session, "zoe", full_name="Zoë <b>")
        product = await a_product(session, "Head & Phones", sku="WH-9", price="79.99", stock_quantity=9)
        order = await an_order(session, user, (product, 2), shipping_address="1 Abbey Road\nLondon")
        other = await an_order(session, user, (product, 1))
        payment = await a_payment(session, order, "159.98")
        worker = Worker(settings, database, server.url, currency="CHF")

        for status in ("confirmed", "shipped"):
            assert (await as_staff.patch(f"/orders/{order.id}/status?new_status={status}")).status_code == 200
        refund = {"amount": "9.98", "reason": "Scratched"}
        assert (await as_staff.post(f"/payments/{payment.id}/refunds", json=refund)).status_code == 201
        assert (await as_staff.post(f"/orders/{other.id}/cancel")).status_code == 200
        for _ in range(2):
            await worker.work()

        assert [each["Subject"] for each in server.taken if order.order_number in str(each["Subject"])] == [
            f"Your order {order.order_number} is confirmed",
            f"Your order {order.order_number} is on its way",
            f"We refunded 9.98 CHF of your order {order.order_number}",
        ]
        assert f"Your order {other.order_number} is cancelled" in [each["Subject"] for each in server.taken]
        assert len(server.taken) == 4
        assert {each["To"] for each in server.taken} == {"zoe@example.com"}
        text = next(text for text in server.texts() if "on its way" in text)
        assert "Hello Zoë <b>," in text
        assert "2 x Head & Phones (WH-9): 159.98 CHF" in text
        assert "1 Abbey Road\nLondon" in text
        assert {each.status for each in await rows_of(session, Mail)} == {OutgoingStatus.SENT}

    async def test_several_workers_send_each_mail_once(
        self,
        settings: Settings,
        database: Database,
        session: AsyncSession,
        as_staff: AsyncClient,
        server: MailServer,
        open_worker: OpenWorker,
    ) -> None:
        product = await a_product(session, stock_quantity=100)
        for _ in range(5):
            order = await an_order(session, None, (product, 1))
            await as_staff.patch(f"/orders/{order.id}/status?new_status=confirmed")
        while await relay(database):
            pass
        async with AsyncExitStack() as stack:
            opened = [await stack.enter_async_context(open_worker()) for _ in range(3)]
            workers = [Worker(settings, each, server.url) for each in opened]
            await asyncio.gather(*(fan_out(each.database, [MAIL_FOLLOWER]) for each in workers))
            await asyncio.gather(*(each.send() for each in workers))
        assert len({each["Message-ID"] for each in server.taken}) == len(server.taken) == 5

    async def test_a_mail_goes_to_the_address_of_then_and_says_the_order_of_the_event(
        self, settings: Settings, database: Database, session: AsyncSession, as_staff: AsyncClient, server: MailServer
    ) -> None:
        order = await an_order(session, status=OrderStatus.PENDING)
        await as_staff.patch(f"/orders/{order.id}/status?new_status=confirmed")
        worker = Worker(settings, database, server.url)
        await worker.follow()
        await session.exec(update(User).where(col(User.id) == order.user_id).values(email="moved@example.com"))
        await worker.send()
        assert [each["To"] for each in server.taken] == ["moved@example.com"]

    async def test_nobody_hears_of_orders_that_were_invented(
        self, settings: Settings, database: Database, session: AsyncSession, as_staff: AsyncClient, server: MailServer
    ) -> None:
        worker = Worker(settings, database, server.url)
        orders = [await an_order(session) for _ in range(4)]

        async def confirm(order: Order) -> None:
            assert (await as_staff.patch(f"/orders/{order.id}/status?new_status=confirmed")).status_code == 200

        await confirm(orders[0])
        while await relay(database):
            pass
        for each in orders[1:3]:  # which have no place in the feed yet
            await confirm(each)
        await skip_to_end(database, [MAIL_FOLLOWER.name])
        await worker.work()
        await confirm(orders[3])
        await worker.work()

        told = f"Your order {orders[3].order_number} is confirmed"
        assert [each["Subject"] for each in server.taken] == [told]

    async def test_old_news_is_no_mail(
        self, settings: Settings, database: Database, session: AsyncSession, customer: User, server: MailServer
    ) -> None:
        long_ago = utcnow() - LONGEST_WAIT - timedelta(minutes=1)
        await a_mail(session, customer, created_at=long_ago)
        await Worker(settings, database, server.url).send()
        assert server.taken == []
        assert (await only(session)).error == "It has waited for too long."


class TestNotSent:
    @pytest.mark.parametrize("leaves", ["erased", "erased with books", "deactivated"])
    async def test_who_has_left_gets_no_mail(
        self,
        settings: Settings,
        database: Database,
        session: AsyncSession,
        as_staff: AsyncClient,
        server: MailServer,
        leaves: str,
    ) -> None:
        user = await a_user(session)
        await a_mail(session, user)
        if leaves == "erased with books":
            await an_order(session, user)
        path = f"/users/{user.id}/soft" if leaves == "deactivated" else f"/users/{user.id}"
        assert (await as_staff.delete(path)).is_success

        await Worker(settings, database, server.url).send()

        assert server.taken == []
        left = await rows_of(session, Mail)
        assert [each.status for each in left] == ([OutgoingStatus.FAILED] if leaves == "deactivated" else [])

    async def test_the_old_address_is_told_also_where_the_account_was_deactivated(
        self, settings: Settings, database: Database, session: AsyncSession, server: MailServer
    ) -> None:
        """Whoever took an account over could silence its owner otherwise."""
        user = await a_user(session, is_active=False)
        await a_mail(session, user, kind=MailKind.EMAIL_CHANGED, address="old@example.com")
        await Worker(settings, database, server.url).send()
        assert [each["To"] for each in server.taken] == ["old@example.com"]

    async def test_a_new_address_that_was_given_up_gets_none(
        self, settings: Settings, database: Database, session: AsyncSession, server: MailServer
    ) -> None:
        user = await a_user(session, pending_email="second@example.com")
        await a_mail(session, user, kind=MailKind.EMAIL_CONFIRMATION, address="first@example.com")
        await Worker(settings, database, server.url).send()
        assert (server.taken, (await only(session)).status) == ([], OutgoingStatus.FAILED)

    @pytest.mark.parametrize("state", ["disabled", "enabled", "deleted"])
    async def test_staff_hear_of_a_webhook_that_is_still_disabled(
        self, settings: Settings, database: Database, session: AsyncSession, server: MailServer, state: str
    ) -> None:
        webhook = await a_webhook(
            session, is_active=state == "enabled", description="Zoë's <b>", disabled_reason="It answered 410."
        )
        staff = await a_user(session, is_superuser=True)
        await a_mail(session, staff, kind=MailKind.WEBHOOK_DISABLED, about=f"webhooks/{webhook.id}")
        if state == "deleted":
            await session.exec(delete(Webhook))
        await Worker(settings, database, server.url).send()

        mail = await only(session)
        if state == "disabled":
            (text,) = server.texts()
            assert f"the {webhook.called}. It answered 410." in " ".join(text.split())
            assert f"http://127.0.0.1:8000/admin/webhooks/{webhook.id}" in text
            assert (mail.status, mail.error) == (OutgoingStatus.SENT, None)
        else:
            assert server.taken == []
            assert (mail.status, mail.error) == (OutgoingStatus.FAILED, "The webhook was enabled or deleted meanwhile.")


class TestFailures:
    @pytest.fixture(autouse=True)
    def no_attempt_at_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("api.worker.mail.backoff", longest_backoff)

    async def test_a_permanent_refusal_fails_at_once_and_says_why(
        self, settings: Settings, database: Database, session: AsyncSession, as_staff: AsyncClient, server: MailServer
    ) -> None:
        server.refuse_recipient = lambda address: "550 5.1.1 no such user" if address.startswith("gone") else None
        await a_mail(session, await a_user(session, "gone"))
        await a_mail(session, await a_user(session, "here"))
        await Worker(settings, database, server.url).send()
        here, gone = (await as_staff.get("/mails")).json()["items"]
        assert (gone["status"], gone["attempts"]) == ("failed", 1)
        assert gone["error"] == "The mail server said 550 5.1.1 no such user"
        assert (here["status"], here["error"]) == ("sent", None)

    async def test_a_temporary_refusal_is_tried_again_and_given_up_after_days(
        self, settings: Settings, database: Database, session: AsyncSession, customer: User, server: MailServer
    ) -> None:
        server.refuse_data = lambda _: "451 4.3.0 come again"
        await a_mail(session, customer)
        worker = Worker(settings, database, server.url)
        for attempts in (1, 2):
            await make_due(session)
            await worker.send()
            mail = await only(session)
            assert (mail.status, mail.attempts) == (OutgoingStatus.PENDING, attempts)
            assert mail.error == "The mail server said 451 4.3.0 come again"
        await session.exec(update(Mail).values(due_at=utcnow(), created_at=utcnow() - LONGEST_WAIT))
        await worker.send()
        mail = await only(session)
        assert (mail.status, mail.error) == (OutgoingStatus.FAILED, "The mail server said 451 4.3.0 come again")

    async def test_a_connection_that_breaks_in_the_midst_sends_the_same_mail_again(
        self, settings: Settings, database: Database, session: AsyncSession, customer: User, server: MailServer
    ) -> None:
        server.drops = 1
        await a_mail(session, customer)
        worker = Worker(settings, database, server.url)
        await worker.send()
        assert (await only(session)).status is OutgoingStatus.PENDING
        await make_due(session)
        await worker.send()
        assert (await only(session)).status is OutgoingStatus.SENT
        assert len(server.taken) == 1

    async def test_a_server_that_is_down_pauses_all_mail_with_one_line_and_costs_no_attempt(
        self, settings: Settings, database: Database, session: AsyncSession, caplog: pytest.LogCaptureFixture
    ) -> None:
        server = MailServer()
        server.port = free_port()
        for _ in range(8):
            await a_mail(session)
        worker = Worker(settings, database, server.url)
        with caplog.at_level(logging.INFO, logger="api.worker.mail"):
            await worker.send()
            await make_due(session)
            await worker.send()
            (line,) = [each.getMessage() for each in caplog.records]
            assert line.startswith(f"No mail is sent: the mail server 127.0.0.1:{server.port} cannot be reached: ")
            assert {each.attempts for each in await rows_of(session, Mail)} == {0}

            with serving(server):
                worker.channel._paused_until = utcnow()
                await make_due(session)
                await worker.send()
        assert len(server.taken) == 8
        assert caplog.records[-1].getMessage() == "The mail server takes mail again."

    async def test_a_wrong_login_is_one_line_without_the_password(
        self,
        settings: Settings,
        database: Database,
        session: AsyncSession,
        caplog: pytest.LogCaptureFixture,
        tmp_path: Path,
    ) -> None:
        for _ in range(3):
            await a_mail(session)
        with serving_with_login(make_certificates(tmp_path)) as server:
            server.login = "shop:hunter2@"
            await Worker(settings, database, server.url).send()
        (line,) = [each.getMessage() for each in caplog.records if each.name == "api.worker.mail"]
        assert "refuses the login of SMTP_URL (535). It is tried again in " in line
        assert "hunter2" not in caplog.text

    async def test_a_broken_template_is_named_and_the_mail_waits_for_a_better_one(
        self,
        settings: Settings,
        database: Database,
        session: AsyncSession,
        customer: User,
        server: MailServer,
        tmp_path: Path,
    ) -> None:
        template = tmp_path / "password_reset.txt"
        template.write_text("Subject: x\n\n{{ nothing }}")
        await a_mail(session, customer)
        worker = Worker(settings, database, server.url, mail_templates=tmp_path)
        await worker.send()
        mail = await only(session)
        assert mail.status is OutgoingStatus.PENDING
        assert mail.error == "The template password_reset.txt cannot be used: 'nothing' is undefined"
        template.write_text("Subject: Mended\n\n{{ link }}")
        await make_due(session)
        await worker.send()
        assert [each["Subject"] for each in server.taken] == ["Mended"]


class TestDevelopment:
    async def test_where_no_server_is_set_mails_are_shown_in_the_log(
        self,
        settings: Settings,
        database: Database,
        session: AsyncSession,
        customer: User,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        await a_mail(session, customer)
        with caplog.at_level(logging.INFO, logger="api.worker.mail"):
            await Worker(settings, database, None).send()
        assert "Mail to customer@example.com: A new password for Shop" in caplog.text
        assert "http://127.0.0.1:8000/password-reset?token=" in caplog.text
        assert (await session.exec(select(Mail.status))).one() is OutgoingStatus.SENT
