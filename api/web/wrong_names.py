"""What a wrong name in a request probably stands for."""

from collections.abc import Collection
from difflib import get_close_matches

SIMILARITY = 0.6
"""From which likeness on a name counts as misspelled; that of `difflib`, whose default it is."""

MAX_COMPARED_LENGTH = 60
"""Characters of a wrong name that are compared, because that takes time by the square of them."""

OTHER_NAMES = {
    "offset": "skip",
    "size": "page_size",
    "per_page": "page_size",
    "q": "search",
    "query": "search",
    "order_by": "sort",
    "ordering": "sort",
    "note": "reason",
    "quantity": "delta",
    "stock": "stock_quantity",
}
"""What other APIs call a parameter or a field."""


def nearest_name(name: str, known: Collection[str]) -> str | None:
    """The known name that a wrong one stands for; `None` where none is alike."""
    other = OTHER_NAMES.get(name.casefold())
    if other in known:
        return other
    spelled = {_plain(each): each for each in known}
    close = get_close_matches(_plain(name[:MAX_COMPARED_LENGTH]), spelled, n=1, cutoff=SIMILARITY)
    return spelled[close[0]] if close else None


def _plain(name: str) -> str:
    """So that `pageSize` and `page-size` are `page_size`."""
    return name.casefold().replace("_", "").replace("-", "")


def suggestion(name: str, known: Collection[str]) -> str:
    """The end of a sentence that refuses a wrong name."""
    if nearest := nearest_name(name, known):
        return f"did you mean `{nearest}`?"
    return f"known are {', '.join(f'`{each}`' for each in known)}" if known else "there is none here"
