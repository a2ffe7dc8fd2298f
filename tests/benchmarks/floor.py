"""The least that Python can do: `uvicorn floor:app`, with `DATABASE_URL` set to a shop's PostgreSQL database.

Starlette routes without middleware, SQL written by hand on psycopg's own connections, and JSON made by PostgreSQL.
Nothing is validated, retried or refused; what is served is what the shop serves.
"""

import base64
import hashlib
import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from psycopg_pool import AsyncConnectionPool
from pydantic_core import from_json
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

CONNECTIONS = int(os.environ.get("DATABASE_POOL_SIZE", "16"))


def written(*names: str) -> str:
    """Columns with times as the shop writes them."""
    times = (
        f"replace(to_char({name} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'), '.000000Z', 'Z')"
        f" AS {name.split('.')[-1]}"
        for name in names
    )
    return ", ".join(times)


CATEGORY = f"""(SELECT row_to_json(r) FROM (SELECT
    c.name, c.description, c.parent_id, c.id, c.slug, {written("c.created_at", "c.updated_at")}) r)"""
PRODUCT = f"""SELECT row_to_json(r)::text FROM (SELECT
    p.name, p.sku, p.description, (p.price * 0.01)::text AS price, p.is_active, p.attributes, p.category_id, p.id,
    p.slug, p.stock_quantity, {written("p.created_at", "p.updated_at")},
    CASE WHEN c.id IS NOT NULL THEN {CATEGORY} END AS category
    FROM products p LEFT JOIN categories c ON c.id = p.category_id WHERE %s) r"""
ITEMS = """(SELECT json_agg(row_to_json(l)) FROM (SELECT
    i.id, i.product_id, i.product_name, i.sku, i.quantity, (i.unit_price * 0.01)::text AS unit_price,
    (i.total_price * 0.01)::text AS total_price FROM order_items i WHERE i.order_id = o.id ORDER BY i.id) l)"""
ORDER = f"""SELECT row_to_json(r)::text FROM (SELECT
    o.shipping_address, o.id, o.order_number, o.user_id, o.status, (o.total_amount * 0.01)::text AS total_amount,
    (o.paid_amount * 0.01)::text AS paid_amount, (o.refunded_amount * 0.01)::text AS refunded_amount,
    {written("o.created_at", "o.updated_at")}, {ITEMS} AS items
    FROM orders o WHERE %s) r"""
TOKEN = "SELECT t.user_id FROM tokens t JOIN users u ON u.id = t.user_id WHERE t.token_hash = %s AND u.is_active"
OWNER = f"o.user_id = ({TOKEN})"

PRODUCT_BY_ID = PRODUCT % "p.id = %s AND p.is_active"
PRODUCTS_AFTER = PRODUCT % "p.id < %s AND p.is_active ORDER BY p.id DESC LIMIT %s"
PRODUCTS_OF_PAGE = PRODUCT % (
    "p.id IN (SELECT id FROM products WHERE is_active ORDER BY id DESC LIMIT %s OFFSET %s) ORDER BY p.id DESC"
)
COUNT_PRODUCTS = "SELECT count(*) FROM products WHERE is_active"
ORDER_BY_ID = ORDER % f"o.id = %s AND {OWNER}"
ORDERS_OF_PAGE = ORDER % f"{OWNER} ORDER BY o.id DESC LIMIT %s OFFSET %s"
COUNT_ORDERS = f"SELECT count(*) FROM orders o WHERE {OWNER}"
ME = f"""SELECT row_to_json(r)::text FROM (SELECT
    id, username, email, full_name, bio, is_active, is_superuser,
    {written("last_login_at", "created_at", "updated_at")} FROM users WHERE id = ({TOKEN})) r"""
TREE = f"""WITH RECURSIVE tree AS (SELECT row_to_json(r) AS node, id, parent_id FROM (SELECT
    name, description, parent_id, id, slug, {written("created_at", "updated_at")} FROM categories ORDER BY name) r)
    SELECT id, parent_id, node::text FROM tree"""

