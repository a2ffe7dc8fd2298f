"""Customers without end, from several countries, and where their parcels go."""

from collections.abc import Iterator
from functools import cache
from itertools import count
from random import Random
from typing import Any
from zlib import crc32

from slugify import slugify

from api.demo.content import Country, people

DOMAINS = ("example.com", "example.org", "example.net")
"""RFC 2606 keeps these for examples, so no mail ever reaches a stranger."""


def customers(first: int) -> Iterator[dict[str, Any]]:
    """Customers from a number on: their usernames, e-mail addresses and names.

    A number always gives the same customer, whatever the seed is, so that a shop never gets one twice.
    """
    names = [
        f"{given} {family}"
        for country in people().countries
        for family in country.last_names
        for given in country.first_names
    ]
    Random(0).shuffle(names)
    for number in count(first):
        again, place = divmod(number, len(names))
        username = slugify(names[place], separator="_") + (str(again + 1) if again else "")
        domain = DOMAINS[number % len(DOMAINS)]
        yield {"username": username, "email": f"{username}@{domain}", "full_name": names[place]}


def address_of(full_name: str | None) -> str:
    """Where a person lives: in the country of the surname, and always in the same place."""
    drawn = crc32((full_name or "").encode())
    family = (full_name or "").partition(" ")[2]
    country = _country_of().get(family) or people().countries[drawn % len(people().countries)]
    return country.address.format(
        street=country.streets[drawn % len(country.streets)],
        number=drawn // 7 % 120 + 1,
        city=country.cities[drawn // 11 % len(country.cities)],
        country=country.name,
    )


@cache
def _country_of() -> dict[str, Country]:
    return {family: country for country in people().countries for family in country.last_names}
