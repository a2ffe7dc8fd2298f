"""What staff were answered about a person is forgotten with the person, whatever the route.

A repeated request is answered from `idempotency_keys`, so an erased person's name and texts may not be left there.
"""

import pytest
from fastapi import FastAPI
from sqlalchemy import ColumnElement
from sqlmodel import col, select, update

from api.models.idempotency_key import IdempotencyKey
from api.models.post import Post
from api.models.user import User
from api.rules.erasure import erase
from api.web.key_rules import WRITES
from tests.house.access_matrix import Line, matrix
from tests.house.hostile_cases import with_parameters
from tests.support import FreshSession
from tests.world import OWNER, World

TAKING = {each.name for each in with_parameters("header", "Idempotency-Key")}
KEPT = [each for each in matrix() if each.method in WRITES and each.route in TAKING and each.statuses["staff"] < 300]
"""The writes whose answer to staff is kept."""

KEY = "0b3c2f0e-of-staff"

PERSON = {
    "username": "ermintrude",
    "email": "ermintrude@garden.example",
    "full_name": "Ermintrude Bluebell",
    "bio": "Sings in the meadow.",
}
TEXTS = (*PERSON.values(), "what she thinks of daisies")

TELLING = {"PATCH /users/{id}", "DELETE /users/{id}/soft", "PATCH /posts/{id}"}
"""Some of those that do tell staff of the owner; the test would prove nothing without."""


async def kept_answers(world: World) -> list[str]:
    """What is stored under the key of staff."""
    async with FreshSession(world.database.engine) as session:
        return [str(each) for each in (await session.exec(select(IdempotencyKey.body).where(this_key()))).all()]


def this_key() -> ColumnElement[bool]:
    return col(IdempotencyKey.key) == KEY


async def be_a_person(world: World) -> None:
    """Give the owner of the world's rows a name, and words that no other text of the tests has."""
    await world.restore()
    async with FreshSession(world.database.engine) as session:
        await session.exec(update(User).where(col(User.id) == OWNER).values(PERSON))
        await session.exec(update(Post).where(col(Post.author_id) == OWNER).values(content=TEXTS[-1]))


@pytest.mark.parametrize("line", KEPT, ids=str)
async def test_no_answer_to_staff_tells_of_an_erased_person(app: FastAPI, world: World, line: Line) -> None:
    await be_a_person(world)
    await line.send(app, world, "staff", {"Idempotency-Key": KEY})
    before = await kept_answers(world)
    told = [each for each in before if any(text in each for text in TEXTS)]
    assert told or line.route not in TELLING, f"{line} tells staff nothing of the owner: {before}"

    async with world.database.writes() as session, session.begin():
        owner = (await session.exec(select(User).where(User.id == OWNER))).first()
        if owner is not None and owner.erased_at is None:
            await erase(session, owner)

    after = await kept_answers(world)
    left = [each for each in after if any(text in each for text in TEXTS)]
    assert not left, f"{line} is still answered with what tells of the erased person: {left}"
    named = any(str(OWNER) in each for each in before)
    assert after or named, f"{line} tells nobody of the person, and its key is forgotten all the same"
