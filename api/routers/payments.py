"""/payments: give money back."""

from fastapi import APIRouter

from api.auth import Staff
from api.database import WriteSession
from api.errors import problems
from api.loading import PathId, get_or_404
from api.models import Payment, Refund, RefundCreate, RefundRead
from api.rules import payments
from api.transactions import Idempotent, TransactionRoute

router = APIRouter(prefix="/payments", tags=["payments"], route_class=TransactionRoute)


@router.post(
    "/{id}/refunds",
    status_code=201,
    response_model=RefundRead,
    responses=problems(404, 409),
    dependencies=[Idempotent],
)
async def refund_payment(payment_id: PathId, data: RefundCreate, session: WriteSession, staff: Staff) -> Refund:
    """Refund a payment, in part or whole; store credit goes back to the account it came from."""
    payment = await get_or_404(session, Payment, payment_id)
    refund = Refund.model_validate(data, update={"payment_id": payment.id, "user_id": staff.id})
    return await payments.refund(session, payment, refund)
