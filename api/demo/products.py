"""Products without end: as many as are asked for, each with a name of its own."""

from collections.abc import Iterator
from decimal import Decimal
from itertools import count
from math import gcd
from random import Random
from typing import Any
from zlib import crc32

from api.demo.content import Leaf

VARIANTS = 3
"""Of one model at most: a jacket comes in five sizes, and a shop seldom has them all."""

INACTIVE = 0.04
"""The share of products that are no longer for sale."""

SOLD_OUT, LOW = 0.03, 0.08
"""The shares of products that begin with no stock, and with little."""


ENDINGS_OF_CENTS, ENDINGS_OF_TENS = (49, 90, 95, 99), (0, 50, 90, 95)
"""How prices below 20 end, and below 100. Dearer ones are whole."""


def products_of(leaf: Leaf, series: list[str], seed: int, first: int) -> Iterator[dict[str, Any]]:
    """The products of a category from a number on: the values of `ProductCreate`, without the category."""
    chance = Random(f"{seed} {leaf.code} {first}")
    ((trait, values),) = leaf.variant.items()
    per_model = min(VARIANTS, len(values))
    shared: dict[str, Any] = {}
    for number in count(first):
        model, variant = divmod(number, per_model)
        if not shared or variant == 0:
            shared = _model(leaf, leaf.series or series, chance, model)
        which = (model + variant) % len(values)
        value = values[which]
        yield {
            "name": leaf.pattern.format(variant=value, **shared["names"]),
            "sku": f"{leaf.code}-{number + 1:04}",
            "description": f"{leaf.description} {trait.capitalize()}: {value}.",
            "price": _as_prices_end(shared["price"] * (1 + leaf.step * which), shared["ending"]),
            "is_active": chance.random() >= INACTIVE,
            "attributes": {**shared["attributes"], trait: value},
            "stock_quantity": _stock(chance),
        }


def _model(leaf: Leaf, series: list[str], chance: Random, number: int) -> dict[str, Any]:
    """What the variants of a model have in common. Each number has another name."""
    has_brand = "{brand}" in leaf.pattern
    brands = leaf.brands if has_brand else [""]
    generation, place = divmod(number, len(leaf.nouns) * len(series) * len(brands))
    place = _scattered(place + crc32(leaf.code.encode()), len(leaf.nouns) * len(series) * len(brands))
    rest, noun = divmod(place, len(leaf.nouns))
    of_brand, of_series = divmod(rest, len(series))
    lowest, highest = leaf.price
    brand = brands[of_brand] or chance.choice(leaf.brands)
    return {
        "names": {
            "brand": brand,
            "series": series[of_series],
            "noun": f"{leaf.nouns[noun]} {generation + 1}" if generation else leaf.nouns[noun],
        },
        "price": lowest * (highest / lowest) ** chance.random(),  # there are more cheap things than dear ones
        "ending": chance.random(),
        "attributes": {
            "brand" if has_brand else "publisher": brand,
            **{name: chance.choice(values) for name, values in leaf.attributes.items()},
        },
    }


def _scattered(place: int, places: int) -> int:
    """Another place for each place, so that neighbours have little in common: a step of the golden ratio goes round."""
    step = int(places * 0.618)
    while gcd(step, places) != 1:
        step += 1
    return place * step % places


def _as_prices_end(price: float, ending: float) -> Decimal:
    """A price as shops write it: 2.49, 64.90, 189.00."""
    whole = int(price)
    if whole < 20:
        cents = whole * 100 + ENDINGS_OF_CENTS[int(ending * len(ENDINGS_OF_CENTS))]
    elif whole < 100:
        cents = whole * 100 + ENDINGS_OF_TENS[int(ending * len(ENDINGS_OF_TENS))]
    else:
        cents = (whole // 10 * 10 + (5 if ending < 0.3 else 9)) * 100
    return Decimal(cents) / 100


def _stock(chance: Random) -> int:
    drawn = chance.random()
    if drawn < SOLD_OUT:
        return 0
    return chance.randint(1, 8) if drawn < SOLD_OUT + LOW else chance.randint(20, 160)
