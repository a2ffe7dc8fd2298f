"""A plot of figures per day, as shapes of an SVG that the server writes."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from math import ceil, log10

WIDTH, HEIGHT = 720, 120
"""Units of the SVG, which a page stretches to its own width."""

GAP = 0.25
"""Of the width of a bar."""


@dataclass(frozen=True)
class Bar:
    """One day."""

    x: float
    y: float
    width: float
    height: float
    title: str


@dataclass(frozen=True)
class Plot:
    """Bars of all days, and the value that the top stands for."""

    title: str
    bars: Sequence[Bar]
    top: str
    width: int = WIDTH
    height: int = HEIGHT


def plot(title: str, days: Sequence[date], values: Sequence[Decimal | int], unit: str) -> Plot:
    """`unit` is what stands behind a value: "EUR", "orders"."""
    top = nice_top(max(values, default=0))
    step = WIDTH / max(len(days), 1)
    bars = []
    for index, (day, value) in enumerate(zip(days, values, strict=True)):
        height = round(float(value) / top * HEIGHT, 2) if value > 0 else 0.0
        bars.append(
            Bar(
                round(index * step + step * GAP / 2, 2),
                round(HEIGHT - height, 2),
                round(step * (1 - GAP), 2),
                height,
                f"{day:%Y-%m-%d}: {value:,} {unit}",
            )
        )
    return Plot(title, bars, f"{top:,} {unit}")


def nice_top(greatest: Decimal | int) -> int:
    """The next 1, 2 or 5 with zeros behind it."""
    if greatest <= 1:
        return 1
    power = 10 ** int(log10(float(greatest)))
    return int(next(each * power for each in (1, 2, 5, 10) if each * power >= ceil(greatest)))