CLAIM = """INSERT INTO idempotency_keys (user_id, route, key, fingerprint, created_at)
    VALUES (%s, 'POST /orders', %s, %s, now())"""
CUSTOMER = "SELECT id FROM users WHERE id = %s AND is_active FOR KEY SHARE"
TAKE = """WITH locked AS (
        SELECT p.id, l.quantity FROM products p JOIN unnest(%s::bigint[], %s::bigint[]) AS l(id, quantity) USING (id)
        WHERE p.is_active AND p.stock_quantity >= l.quantity ORDER BY p.id FOR NO KEY UPDATE OF p)
    UPDATE products p SET stock_quantity = p.stock_quantity - l.quantity, updated_at = now()
    FROM locked l WHERE p.id = l.id RETURNING p.id, p.name, p.sku, p.price, l.quantity"""
PLACE = (
    """WITH o AS (INSERT INTO orders (order_number, user_id, status, total_amount, paid_amount, refunded_amount,
        shipping_address, created_at, updated_at)
        VALUES (%s, %s, 'pending', %s, 0, 0, %s, now(), now()) RETURNING *),
    l AS (INSERT INTO order_items (order_id, product_id, product_name, sku, quantity, unit_price, total_price)
        SELECT o.id, l.* FROM o, unnest(%s::bigint[], %s::text[], %s::text[], %s::bigint[], %s::bigint[],
        %s::bigint[]) AS l RETURNING *),
    m AS (INSERT INTO stock_movements (product_id, delta, reason, order_id, user_id, created_at)
        SELECT l.product_id, -l.quantity, 'order', l.order_id, o.user_id, now() FROM o, l),
    e AS (INSERT INTO order_events (order_id, to_status, user_id, created_at)
        SELECT id, 'pending', user_id, now() FROM o),
    n AS (INSERT INTO notifications (user_id, order_id, kind, message, created_at)
        SELECT user_id, id, 'order_placed', 'We received your order ' || order_number || '.', now() FROM o)
    SELECT row_to_json(r)::text FROM (SELECT
        o.shipping_address, o.id, o.order_number, o.user_id, o.status, (o.total_amount * 0.01)::text AS total_amount,
        (o.paid_amount * 0.01)::text AS paid_amount, (o.refunded_amount * 0.01)::text AS refunded_amount, """
    + written("o.created_at", "o.updated_at")
    + """,
        (SELECT json_agg(row_to_json(i)) FROM (SELECT l.id, l.product_id, l.product_name, l.sku, l.quantity,
            (l.unit_price * 0.01)::text AS unit_price, (l.total_price * 0.01)::text AS total_price
            FROM l ORDER BY l.id) i) AS items FROM o) r"""
)
STORE = """UPDATE idempotency_keys SET status_code = 201, body = %s
    WHERE user_id = %s AND route = 'POST /orders' AND key = %s"""

pool = AsyncConnectionPool(
    os.environ["DATABASE_URL"], min_size=CONNECTIONS, max_size=CONNECTIONS, kwargs={"autocommit": True}, open=False
)
connection = pool.connection


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    async with pool:
        yield


async def rows(statement: str, *values: object) -> list[tuple[Any, ...]]:
    async with connection() as connected:
        return await (await connected.execute(statement, values)).fetchall()


def answer(text: str, status: int = 200) -> Response:
    return Response(text, status, media_type="application/json")


def token_hash(request: Request) -> str:
    return hashlib.sha256(request.headers["Authorization"].removeprefix("Bearer ").encode()).hexdigest()


async def health(request: Request) -> Response:
    return answer('"ok"')


async def read_product(request: Request) -> Response:
    found = await rows(PRODUCT_BY_ID, int(request.path_params["id"]))
    return answer(found[0][0])


