"""Webhooks in the admin: a test by one press, and secrets, each of which is shown once."""

import re

from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.models.base import utcnow
from api.models.webhook import Webhook
from api.models.webhook_delivery import WebhookDelivery
from tests.admin.support import Browser, fields_of, links_of, words_of
from tests.books import rows_of
from tests.factories import a_webhook


class TestTypes:
    async def test_types_are_words_that_are_offered_and_can_be_cleared(
        self, admin: Browser, session: AsyncSession
    ) -> None:
        form = await admin.open("/webhooks/new")
        assert "an empty list means all. There are order.placed, order.confirmed," in words_of(form)
        url = "https://hooks.example.com/shop"
        await admin.submit("/webhooks/new", url=url, types="order.placed, stock.low")
        (webhook,) = await rows_of(session, Webhook)
        assert webhook.types == ["order.placed", "stock.low"]

        path = f"/webhooks/{webhook.id}/edit"
        assert fields_of(await admin.open(path))["body.types"] == "order.placed, stock.low"
        refused = await admin.submit(path, types="order.eaten")
        assert refused.status_code == 422
        assert (await admin.submit(path, types="")).status_code == 303
        await session.refresh(webhook)
        assert webhook.types == []


class TestTest:
    async def test_a_test_is_sent_once_by_one_press(self, admin: Browser, session: AsyncSession) -> None:
        webhook = await a_webhook(session, is_active=False)
        html = await admin.open(f"/webhooks/{webhook.id}")
        assert ">Send a test</button>" in html
        for _ in range(2):
            sent = await admin.post(f"/admin/webhooks/{webhook.id}/do/send-a-test", data=fields_of(html))
            assert sent.headers["location"] == f"/admin/webhooks/{webhook.id}?done=test_webhook"

        (delivery,) = (await session.exec(select(WebhookDelivery))).all()
        assert (delivery.webhook_id, delivery.event_id) == (webhook.id, None)
        shown = words_of(await admin.open(f"/webhooks/{webhook.id}?done=test_webhook"))
        assert "The test is on its way." in shown
        assert f"webhooks/{webhook.id}" in words_of(await admin.open(f"/webhook-deliveries/{delivery.id}"))


def secret_on(html: str) -> str:
    found = re.search(r'<pre class="secret">(whsec_[^<]+)</pre>', html)
    assert found is not None, words_of(html)
    return found[1]


class TestSecret:
    async def test_it_is_shown_when_a_webhook_is_added_and_on_no_other_page(
        self, admin: Browser, session: AsyncSession
    ) -> None:
        added = await admin.submit("/webhooks/new", url="https://hooks.example.com/shop")

        assert (added.status_code, added.headers["cache-control"]) == (200, "no-store")
        (webhook,) = await rows_of(session, Webhook)
        assert secret_on(added.text) == webhook.secret
        assert f'href="/admin/webhooks/{webhook.id}?done=create_webhook"' in added.text
        encoded = webhook.secret.removeprefix("whsec_")
        row = f"/webhooks/{webhook.id}?done=create_webhook"
        for path in (row, "/webhooks", "/audit-entries", "/webhooks/export.csv"):
            assert encoded not in await admin.open(path), path

    async def test_a_webhook_that_is_refused_shows_none(self, admin: Browser, session: AsyncSession) -> None:
        refused = await admin.submit("/webhooks/new", url="ftp://hooks.example.com/")
        assert refused.status_code == 422
        assert "whsec_" not in refused.text
        assert await rows_of(session, Webhook) == []

    async def test_a_rotation_asks_first_and_shows_the_new_one_once(
        self, admin: Browser, session: AsyncSession
    ) -> None:
        webhook = await a_webhook(session)
        old, path = webhook.secret, f"/webhooks/{webhook.id}/do/rotate-the-secret"
        assert f"/admin{path}" in links_of(await admin.open(f"/webhooks/{webhook.id}"), path)
        form = await admin.open(path)
        assert "for 24 hours with the present one too" in words_of(form)
        assert "whsec_" not in form

        rotated = await admin.post(f"/admin{path}", data=fields_of(form))

        new = secret_on(rotated.text)
        await session.refresh(webhook)
        assert webhook.secrets_at(utcnow()) == [new, old]
        assert new not in await admin.open(f"/webhooks/{webhook.id}?done=rotate_webhook_secret")

    async def test_a_page_with_a_secret_that_is_loaded_again_rotates_no_second_time(
        self, admin: Browser, session: AsyncSession
    ) -> None:
        """Nor one that was opened earlier, in another tab: the secret that receivers know would be gone at once."""
        webhook = await a_webhook(session)
        path = f"/webhooks/{webhook.id}/do/rotate-the-secret"
        fields = fields_of(await admin.open(path))
        new = secret_on((await admin.post(f"/admin{path}", data=fields)).text)
        for again in (fields, {"key": "x"}):
            refused = await admin.post(f"/admin{path}", data=again)
            assert refused.status_code == 412
            assert "This was done, or the row changed" in words_of(refused.text)
            assert "whsec_" not in refused.text
        await session.refresh(webhook)
        assert webhook.secret == new

        once_more = await admin.post(f"/admin{path}", data=fields_of(refused.text))
        assert secret_on(once_more.text) != new

    async def test_customers_and_other_sites_rotate_none(
        self, admin: Browser, customers_browser: Browser, session: AsyncSession
    ) -> None:
        webhook = await a_webhook(session)
        path = f"/webhooks/{webhook.id}/do/rotate-the-secret"
        fields = fields_of(await admin.open(path))
        assert (await customers_browser.post(f"/admin{path}", data=fields)).status_code == 403
        elsewhere = {"Sec-Fetch-Site": "cross-site"}
        assert (await admin.post(f"/admin{path}", data=fields, headers=elsewhere)).status_code == 403
        before = webhook.secret
        await session.refresh(webhook)
        assert webhook.secret == before
