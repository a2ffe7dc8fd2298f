"""Every router, one line each, in the order in which /docs shows them and in which a path is looked for."""

from collections.abc import Iterator
from importlib import import_module
from inspect import getdoc

from api.web.routing import Router

MODULES = (
    "health",
    "auth",
    "users",
    "categories",
    "products",
    "orders",
    "payments",
    "accounts",
    "posts",
    "tags",
    "exports",
    "imports",
    "audit",
    "events",
    "webhooks",
    "webhook_deliveries",
    "mails",
    "notifications",
)
"""A file of this folder each; it holds one `Router` or, with a sub-resource, two."""


def all_routers() -> Iterator[Router]:
    for name in MODULES:
        module = import_module(f"{__name__}.{name}")
        yield from (value for value in vars(module).values() if isinstance(value, Router))


def tag_texts() -> list[dict[str, str]]:
    """What /docs says of each router: its file's docstring."""
    modules = {name: import_module(f"{__name__}.{name}") for name in MODULES}
    return [{"name": module.router.tag, "description": getdoc(module) or ""} for module in modules.values()]
