"""Which path was probably meant by one that does not exist."""

from collections.abc import Iterable, Iterator
from difflib import SequenceMatcher
from itertools import zip_longest

from api.web.framework_internals import Endpoint

OTHER_NAMES = {
    "/products/with-categories": "/products",
    "/login": "/auth/token",
    "/auth/login": "/auth/token",
    "/token": "/auth/token",
}
"""Paths of the tutorial that this shop grew from, and of others, whose names here are not alike."""

MAX_COMPARED_LENGTH = 100
"""Characters of a path that is compared, because that takes time by the square of them."""

SIMILARITY, SIMILARITY_FOR_OTHER_METHODS = 0.62, 0.8
"""From which likeness on a path counts as misspelled: of the parts in which both differ."""


def near_path(method: str, path: str, endpoints: Iterable[Endpoint]) -> str | None:
    """The method and path that one without a route stands for, such as `GET /products`; `None` where none is alike."""
    if len(path) > MAX_COMPARED_LENGTH:
        return None
    alike = max(_alike(method, path, endpoints), default=None)
    return alike[-1] if alike else None


def _alike(method: str, path: str, endpoints: Iterable[Endpoint]) -> Iterator[tuple[float, bool, str]]:
    """The likeness of each path that is alike, whether it has the method, and its name.

    A path that begins as others do is compared with these alone.
    """
    known = [each for each in endpoints if each.methods and not each.matches]
    beginning = path.split("/")[1]
    akin = [each for each in known if each.path.split("/")[1] == beginning]
    for each in akin or known:
        likeness = 1.0 if OTHER_NAMES.get(path) == each.path else _likeness(path.split("/"), each.path.split("/"))
        has_method = method in each.methods
        if likeness >= (SIMILARITY if has_method else SIMILARITY_FOR_OTHER_METHODS):
            yield likeness, has_method, f"{method if has_method else min(each.methods)} {each.path}"


def _likeness(asked: list[str], template: list[str]) -> float:
    """Without what both have in the same place: a value and the parameter that it fits are the same."""
    differ = [
        (mine, its) for mine, its in zip_longest(asked, template, fillvalue="") if mine != its and not _fits(mine, its)
    ]
    if not differ:
        return 0
    mine, its = ("/".join(filter(None, side)) for side in zip(*differ, strict=True))
    if SequenceMatcher(a=mine, b=its).real_quick_ratio() < SIMILARITY:
        return 0
    return max(SequenceMatcher(a=mine, b=its).ratio(), SequenceMatcher(a=_words(mine), b=_words(its)).ratio())


def _fits(value: str, parameter: str) -> bool:
    """Whether a part of a path can be the value of a parameter: ids are numbers, other parameters are texts."""
    if not parameter.startswith("{"):
        return False
    return value.isdigit() if parameter.endswith("id}") else bool(value)


def _words(text: str) -> str:
    """So that `by-category-stats` is `stats/by-category`."""
    return " ".join(sorted(text.replace("/", "-").split("-")))
