"""Texts as people write them, and how each is prepared before it is stored.

- Letters are composed (NFC in Unicode Standard Annex 15), so that é is one letter however it was typed.
- White space around a text is dropped. Its length counts as it is sent, and as it is stored: a few letters of Indic
  scripts and of music, such as U+0958, are two when they are composed.
- Control characters are refused, in a text of several lines but for line breaks and tabs.
"""

import unicodedata
from functools import cache
from typing import Any

from pydantic import BaseModel, GetJsonSchemaHandler

from api.models.types import in_words, without_nul

WHITE_SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029"
WHITE_SPACE += "\u202f\u205f\u3000"
"""The characters that Unicode calls so, which is what pydantic drops; Python's own `strip` drops control characters."""

# The patterns are written so that the regular expressions of every language read them: RE2, which is that of Go, knows
# no \u2028, and other ones beside it no \x{2028}, so these letters stand there as they are.
_WHITE = r"\t\n\x0b\x0c\r \x85\xa0" "\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_NOT_IN_LINE = r"\x00-\x1f\x7f-\x9f" "\u2028\u2029"
_NOT_IN_LINES = r"\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f"


def composed(text: str) -> str:
    """A text as it is stored, and so as it is looked for.

    Raises:
        ValueError: It holds U+0000, which no database here can store.
    """
    return unicodedata.normalize("NFC", without_nul(text).strip(WHITE_SPACE))


class Text:
    """In the type of a field, behind its limits: says how `Schema` prepares what a client sends."""

    def __init__(self, *, pattern: str, pattern_if_required: str, allowed: str, words: str) -> None:
        self.pattern = in_words(pattern, words)
        self.pattern_if_required = in_words(pattern_if_required, words)
        self._allowed = frozenset(allowed)
        self._words = words

    def prepared(self, text: str, max_length: int | None) -> str:
        """
        Raises:
            ValueError: It is too long, or holds a character that it may not hold.
        """
        if max_length is not None and len(text) > max_length:
            raise ValueError(f"must have at most {max_length} characters")
        found = composed(text).replace("\r\n", "\n")
        if max_length is not None and len(found) > max_length:
            raise ValueError(
                f"must have at most {max_length} characters; it has {len(found)} in Unicode's composed form"
            )
        if not found.isprintable() and any(_is_control(each) and each not in self._allowed for each in found):
            raise ValueError(self._words)
        return found

    def __get_pydantic_json_schema__(self, schema: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        found = handler(schema)
        for each in (found, *found.get("anyOf", ())):
            if each.get("type") == "string":
                each["pattern"] = self.pattern_if_required if each.get("minLength") else self.pattern
        return found


def _is_control(letter: str) -> bool:
    return unicodedata.category(letter) in ("Cc", "Zl", "Zp")


@cache
def texts_of(model: type[BaseModel]) -> dict[str, tuple[Text, int | None]]:
    """The fields of a class that clients write texts into, each with its greatest length."""
    found = {}
    for name, field in model.model_fields.items():
        text = next((each for each in field.metadata if isinstance(each, Text)), None)
        if text is not None:
            lengths = (getattr(each, "max_length", None) for each in field.metadata)
            found[name] = text, next(filter(None, lengths), None)
    return found


LINE = Text(
    pattern=rf"^[{_WHITE}]*[^{_NOT_IN_LINE}]*[{_WHITE}]*$",
    pattern_if_required=rf"^[{_WHITE}]*[^{_NOT_IN_LINE}{_WHITE}][^{_NOT_IN_LINE}]*[{_WHITE}]*$",
    allowed="",
    words="must be one line, without control characters",
)
"""A text of one line, such as a name."""

LINES = Text(
    pattern=rf"^[{_WHITE}]*[^{_NOT_IN_LINES}]*[{_WHITE}]*$",
    pattern_if_required=rf"^[{_WHITE}]*[^{_NOT_IN_LINES}{_WHITE}][^{_NOT_IN_LINES}]*[{_WHITE}]*$",
    allowed="\t\n\r\x85\u2028\u2029",
    words="must not contain control characters other than line breaks and tabs",
)
"""A text of several lines, such as a description."""

ONLY_IN_REQUESTS = {each for text in (LINE, LINES) for each in (text.pattern, text.pattern_if_required)}
"""Patterns that say nothing of an answer: what was stored before they were may not match."""
