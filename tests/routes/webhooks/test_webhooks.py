"""/webhooks: staff say where other programs are told of events. The secret is shown once."""

import base64
from datetime import timedelta
from typing import Any

import pytest
from fastapi import FastAPI
from httpx import AsyncClient
from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.models.audit_entry import AuditEntry
from api.models.base import utcnow
from api.models.webhook import SECRET_BYTES, Webhook
from api.settings import Environment
from tests.books import rows_of
from tests.factories import a_webhook, a_webhook_delivery
from tests.support import assert_refused

ACCESS = """
                                     nobody  owner  other  staff
GET    /webhooks                        401    403    403    200
GET    /webhooks/{id}                   401    403    403    200
POST   /webhooks                        401    403    403    201
PATCH  /webhooks/{id}                   401    403    403    200
DELETE /webhooks/{id}                   401    403    403    204
POST   /webhooks/{id}/secret            401    403    403    200
POST   /webhooks/{id}/test              401    403    403    201
"""

WEBHOOK = {"url": "https://hooks.example.com/shop", "types": ["order.placed"]}
REQUESTS: dict[str, dict[str, Any]] = {
    "POST /webhooks": {"json": WEBHOOK},
    "PATCH /webhooks/{id}": {"json": {"description": "The warehouse"}},
}


def key_of(secret: str) -> bytes:
    prefix, encoded = secret[:6], secret[6:]
    assert prefix == "whsec_"
    return base64.b64decode(encoded, validate=True)


async def stored(session: AsyncSession, webhook_id: int) -> Webhook:
    return (await session.exec(select(Webhook).where(Webhook.id == webhook_id))).one()


