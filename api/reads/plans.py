"""Plans: what a router's statement becomes on a database, made once for each shape of it.

Two statements have one shape where they differ in their values only. A product list has a plan for each set of filters
that was asked for, not for each price.
"""

from collections.abc import Callable, Hashable, Sequence
from typing import Any

from sqlalchemy import BindParameter, Dialect, Select

from api.database.drivers import DriverConnection
from api.database.sqlalchemy_internals import shape_and_parameters
from api.database.statements import CompiledStatement, Row

MAX_PLANS = 1_000
"""Plans that are kept: some lists have a few hundred shapes, most of which nobody asks for."""

_plans: dict[Hashable, "Plan"] = {}


class Plan:
    """A compiled statement, and which parameter of the router's statement has each of its values."""

    def __init__(self, statement: Select[Any], dialect: Dialect, parameters: Sequence[BindParameter[Any]]) -> None:
        self.compiled = CompiledStatement(statement, dialect)
        places = {each.key: place for place, each in enumerate(parameters) if not each.required}
        self._places = [(name, places[key]) for name, key in self.compiled.keys.items() if key in places]

    def values(self, parameters: Any, others: dict[str, Any]) -> dict[str, Any]:
        """The values of a statement of this shape, beside `others`, which its plan has by name."""
        return {name: parameters[place].effective_value for name, place in self._places} | others


async def fetch_planned(
    connection: DriverConnection,
    statement: Select[Any],
    purpose: Hashable,
    build: Callable[[Select[Any]], Select[Any]],
    values: dict[str, Any],
) -> Sequence[Row]:
    """The rows that a statement comes to, as the driver gives them.

    Args:
        connection: Where it is run.
        statement: What the router asks for.
        purpose: What else the plan depends on, such as the Read class and the order.
        build: Makes of the router's statement the one that is run; called once for each shape.
        values: Those of the `bindparam`s of both.
    """
    shape, parameters = shape_and_parameters(statement)
    key = (shape, connection.dialect, purpose)
    plan = _plans.get(key)
    if plan is None:
        if len(_plans) >= MAX_PLANS:
            _plans.clear()
        plan = _plans[key] = Plan(build(statement), connection.dialect, parameters)
    return await connection.fetch_compiled(plan.compiled, plan.values(parameters, values))
