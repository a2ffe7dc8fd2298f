"""Which routes take an `Idempotency-Key`, and how: it follows from what a route is, so no list of routes is kept.

A write takes the header where its caller is signed in, because keys belong to users, and where its answer holds no
secret, because the answer is stored. Every other write refuses the header. A read needs no key, and takes any.
"""

from collections.abc import Callable
from functools import cache
from inspect import signature
from typing import Annotated, Any, NamedTuple, TypeVar, get_args, get_origin

from fastapi.routing import APIRoute
from pydantic import BaseModel

from api.models.types import SECRET
from api.web.app_state import uses_database_itself
from api.web.framework_internals import dependencies_of

WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})

FOR_ANYONE = "This route takes no Idempotency-Key: keys belong to users, and it is also for callers who are none."
ANSWERS_SECRET = "This route takes no Idempotency-Key: its answer holds a secret, which is not stored."  # noqa: S105

Dependency = TypeVar("Dependency", bound=Callable[..., Any])

_signed_in: set[Callable[..., Any]] = set()
_locking_the_caller: set[Callable[..., Any]] = set()
_reading_uploads: set[Callable[..., Any]] = set()


def demands_sign_in(dependency: Dependency) -> Dependency:
    """Mark a dependency that refuses callers who are not signed in."""
    _signed_in.add(dependency)
    return dependency


def may_lock_caller(dependency: Dependency) -> Dependency:
    """Mark a dependency of routes that may change or lock the row of the user who calls them."""
    _locking_the_caller.add(dependency)
    return dependency


def reads_upload(dependency: Dependency) -> Dependency:
    """Mark a dependency that reads the body as a file."""
    _reading_uploads.add(dependency)
    return dependency


class KeyRules(NamedTuple):
    """How a route that writes deals with a key."""

    refusal: str | None
    """Why the route refuses the header; `None` where it takes it."""

    carries_secret: bool
    """Whether a request holds a password: its fingerprint must then be as slow to guess from as a password's hash."""

    writes_beside: bool
    """Whether the route writes outside of its transaction, such as a counter of attempts that outlives a refusal."""

    locks_caller: bool
    """Whether it may lock its caller's row: a key refers to that row, and would be locked in the wrong order."""

    takes_upload: bool = False
    """Whether the body is a file, which is read once the caller is known, and takes longer than other requests."""


def key_rules_of(route: APIRoute) -> KeyRules | None:
    """The rules of a route; `None` for one that only reads."""
    if not WRITES & (route.methods or set()):
        return None
    dependencies = dependencies_of(route)
    refusal = None
    if not dependencies & _signed_in:
        refusal = FOR_ANYONE
    elif _has_secret(route.response_model):
        refusal = ANSWERS_SECRET
    return KeyRules(
        refusal=refusal,
        carries_secret=any(_has_secret(each) for each in _parameters(route.endpoint)),
        writes_beside=uses_database_itself in dependencies,
        locks_caller=bool(dependencies & _locking_the_caller),
        takes_upload=bool(dependencies & _reading_uploads),
    )


def _parameters(endpoint: Callable[..., Any]) -> list[Any]:
    return [each.annotation for each in signature(endpoint).parameters.values()]


def _has_secret(annotation: Any) -> bool:
    """Whether a value of this type holds a `SECRET`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return _has_secret_field(annotation)
    if get_origin(annotation) is Annotated and SECRET in annotation.__metadata__:
        return True
    return any(_has_secret(each) for each in get_args(annotation) if each is not annotation)


@cache
def _has_secret_field(model: type[BaseModel]) -> bool:
    return any(SECRET in field.metadata or _has_secret(field.annotation) for field in model.model_fields.values())