class TestSecret:
    async def test_it_is_shown_when_a_webhook_is_made_and_never_again(
        self, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        created = await as_staff.post("/webhooks", json=WEBHOOK)

        assert created.status_code == 201
        secret = created.json()["secret"]
        assert len(key_of(secret)) == SECRET_BYTES
        webhook_id = created.json()["id"]
        assert (await stored(session, webhook_id)).secret == secret
        encoded = secret.removeprefix("whsec_")
        for path in (f"/webhooks/{webhook_id}", "/webhooks", "/exports/webhooks", "/audit"):
            answer = await as_staff.get(path)
            assert answer.status_code == 200
            assert encoded not in answer.text, path
        changed = await as_staff.patch(f"/webhooks/{webhook_id}", json={"description": "x"})
        assert encoded not in changed.text
        assert "secret" not in changed.json()

    async def test_a_rotation_gives_another_one_and_keeps_the_old_one_for_a_day(
        self, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        first = (await as_staff.post("/webhooks", json=WEBHOOK)).json()

        rotated = await as_staff.post(f"/webhooks/{first['id']}/secret")

        second = rotated.json()["secret"]
        assert len(key_of(second)) == SECRET_BYTES
        assert second != first["secret"]
        webhook, now = await stored(session, first["id"]), utcnow()
        assert webhook.secrets_at(now) == [second, first["secret"]]
        assert webhook.secrets_at(now + timedelta(hours=23, minutes=59)) == [second, first["secret"]]
        assert webhook.secrets_at(now + timedelta(hours=24)) == [second]

    async def test_the_trail_says_that_it_changed_and_not_to_what(
        self, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        webhook = await a_webhook(session)
        await as_staff.post(f"/webhooks/{webhook.id}/secret")

        (entry,) = [each for each in await rows_of(session, AuditEntry) if each.entity == "webhooks"]
        assert entry.changes.keys() == {"secret", "old_secret"}
        assert webhook.secret not in str(entry.changes)

    @pytest.mark.parametrize("path", ["/webhooks", "/webhooks/{}/secret"])
    async def test_an_answer_with_a_secret_is_stored_under_no_key(
        self, as_staff: AsyncClient, session: AsyncSession, path: str
    ) -> None:
        webhook = await a_webhook(session)
        body = WEBHOOK if path == "/webhooks" else None
        refused = await as_staff.post(path.format(webhook.id), json=body, headers={"Idempotency-Key": "one"})
        assert_refused(refused, 400, "its answer holds a secret")


class TestTest:
    async def test_it_is_a_delivery_that_tells_of_no_event(self, as_staff: AsyncClient, session: AsyncSession) -> None:
        webhook = await a_webhook(session, is_active=False)
        begun = await as_staff.post(f"/webhooks/{webhook.id}/test")

        assert begun.status_code == 201
        its = begun.json()
        assert (its["webhook_id"], its["event_id"], its["subject"]) == (webhook.id, None, f"webhooks/{webhook.id}")
        assert (its["status"], its["attempts"], its["http_status"]) == ("pending", 0, None)
        for path in (f"/webhooks/{webhook.id}/deliveries", "/webhook-deliveries?status=pending"):
            assert (await as_staff.get(path)).json()["items"] == [its]
        assert (await as_staff.get("/events")).json()["items"] == []

    async def test_it_is_begun_once_under_a_key(self, as_staff: AsyncClient, session: AsyncSession) -> None:
        webhook = await a_webhook(session)
        for _ in range(2):
            await as_staff.post(f"/webhooks/{webhook.id}/test", headers={"Idempotency-Key": "one"})
        assert (await as_staff.get("/webhook-deliveries")).json()["total"] == 1

    async def test_there_is_none_of_a_webhook_that_does_not_exist(self, as_staff: AsyncClient) -> None:
        assert_refused(await as_staff.post("/webhooks/4711/test"), 404)


class TestUrl:
    @pytest.mark.parametrize(
        ("sent", "kept"),
        [
            ("https://hooks.example.com", "https://hooks.example.com/"),
            ("HTTPS://Hooks.Example.COM:8443/a?b=%20c", "https://hooks.example.com:8443/a?b=%20c"),
            ("http://localhost:9000/x", "http://localhost:9000/x"),
            ("https://bücher.example/", "https://xn--bcher-kva.example/"),
            ("https://203.0.113.7/", "https://203.0.113.7/"),
            ("https://[2001:DB8:0::1]:8443/", "https://[2001:db8::1]:8443/"),
            ("https://１２７.0.0.1/", "https://127.0.0.1/"),
            ("https://my_service:80?x", "https://my_service:80?x"),
        ],
    )
    async def test_it_is_kept_as_it_is_called(self, as_staff: AsyncClient, sent: str, kept: str) -> None:
        assert (await as_staff.post("/webhooks", json={"url": sent})).json()["url"] == kept

    @pytest.mark.parametrize(
        ("url", "why"),
        [
            ("ftp://example.com/", "must begin with https://"),
            ("//example.com/", "must begin with https://"),
            ("javascript:alert(1)", "must begin with https://"),
            ("https://user:password@example.com/", "must not hold a user name"),
            ("https://example.com@169.254.169.254/", "must not hold a user name"),
            ("https://example.com/#part", "must not have a fragment"),
            ("https://", "must have the name or the address of a host"),
            ("https:///path", "must have the name or the address of a host"),
            ("https://a..b/", "must have the name or the address of a host"),
            ("https://-a.example/", "must have the name or the address of a host"),
            ("https://example%2ecom/", "must have the name or the address of a host"),
            (f"https://{'a' * 64}.example/", "must have the name or the address of a host"),
            (f"https://{'a.' * 130}example/", "must have the name or the address of a host"),
            ("https://[fe80::1%25eth0]/", "must have the name or the address of a host"),
            ("https://[::1", "must have a host, and a port"),
            ("https://2130706433/", "must write an address of numbers as four decimal ones"),
            ("https://0x7f000001/", "must write an address of numbers as four decimal ones"),
            ("https://0177.0.0.1/", "must write an address of numbers as four decimal ones"),
            ("https://127.1/", "must write an address of numbers as four decimal ones"),
            ("https://example.com:0/", "a port of 1 to 65535"),
            ("https://example.com:65536/", "a port of 1 to 65535"),
            ("https://example.com:/", "a port of 1 to 65535"),
            ("https://example.com\\@evil.example/", "must hold letters of ASCII"),
            ("https://example.com/é", "must hold letters of ASCII"),
            ("https://example.com/a b", "must hold letters of ASCII"),
            (f"https://example.com/{'a' * 2_000}", "at most 2"),
        ],
    )
    async def test_a_url_that_programs_read_in_different_ways_is_refused(
        self, as_staff: AsyncClient, url: str, why: str
    ) -> None:
        assert_refused(await as_staff.post("/webhooks", json={"url": url}), 422, why)

    async def test_production_demands_https(
        self, as_staff: AsyncClient, session: AsyncSession, app: FastAPI, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        webhook = await a_webhook(session)
        monkeypatch.setitem(app.state.settings.__dict__, "environment", Environment.PRODUCTION)
        http = {"url": "http://hooks.example.com/"}
        for method, path in (("POST", "/webhooks"), ("PATCH", f"/webhooks/{webhook.id}")):
            assert_refused(await as_staff.request(method, path, json=http), 422, "must begin with https://")


class TestUpdate:
    async def test_types_are_kept_once_each_and_none_means_all(self, as_staff: AsyncClient) -> None:
        sent = {**WEBHOOK, "types": ["stock.low", "order.placed", "stock.low"]}
        created = (await as_staff.post("/webhooks", json=sent)).json()
        assert created["types"] == ["order.placed", "stock.low"]
        changed = await as_staff.patch(f"/webhooks/{created['id']}", json={"types": []})
        assert changed.json()["types"] == []
        assert_refused(await as_staff.post("/webhooks", json={**WEBHOOK, "types": ["order.eaten"]}), 422)

    async def test_a_webhook_that_is_enabled_again_goes_on_with_what_is_waiting(
        self, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        now = utcnow()
        webhook = await a_webhook(
            session,
            is_active=False,
            failures=9,
            failing_since=now - timedelta(days=5),
            paused_until=now + timedelta(hours=1),
            disabled_at=now,
            disabled_reason="It took no delivery for 5 days.",
        )
        delivery = await a_webhook_delivery(session, webhook=webhook, due_at=now + timedelta(days=1))

        enabled = await as_staff.patch(f"/webhooks/{webhook.id}", json={"is_active": True})

        its = enabled.json()
        assert (its["is_active"], its["failures"], its["disabled_reason"]) == (True, 0, None)
        assert (its["failing_since"], its["paused_until"], its["disabled_at"]) == (None, None, None)
        await session.refresh(delivery)
        assert delivery.due_at <= utcnow()

    async def test_its_deliveries_go_with_it(self, as_staff: AsyncClient, session: AsyncSession) -> None:
        delivery = await a_webhook_delivery(session)
        assert (await as_staff.delete(f"/webhooks/{delivery.webhook_id}")).status_code == 204
        assert (await as_staff.get(f"/webhook-deliveries?webhook_id={delivery.webhook_id}")).json()["items"] == []
