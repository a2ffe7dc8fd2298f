"""Customers who order, cancel, pay and transfer, and who note down what they were told."""

import asyncio
import random
from secrets import token_hex
from time import monotonic
from typing import Any

import httpx

from tests.faults.journal import Answer, Journal, Operation
from tests.faults.shop import Customer

PATIENCE = 60
"""Seconds until a client hangs up: on a busy machine it takes a while until there is a worker again."""

SETTLED_WITHIN = 60
"""Seconds for all that is open when the faults are over."""


class Traffic:
    """Of several customers, and of staff who take card payments and give refunds."""

    def __init__(self, url: str, customers: list[Customer], staff: Customer, products: list[int], seed: int) -> None:
        self.journal = Journal()
        self._customers = customers
        self._staff = staff
        self._products = products
        self._choose = random.Random(seed)
        self._payments: list[tuple[int, str]] = []
        self._headers = {each.user_id: each.headers for each in [*customers, staff]}
        self._http = httpx.AsyncClient(
            base_url=url, limits=httpx.Limits(max_connections=100, max_keepalive_connections=0)
        )

    async def run(self, until: asyncio.Event, at_once: int) -> None:
        await asyncio.gather(*(self._shop(until, self._customers[n % len(self._customers)]) for n in range(at_once)))

    async def settle(self) -> None:
        """Send what has no definitive answer again, with its key, until it has one."""
        deadline = monotonic() + SETTLED_WITHIN
        while waiting := self.journal.unanswered:
            assert monotonic() < deadline, f"{len(waiting)} operations are still open: {waiting[:3]}"
            await asyncio.gather(*(self._send(operation) for operation in waiting[:20]))

    async def close(self) -> None:
        await self._http.aclose()

    async def _shop(self, until: asyncio.Event, customer: Customer) -> None:
        while not until.is_set():
            operation = self.journal.open(self._something(customer))
            await self._send(operation, patience=self._choose.choice([*[PATIENCE] * 5, self._choose.uniform(0, 0.1)]))
            for _ in range(2):  # and then it is left for later
                if operation.outcome is None and self._choose.random() < 0.7:
                    await asyncio.sleep(self._choose.uniform(0.05, 0.3))
                    await self._send(operation)
            if operation.is_acknowledged and operation.outcome is not None:
                self._remember(customer, operation, operation.outcome.json())

    def _something(self, customer: Customer) -> Operation:
        wish = self._choose.random()
        if wish < 0.45 or not customer.orders:
            return self._order(customer)
        if wish < 0.60:
            order_id, _ = self._any_order_of(customer)
            return self._operation("cancel", customer, f"/orders/{order_id}/cancel", key=False)
        if wish < 0.80:
            return self._payment(customer)
        if wish < 0.88 and self._payments:
            return self._refund()
        return self._transfer(customer)

    def _order(self, customer: Customer) -> Operation:
        chosen = self._choose.sample(self._products, self._choose.randint(1, 4))
        items = [{"product_id": each, "quantity": self._choose.randint(1, 3)} for each in chosen]
        return self._operation("order", customer, "/orders", items=items)

    def _payment(self, customer: Customer) -> Operation:
        order_id, total = self._any_order_of(customer)
        path, amount = f"/orders/{order_id}/payments", self._choose.choice([total, self._amount(5_000)])
        if self._choose.random() < 0.5:
            return self._operation("payment", customer, path, method="store_credit", amount=amount)
        reference = token_hex(8)
        return self._operation("payment", self._staff, path, method="card", amount=amount, reference=reference)

    def _refund(self) -> Operation:
        payment_id, amount = self._choose.choice(self._payments)
        return self._operation(
            "refund", self._staff, f"/payments/{payment_id}/refunds", amount=amount, reason="Scratched"
        )

    def _transfer(self, customer: Customer) -> Operation:
        receiver = self._choose.choice([each for each in self._customers if each is not customer])
        return self._operation(
            "transfer",
            customer,
            "/accounts/transfers",
            to_account_id=receiver.account_id,
            amount=self._amount(3_000),
        )

    def _any_order_of(self, customer: Customer) -> tuple[int, str]:
        return self._choose.choice(list(customer.orders.items()))

    def _amount(self, most_cents: int) -> str:
        return f"{self._choose.randint(1, most_cents) / 100:.2f}"

    def _operation(self, kind: str, user: Customer, path: str, *, key: bool = True, **body: Any) -> Operation:
        return Operation(kind, user.user_id, path, body, token_hex(16) if key else None)

    def _remember(self, customer: Customer, operation: Operation, answer: dict[str, Any]) -> None:
        if operation.kind == "order":
            customer.orders[answer["id"]] = answer["total_amount"]
        elif operation.kind == "payment":
            self._payments.append((answer["id"], answer["amount"]))

    async def _send(self, operation: Operation, patience: float = PATIENCE) -> None:
        """With little patience the client hangs up, and does not know what became of it."""
        key = {} if operation.key is None else {"Idempotency-Key": operation.key}
        headers = self._headers[operation.user_id] | key
        operation.sent += 1
        began = monotonic()
        try:
            response = await self._http.post(
                operation.path, json=operation.body or None, headers=headers, timeout=patience
            )
        except httpx.TimeoutException:
            assert patience < PATIENCE, f"{operation} was not answered in {PATIENCE} seconds"
            return
        except httpx.TransportError:
            await asyncio.sleep(0.05)
            return
        operation.answers.append(
            Answer(
                response.status_code,
                response.content,
                "Idempotent-Replayed" in response.headers,
                response.headers.get("Retry-After"),
                monotonic() - began,
            )
        )
