"""When customers order: more on Sundays and in the evening, and more from week to week."""

from collections.abc import Iterator
from datetime import datetime, time, timedelta
from itertools import accumulate
from random import Random

DAYS = 90

OF_WEEKDAYS = (1.1, 1.0, 0.9, 0.9, 0.8, 1.0, 1.4)
"""How much is ordered from Monday to Sunday."""

OF_HOURS = (2, 1, 1, 1, 1, 2, 4, 7, 10, 12, 12, 12, 14, 12, 11, 11, 12, 14, 17, 21, 23, 20, 13, 6)
"""How much is ordered in each hour of a day, in UTC."""

GROWTH = 1.5
"""How many times as much is ordered at the end as at the beginning."""


def arrivals(chance: Random, count: int, until: datetime) -> Iterator[datetime]:
    """So many moments of the last 90 days, in their order."""
    days = [until.date() - timedelta(days=back) for back in range(DAYS, -1, -1)]
    weights = [
        OF_WEEKDAYS[day.weekday()] * GROWTH ** (number / DAYS) * _share(number, until.hour)
        for number, day in enumerate(days)
    ]
    of_each = [0] * len(days)
    for number in chance.choices(range(len(days)), cum_weights=list(accumulate(weights)), k=count):
        of_each[number] += 1
    for day, orders in zip(days, of_each, strict=True):
        start = datetime.combine(day, time(), until.tzinfo)
        yield from sorted(_moment(chance, start, until) for _ in range(orders))


def _share(number: int, hour: int) -> float:
    """Which part of a day's orders is within the 90 days: the first day begins late, and the last one is not over."""
    hours = OF_HOURS[hour + 1 :] if number == 0 else OF_HOURS[:hour] if number == DAYS else OF_HOURS
    return sum(hours) / sum(OF_HOURS)


def _moment(chance: Random, day: datetime, until: datetime) -> datetime:
    """A moment of a day that is within the 90 days."""
    while True:
        (hour,) = chance.choices(range(24), OF_HOURS)
        moment = day + timedelta(hours=hour, microseconds=chance.randrange(3_600_000_000))
        if until - timedelta(days=DAYS) <= moment < until:
            return moment
