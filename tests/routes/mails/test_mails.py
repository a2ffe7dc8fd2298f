"""/mails: staff see what became of each mail, and nothing of what its link holds."""

from httpx import AsyncClient
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.sessions import Database
from api.models.mail import MailKind
from api.models.outgoing import OutgoingStatus
from api.models.user import User
from tests.factories import a_mail
from tests.lists import ids
from tests.support import assert_refused, count_statements

ACCESS = """
                              nobody  owner  other  staff
GET    /mails                    401    403    403    200
GET    /mails/{id}               401    403    403    200
"""


class TestListMails:
    async def test_mails_are_listed_newest_first_and_filtered(
        self, as_staff: AsyncClient, session: AsyncSession, customer: User, other_customer: User
    ) -> None:
        reset = await a_mail(session, customer)
        failed = await a_mail(session, customer, kind=MailKind.EMAIL_CHANGED, status=OutgoingStatus.FAILED)
        others = await a_mail(session, other_customer)

        async def found(**filters: str | int) -> list[int]:
            return ids((await as_staff.get("/mails", params=filters)).json())

        assert await found() == [others.id, failed.id, reset.id]
        assert await found(user_id=customer.id) == [failed.id, reset.id]
        assert await found(kind="password_reset") == [others.id, reset.id]
        assert await found(status="failed") == [failed.id]
        assert_refused(await as_staff.get("/mails?status=lost"), 422)

    async def test_the_hash_of_a_link_and_the_address_are_not_shown(
        self, as_staff: AsyncClient, session: AsyncSession, customer: User
    ) -> None:
        mail = await a_mail(session, customer, token_hash="f" * 64, address="new@example.com")
        read = (await as_staff.get(f"/mails/{mail.id}")).json()
        assert read == (await as_staff.get("/mails")).json()["items"][0]
        assert (read["kind"], read["user_id"], read["status"]) == ("password_reset", customer.id, "pending")
        assert {"token_hash", "token_expires_at", "address", "claim"}.isdisjoint(read)

    async def test_a_list_costs_the_same_whatever_its_size(
        self, as_staff: AsyncClient, session: AsyncSession, database: Database
    ) -> None:
        for number in (1, 5):
            for _ in range(number):
                await a_mail(session)
            with count_statements(database) as statements:
                await as_staff.get("/mails")
            assert len(statements) == 2
