"""Names of the code as people read them."""

import re

from api.openapi.texts import INITIALISMS

OTHER_WORDS = {"created_at": "Created", "updated_at": "Changed", "is_superuser": "Staff", "id": "Id"}
"""Names that say something else to a person than to a program."""


def label_of(name: str) -> str:
    """`stock_quantity` is "Stock quantity", `is_active` "Active", `category_id` "Category"."""
    if name in OTHER_WORDS:
        return OTHER_WORDS[name]
    words = re.sub(r"^is_|_id$|_at$", "", name).split("_")
    return capitalised(" ".join(INITIALISMS.get(word, word) for word in words))


def capitalised(text: str) -> str:
    return text[:1].upper() + text[1:]
