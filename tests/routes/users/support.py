"""What the tests of /users share."""

import httpx

from tests.support import PASSWORD

USER_FIELDS = {
    "id",
    "username",
    "email",
    "pending_email",
    "full_name",
    "bio",
    "is_active",
    "is_superuser",
    "last_login_at",
    "created_at",
    "updated_at",
}
"""The fields of a user in a response."""

NEWCOMER = {"username": "newcomer", "email": "newcomer@example.com", "password": PASSWORD}
"""A registration that is accepted."""


def usernames(response: httpx.Response) -> list[str]:
    """The usernames in a list of users, in its order."""
    return [item["username"] for item in response.json()["items"]]
