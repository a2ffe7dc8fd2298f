"""Which routes take an idempotency key follows from what they are, also for a route that is added later."""

from typing import Annotated

import pytest
from fastapi import Body, Depends
from fastapi.routing import APIRoute
from pydantic import BaseModel

from api.auth.callers import CurrentUser, OptionalUser, Staff
from api.main import create_app
from api.models.token import TokenSecret
from api.models.user import Password
from api.settings import Settings
from api.web.app_state import AppDatabase
from api.web.key_rules import ANSWERS_SECRET, FOR_ANYONE, WRITES, KeyRules, key_rules_of, may_lock_caller
from tests.web.support import new_router


class Parcel(BaseModel):
    weight: int


class Locker(BaseModel):
    parcels: list[Parcel]
    code: TokenSecret | None = None


class LockerRequest(BaseModel):
    password: Password


async def for_staff(parcel: Parcel, staff: Staff) -> Parcel:
    raise NotImplementedError


async def for_customers(parcel: Parcel, user: CurrentUser) -> Parcel:
    raise NotImplementedError


async def for_anyone(parcel: Parcel, user: OptionalUser) -> Parcel:
    raise NotImplementedError


async def answering_a_secret(user: CurrentUser) -> Locker:
    raise NotImplementedError


async def answering_secrets(user: CurrentUser) -> list[Locker] | None:
    raise NotImplementedError


async def given_a_secret(data: LockerRequest, user: CurrentUser) -> Parcel:
    raise NotImplementedError


async def given_secrets(data: Annotated[list[LockerRequest], Body(max_length=2)], user: CurrentUser) -> Parcel:
    raise NotImplementedError


async def _counted(database: AppDatabase) -> None: ...
async def counting(user: CurrentUser, counted: Annotated[None, Depends(_counted)]) -> Parcel:
    raise NotImplementedError


@may_lock_caller
async def _locked(user: CurrentUser) -> None: ...
async def locking(locked: Annotated[None, Depends(_locked)]) -> Parcel:
    raise NotImplementedError


PLAIN = KeyRules(refusal=None, carries_secret=False, writes_beside=False, locks_caller=False)


@pytest.mark.parametrize(
    ("endpoint", "rules"),
    [
        (for_staff, PLAIN),
        (for_customers, PLAIN),
        (for_anyone, PLAIN._replace(refusal=FOR_ANYONE)),
        (answering_a_secret, PLAIN._replace(refusal=ANSWERS_SECRET)),
        (answering_secrets, PLAIN._replace(refusal=ANSWERS_SECRET)),
        (given_a_secret, PLAIN._replace(carries_secret=True)),
        (given_secrets, PLAIN._replace(carries_secret=True)),
        (counting, PLAIN._replace(writes_beside=True)),
        (locking, PLAIN._replace(locks_caller=True)),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
@pytest.mark.parametrize("method", sorted(WRITES))
def test_the_rules_of_a_route_follow_from_its_dependencies_and_its_answer(
    endpoint: object, rules: KeyRules, method: str
) -> None:
    router = new_router()
    router.add_api_route("/lockers", endpoint, methods=[method])  # type: ignore[arg-type]
    (route,) = router.routes
    assert isinstance(route, APIRoute)
    assert key_rules_of(route) == rules


def test_a_route_that_reads_has_no_rules() -> None:
    router = new_router()
    router.add_api_route("/lockers", for_staff, methods=["GET"])
    (route,) = router.routes
    assert isinstance(route, APIRoute)
    assert key_rules_of(route) is None


def test_every_field_of_an_answer_that_is_called_a_token_or_a_password_is_known_as_a_secret() -> None:
    """Such an answer must not be stored with its key. A field of another name needs `SECRET` in its type."""
    app = create_app(Settings(_env_file=None, database_url="sqlite:///unused.db"))
    schemas = app.openapi()["components"]["schemas"]
    routes = [each for each in app.routes if isinstance(each, APIRoute) and key_rules_of(each)]
    for route in routes:
        name = getattr(route.response_model, "__name__", "")
        fields = set(schemas.get(name, {}).get("properties", ()))
        rules = key_rules_of(route)
        assert rules is not None
        if fields & {"token", "access_token", "password", "hashed_password", "secret"}:
            assert rules.refusal is not None, f"{route.path} answers a secret and takes a key"
