"""The family of errors by which the shop refuses something. Nothing here knows of HTTP but the status of each.

ShopError
├── BadRequest          400  a header that this route does not take
├── Unauthorized        401  no token, or an invalid one
├── Forbidden           403  signed in, but not allowed
├── NotFound            404  does not exist, or belongs to another user
├── Conflict            409  the present state does not allow it
├── PreconditionFailed  412  the row has changed since the client read it
├── Unprocessable       422  well-formed, but a value cannot be right
├── BadRows             422  rows of a file cannot be right
├── TooManyRequests     429  wait before the next attempt
└── Unavailable         503  the database is busy or unreachable; nothing was done, or the detail says otherwise

`api/web/problems.py` turns them into responses.
"""

from collections.abc import Sequence


class ShopError(Exception):
    """A refusal. `retry_after`, where it is set, is how many seconds a client should wait."""

    status = 500

    def __init__(self, detail: str, *, retry_after: int | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.retry_after = retry_after


class BadRequest(ShopError):
    status = 400


class Unauthorized(ShopError):
    status = 401


class Forbidden(ShopError):
    status = 403


class NotFound(ShopError):
    status = 404


class Conflict(ShopError):
    status = 409


class PreconditionFailed(ShopError):
    status = 412


class Unprocessable(ShopError):
    """`field` is the place of the value in the request, such as `body.category_id`."""

    status = 422

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message


class BadRows(ShopError):
    """Rows of a file are wrong, and nothing of it was imported; `problems` are the first places and messages."""

    status = 422

    def __init__(self, summary: str, problems: Sequence[tuple[str, str]]) -> None:
        super().__init__(" ".join([summary, "; ".join(f"{place}: {message}" for place, message in problems[:3])]))
        self.summary = summary
        self.problems = problems


class TooManyRequests(ShopError):
    status = 429

    def __init__(self, detail: str, *, retry_after: int) -> None:
        super().__init__(detail, retry_after=retry_after)


class Unavailable(ShopError):
    """Nothing was done, so the same request may be sent again; where a commit was not confirmed, `detail` says so."""

    status = 503

    def __init__(self, detail: str, *, retry_after: int = 1) -> None:
        super().__init__(detail, retry_after=retry_after)
