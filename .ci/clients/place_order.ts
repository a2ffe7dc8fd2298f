// Places, pays and cancels an order by the TypeScript client that was generated from the document.
import assert from "node:assert/strict";
import createClient from "openapi-fetch";
import type { components, paths } from "./schema.js";

const [url, password] = process.argv.slice(2);
assert(url && password);
const anyone = createClient<paths>({ baseUrl: url });

function answer<Data, Problem>(answered: { data?: Data; error?: Problem }): NonNullable<Data> {
  assert(answered.data, JSON.stringify(answered.error));
  return answered.data;
}

async function signIn(username: string, password: string) {
  const body = { username, password };
  const headers = { "Content-Type": "application/x-www-form-urlencoded" };
  const token = answer(await anyone.POST("/auth/token", { body, headers }));
  return createClient<paths>({ baseUrl: url!, headers: { Authorization: `Bearer ${token.access_token}` } });
}

const staff = await signIn("admin", password);
const lamp = answer(
  await staff.POST("/products", { body: { name: "Lamp", sku: "LAMP-TS", price: "12.50", stock_quantity: 5 } }),
);
const customer = { username: "tess", email: "tess@example.com", password: "SecurePass123" };
answer(await anyone.POST("/users", { body: customer }));
const tess = await signIn(customer.username, customer.password);

const place = () =>
  tess.POST("/orders", {
    body: { items: [{ product_id: lamp.id, quantity: 2 }] },
    params: { header: { "Idempotency-Key": "tess-1" } },
  });
const order = answer(await place());
assert.equal(order.total_amount, "25.00");
assert.equal(order.items[0]?.product_name, "Lamp");
assert.equal(answer(await place()).id, order.id);

const path = { id: order.id };
const payment = answer(
  await staff.POST("/orders/{id}/payments", { body: { method: "card", amount: "25.00" }, params: { path } }),
);
assert.equal(payment.amount, order.total_amount);
const confirmed: components["schemas"]["OrderStatus"] = "confirmed";
assert.equal(answer(await tess.GET("/orders/{id}", { params: { path } })).status, confirmed);

const cancelled = answer(await tess.POST("/orders/{id}/cancel", { params: { path } }));
assert.equal(cancelled.status, "cancelled");
assert.equal(cancelled.refunded_amount, "25.00");
const again = await tess.POST("/orders/{id}/cancel", { params: { path } });
assert.equal(again.error?.status, 409);
console.log("placed, paid and cancelled");