async def list_products(request: Request) -> Response:
    query = request.query_params
    page_size = int(query.get("page_size", 20))
    if "cursor" in query:
        after = int(base64.b64decode(query["cursor"])) if query["cursor"] else 1 << 60
        found = await rows(PRODUCTS_AFTER, after, page_size + 1)
        items = [row[0] for row in found[:page_size]]
        last = from_json(items[-1])["id"] if len(found) > page_size else None
        following = f'"{base64.b64encode(str(last).encode()).decode()}"' if last else "null"
        return answer(f'{{"items":[{",".join(items)}],"next_cursor":{following}}}')
    page = int(query.get("page", 1))
    async with connection() as connected:
        ((total,),) = await (await connected.execute(COUNT_PRODUCTS)).fetchall()
        found = await (await connected.execute(PRODUCTS_OF_PAGE, (page_size, (page - 1) * page_size))).fetchall()
    return paged(found, total, page, page_size)


def paged(found: list[tuple[Any, ...]], total: int, page: int, page_size: int) -> Response:
    items = ",".join(row[0] for row in found)
    return answer(f'{{"items":[{items}],"total":{total},"page":{page},"page_size":{page_size}}}')


async def read_tree(request: Request) -> Response:
    found = await rows(TREE)
    children: dict[int | None, list[tuple[int, str]]] = {}
    for row_id, parent_id, node in found:
        children.setdefault(parent_id, []).append((row_id, node))

    def nested(parent_id: int | None) -> str:
        nodes = (f'{node[:-1]},"children":{nested(row_id)}}}' for row_id, node in children.get(parent_id, ()))
        return f"[{','.join(nodes)}]"

    return answer(nested(None))


async def read_me(request: Request) -> Response:
    found = await rows(ME, token_hash(request))
    return answer(found[0][0])


async def read_order(request: Request) -> Response:
    found = await rows(ORDER_BY_ID, int(request.path_params["id"]), token_hash(request))
    return answer(found[0][0])


async def list_orders(request: Request) -> Response:
    page, page_size = int(request.query_params.get("page", 1)), int(request.query_params.get("page_size", 20))
    token = token_hash(request)
    async with connection() as connected:
        ((total,),) = await (await connected.execute(COUNT_ORDERS, (token,))).fetchall()
        found = await (await connected.execute(ORDERS_OF_PAGE, (token, page_size, (page - 1) * page_size))).fetchall()
    return paged(found, total, page, page_size)


async def place_order(request: Request) -> Response:
    body = await request.body()
    data = from_json(body)
    key, fingerprint = request.headers["Idempotency-Key"], hashlib.sha256(body).hexdigest()
    lines = {each["product_id"]: each["quantity"] for each in data["items"]}
    async with connection() as connected:
        execute = connected.execute
        ((user_id,),) = await (await execute(TOKEN, (token_hash(request),))).fetchall()
        await execute("BEGIN")
        await execute(CLAIM, (user_id, key, fingerprint))
        await execute(CUSTOMER, (user_id,))
        taken = sorted(await (await execute(TAKE, (list(lines), list(lines.values())))).fetchall())
        assert len(taken) == len(lines), "the stock is short"
        totals = [price * quantity for *_, price, quantity in taken]
        ids, names, skus, prices, quantities = map(list, zip(*taken, strict=True))
        number = f"ORD-{secrets.token_hex(6)}"
        values = (number, user_id, sum(totals), data.get("shipping_address"), ids, names, skus, quantities, prices)
        ((text,),) = await (await execute(PLACE, (*values, totals))).fetchall()
        await execute(STORE, (text, user_id, key))
        await execute("COMMIT")
    return answer(text, 201)


app = Starlette(
    lifespan=lifespan,
    routes=[
        Route("/health/ready", health),
        Route("/products", list_products),
        Route("/products/{id}", read_product),
        Route("/categories/tree", read_tree),
        Route("/users/me", read_me),
        Route("/orders", list_orders, methods=["GET"]),
        Route("/orders", place_order, methods=["POST"]),
        Route("/orders/{id}", read_order),
    ],
)
