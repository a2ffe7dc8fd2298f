"""Staff read mails in the admin, without the secrets of their links."""

from httpx import AsyncClient
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.sessions import Database
from api.mail.following import queue_mails
from api.models.event import Event
from tests.admin.support import Browser, words_of
from tests.books import rows_of
from tests.factories import a_mail, a_product, a_user, an_order
from tests.world import link


class TestPreview:
    async def test_a_mail_is_shown_as_text_and_as_html(
        self, admin: Browser, as_staff: AsyncClient, session: AsyncSession, database: Database
    ) -> None:
        user, product = await a_user(session, full_name="Zoë <script>"), await a_product(session, stock_quantity=9)
        order = await an_order(session, user, (product, 2))
        await as_staff.patch(f"/orders/{order.id}/status?new_status=confirmed")
        async with database.transaction() as transaction:
            await queue_mails(transaction, await rows_of(session, Event))

        mail_id = (await as_staff.get("/mails")).json()["items"][0]["id"]
        assert f"/admin/mails/{mail_id}/preview" in await admin.open(f"/mails/{mail_id}")
        shown = words_of(await admin.open(f"/mails/{mail_id}/preview"))
        html = await admin.get(f"/admin/mails/{mail_id}/preview.html")

        assert f"Your order {order.order_number} is confirmed" in shown
        assert "Hello Zoë <script>," in shown
        assert "Hello Zoë &lt;script&gt;," in html.text
        assert "sandbox" in html.headers["Content-Security-Policy"]

    async def test_the_secret_of_a_link_is_not_shown(self, admin: Browser, session: AsyncSession) -> None:
        mail = await a_mail(session, **link("secret-of-the-link"))
        page = await admin.open(f"/mails/{mail.id}/preview")
        assert "/password-reset?token=…" in page
        assert "secret-of-the-link" not in page

    async def test_a_mail_without_words_says_why(self, admin: Browser, session: AsyncSession) -> None:
        mail = await a_mail(session, await a_user(session, is_active=False))
        page = words_of(await admin.open(f"/mails/{mail.id}/preview", 409))
        assert "The user was deactivated or erased." in page
        for row_id in (mail.id + 1, "x", 2**63, "1" * 5_000):
            await admin.open(f"/mails/{row_id}/preview", 404)
