"""References to rows that are neither in the shop nor in the file, which is known once all of it was read."""

import asyncio
from collections.abc import AsyncIterator, Iterator

from api.import_export.imports import Import, RowProblem
from api.import_export.staging import Staged, Staging
from api.models.base import noun_of

REFERENCES_AT_A_TIME = 500
"""References that are looked up in one step: some 5 ms."""

Lost = tuple[Staged, RowProblem]


async def drop_lost_references(what: Import, staging: Staging) -> AsyncIterator[Lost]:
    """Drop the rows that have such a reference, and those that refer to these in turn."""
    steps = 0
    for references in staging.referring(REFERENCES_AT_A_TIME):
        for each in references:
            for lost in _lost_with(what, staging, each.value):
                yield lost
                steps += 1
                if steps % REFERENCES_AT_A_TIME == 0:
                    await asyncio.sleep(0)
        await asyncio.sleep(0)  # others have their turn


def _lost_with(what: Import, staging: Staging, value: str) -> Iterator[Lost]:
    """The rows that are lost because no row has a value; memory grows with the longest chain of them."""
    gone = [value]
    while gone:
        if staging.is_claimed(gone[-1]) or (found := staging.referring_to(gone[-1])) is None:
            gone.pop()
            continue
        reference = next(each for each in what.references if each.field == found.field)
        message = f"is no slug and no name of a {noun_of(reference.target)}, nor of one in this file"
        problem = RowProblem(line=found.line, field=reference.name, message=message)
        staged, values = staging.drop(found.line)
        yield staged, problem
        gone += values
