"""Schemathesis against the running service: what no one thought of, made up from the OpenAPI document.

All of its checks are on and no operation is left out; what it has to know is in schemathesis_hooks.py.
"""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.models.category import Category
from api.models.notification import Notification, NotificationKind
from api.models.post import Post, PostStatus
from api.models.tag import Tag
from api.models.user import User
from tests.databases import Backend
from tests.factories import a_webhook, a_webhook_delivery
from tests.faults.service import Service, serving
from tests.faults.shop import a_look_into, open_shop, sign_in
from tests.support import PASSWORD_HASH, ROOT, save

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "3"))
"""Requests an operation that are made up freely, on top of those that stand in the document or try its limits."""

pytestmark = [pytest.mark.fuzz, pytest.mark.timeout(900 + 120 * EXAMPLES)]

STATEFUL_SECONDS = 20 + EXAMPLES
"""How long chains of requests are tried: counted ones end early, as soon as one went differently when sent again."""

LINKS, LONGEST_STATEFUL = 5, 180
"""Links that the chains have to follow, and for how many seconds they are tried at most: a busy machine needs more."""

ALL: dict[str, str | int] = {"phases": "examples,coverage,fuzzing"}
AMOUNTS = {"postgresql": ALL, "sqlite": ALL if EXAMPLES > 3 else {"phases": "examples,fuzzing", "max_examples": 1}}
"""How much is tried. The coverage phase goes through the limits of the document, most of which are checked before a
database is asked. It takes longest, so few examples have it on PostgreSQL alone, the strictest; `test_hostile_*.py` try
limits on each."""

HERE = Path(__file__).parent


async def fill(service: Service, database_url: str) -> None:
    """Rows that the document's own examples find: its user, its product, its post, its tag, and what has their slug."""
    async with a_look_into(database_url) as session:
        staff, *customers = await sign_in(session, 3)
        john = User(username="johndoe", email="john@example.com", hashed_password=PASSWORD_HASH)
        kind, published = NotificationKind.CREDIT_RECEIVED, PostStatus.PUBLISHED
        post = Post(
            title="On headphones", slug="headphones", content="Loud.", status=published, author_id=staff.user_id
        )
        category = Category(name="Headphones", slug="headphones")
        notification = Notification(user_id=staff.user_id, kind=kind, message="You received 1.00.")
        await save(session, john, post, category, Tag(name="Reviews", slug="reviews"), notification)
        await a_webhook(session)  # the first one may be deleted, with its deliveries
        await a_webhook_delivery(session)
        await session.commit()
        product, *_ = await open_shop(service, staff, customers)
    async with httpx.AsyncClient(base_url=service.url, headers=staff.headers, timeout=20) as client:
        headphones = {"name": "Headphones", "slug": "headphones", "sku": "HEADPHONES", "price": "79.99"}
        assert (await client.post("/products", json=headphones)).status_code == 201
        orders = []
        for customer in (staff, *customers):
            order: dict[str, Any] = {"items": [{"product_id": product, "quantity": 30}]}
            if customer is not staff:
                order["user_id"] = customer.user_id
            orders.append((await client.post("/orders", json=order)).json()["id"])
        # The first payment is of an order that cannot be cancelled any more, so that it can be refunded.
        shipped = orders[1]
        paid = await client.post(f"/orders/{shipped}/payments", json={"method": "card", "amount": "500.00"})
        assert paid.status_code == 201, paid.text
        for status in ("confirmed", "shipped"):
            changed = await client.patch(f"/orders/{shipped}/status", params={"new_status": status})
            assert changed.status_code == 200, changed.text


MAILED = {"POST /auth/email/confirm", "POST /auth/password/reset/confirm", "POST /auth/registration/confirm"}
"""They take a secret that only a mail has: see `tests/routes/auth`."""

WITHOUT_END = "/events/stream"
"""Schemathesis waits for the end of an answer. `tests/faults/test_event_streams.py` reads this one."""


def schemathesis(service: Service, database_url: str, folder: Path, **options: str | int) -> str:
    """Run its command, and return what it printed; on a failure that is in the message."""
    always = {
        "checks": "all",
        "seed": 1,
        "max_examples": EXAMPLES,
        "generation_database": "none",
        "request_timeout": 15,
    }
    run = subprocess.run(
        [
            *(str(Path(sys.executable).with_name("schemathesis")), "--no-color"),
            *("--config-file", str(HERE / "schemathesis.toml"), "run", f"{service.url}/openapi.json"),
            *(f"--{name.replace('_', '-')}={value}" for name, value in {**always, **options}.items()),
            *("--continue-on-failure", "--no-shrink", "--exclude-path", WITHOUT_END),
        ],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "SCHEMATHESIS_HOOKS": "tests.house.schemathesis_hooks",
            "FUZZED_DATABASE_URL": database_url,
        },
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


@pytest.mark.parametrize("backend", ["sqlite", "postgresql"], indirect=True)  # each takes a minute or two
async def test_every_answer_is_as_the_document_says(backend: Backend, migrated: str, tmp_path: Path) -> None:
    with serving(migrated, tmp_path) as service:
        await fill(service, migrated)

        print(schemathesis(service, migrated, tmp_path, **AMOUNTS[backend.name]))
        seconds = STATEFUL_SECONDS
        while (followed := links_followed(service, migrated, tmp_path, seconds)) < LINKS and seconds < LONGEST_STATEFUL:
            seconds = min(2 * seconds, LONGEST_STATEFUL)
        assert followed >= LINKS, "ids that were answered are to be used in later requests"
        assert never_done(service) == []
        assert service.run(sys.executable, "-m", "api", "verify").returncode == 0


def links_followed(service: Service, database_url: str, folder: Path, seconds: int) -> int:
    """Try chains of requests for so long, and return how many links of the document they followed."""
    stateful = schemathesis(service, database_url, folder, phases="stateful", max_time=seconds)
    print(stateful)
    followed = re.search(r"API Links: +(\d+) covered", stateful)
    assert followed, stateful
    return int(followed[1])


def never_done(service: Service) -> list[str]:
    """The operations that refused whatever was tried: little was tested there."""
    paths = httpx.get(f"{service.url}/openapi.json").json()["paths"]
    # Where two fit, the path with fewer parameters was meant.
    patterns = [
        (re.compile(re.sub(r"\{\w+\}", "[^/]+", path)), path)
        for path in sorted(paths, key=lambda path: path.count("{"))
    ]
    done = {
        (method, next((path for regex, path in patterns if regex.fullmatch(asked)), ""))
        for method, asked in re.findall(r"api\.access: ([A-Z]+) (\S+) 2\d\d", service.log.read_text())
    }
    operations = [(method.upper(), path) for path, item in paths.items() for method in item if path != WITHOUT_END]
    return sorted({f"{method} {path}" for method, path in operations if (method, path) not in done} - MAILED)
