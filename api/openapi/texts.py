"""What the OpenAPI document says in prose, and its examples."""

from api.auth.callers import STAFF_ONLY
from api.openapi.nodes import Json
from api.web.app_state import INVALID_TOKEN
from api.web.preconditions import CHANGED, ONLY_EDITS, WITHOUT_HEADER
from api.web.transactions import COMPRESSED_BODY

SUMMARY = "Users, a catalog, orders, payments, store credit and posts, over one HTTP API."

DESCRIPTION = """
The backend of a shop: a catalog with exact stock, orders that stay as they were placed, payments and refunds,
store credit kept by double entry, and posts.

**Signing in.** Press *Authorize* and give a username or e-mail address and a password, or get a token from
`POST /auth/token` and send it as `Authorization: Bearer …`. Programs use an API key from `POST /auth/keys` instead.
*Staff* are users whose `is_superuser` is set. A row that belongs to another user does not exist for the caller: 404.

**Money** is exact and in one currency, {currency}. Answers hold it as a string with two decimal places, `"79.99"`;
requests may also send a number. **Times** are UTC, as in RFC 3339.

**Lists** come in pages: `page` and `page_size` answer with totals. Send `cursor` instead of `page`: empty first, then
the `next_cursor` of each answer. No row is skipped or repeated while rows are added or deleted, and deep pages are as
fast as the first. `skip` and `limit` are another spelling: any number of rows to leave out, instead of `page`, and
another name of `page_size`.

**Texts** lose the white space around them, and their letters are composed (Unicode's NFC); their length counts as it is
sent. Names are one line. Usernames and e-mail addresses are lower case, however they are typed.

**Methods.** `HEAD` answers like `GET`, without the content. `OPTIONS` says in `Allow` which methods a path has.

**Queries.** An unknown parameter, or one that is sent twice, is refused. An optional one that is left empty counts as
absent.

**Trying again.** Send an `Idempotency-Key` of your own with any write. The same request with the same key is done once;
each repetition gets the stored answer. Routes that answer a secret, or that are also for callers who are not signed in,
refuse the header (400). `GET` and `HEAD` change nothing, so they need no key and are answered as they are without one.
A request that was answered with 503 did nothing, unless the answer says that the change was not confirmed: send it
again after `Retry-After` seconds. With a key it is never done twice.

**Preconditions.** An answer that is one row has an `ETag`. Send it as `If-None-Match` to be answered with 304 while
nothing but views has changed, or as `If-Match` with a `PUT`, `PATCH` or `DELETE`, which is refused with 412 where
somebody has edited the row meanwhile. `If-Match` guards what people edit: a sale changes the ETag of a product, and
refuses no edit of it. The answer to an edit has the new ETag, but the stored answer to a repeated request has none.
Where `If-Match` cannot work, it is refused (400).

**Request ids.** Every answer has an `X-Request-ID`: the one that was sent, where it is at most {request_id_length}
visible characters, or a new one. The audit trail, each error and the log of the shop have it too.

**Events.** What happens to orders, payments, stock and users is told to other programs: `GET /events` is a feed to
follow, `GET /events/stream` the same as server-sent events, and each webhook that staff add with `POST /webhooks` is
sent them, signed. *Webhooks* in this document says what the envelope of each type holds.

**Errors** are `application/problem+json` (RFC 9457): `title`, `status` and `detail` say what is wrong, and a 422 lists
each field in `errors`. Unknown fields in a request are refused.
"""

TYPICAL_DETAILS = {
    400: f"{ONLY_EDITS} {WITHOUT_HEADER}",
    401: INVALID_TOKEN,
    403: STAFF_ONLY,
    404: "There is no such row.",
    409: "A product with this slug already exists.",
    412: CHANGED,
    413: "The body is too large.",
    415: COMPRESSED_BODY,
    429: "Too many attempts. Try again later.",
    503: "The database is busy or cannot be reached. Try again shortly.",
}
"""What an error may say, for the examples."""

RETRY_AFTER: Json = {
    "Retry-After": {
        "description": "Seconds to wait before the next attempt.",
        "schema": {"type": "integer", "examples": [1]},
    }
}

ERROR_HEADERS: dict[int, Json] = {
    401: {"WWW-Authenticate": {"description": "How to sign in.", "schema": {"type": "string", "examples": ["Bearer"]}}},
    429: RETRY_AFTER,
    503: RETRY_AFTER,
}

REQUEST_ID_EXAMPLE = "7f0c1b9e0d3f4c0e9c1c55c1a1e0b6d2"
REQUEST_ID_HEADER: Json = {
    "X-Request-ID": {
        "description": "The id that the request came with, or a new one.",
        "schema": {"type": "string", "examples": [REQUEST_ID_EXAMPLE]},
    }
}

KEY_EXAMPLE = "8e03978e-40d5-43e8-bc93-6894a57f9324"
KEY_DESCRIPTION = "Any unique text. A repeated request with the same key gets the stored answer and is not done again."

REPLAYED_HEADER = {
    "Idempotent-Replayed": {
        "description": "Set where this is the stored answer to an earlier request with the same `Idempotency-Key`.",
        "schema": {"type": "string", "enum": ["true"]},
    }
}

ETAG_EXAMPLE = '"3-7d5b8a1f0c9e2463"'
IF_MATCH_DESCRIPTION = "The `ETag` of the row that is to be changed: the request is refused where it was edited since."
IF_NONE_MATCH_DESCRIPTION = "The `ETag` of an earlier answer: where it is still the same, the answer is 304."

ETAG_HEADER = {
    "ETag": {
        "description": "Tells this state of the row from all others. A stored answer, to a repeated request, has none.",
        "schema": {"type": "string", "examples": [ETAG_EXAMPLE]},
    }
}

EXAMPLE_TIME = "2026-05-12T09:30:00Z"
PATH_EXAMPLES = {
    "email": "john@example.com",
    "sku": "WH-001",
    "slug": "headphones",
    "order_number": "ord-7k2m-9qx4-t0bv",
}
FORM_EXAMPLES = {"username": "johndoe", "password": "SecurePass123"}
INITIALISMS = {"sku": "SKU", "api": "API"}
