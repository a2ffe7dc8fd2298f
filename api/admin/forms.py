"""A form: what it is filled with, what was typed into it, and what the API says of that."""

import hashlib
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from api.admin.fields import Field, Input, value_in
from api.admin.in_process import Answer
from api.admin.rows import text_of

KEY = "key"
"""The hidden field of the `Idempotency-Key`: a form that is sent twice acts once."""

TAG = "tag"
"""The hidden field of the ETag that the row had when the form was opened."""

WAS = "was:"
"""How the names of hidden fields begin that say what a field was when the form was opened."""

BLANK_LINES = 3
"""Empty lines at the end of a list of objects."""

MAX_LINES = 100


@dataclass
class Form:
    """The fields with their texts, by the place of each, and the messages beside them."""

    fields: list[Field]
    texts: dict[str, str] = field(default_factory=dict)
    was: dict[str, str] = field(default_factory=dict)
    messages: dict[str, str] = field(default_factory=dict)
    now: dict[str, str] = field(default_factory=dict)
    """What a field is now, where somebody else changed it after the form was opened."""
    alert: str = ""
    key: str = field(default_factory=secrets.token_hex)
    tag: str = ""
    options: dict[str, list[tuple[int, str]]] = field(default_factory=dict)
    """The rows that a field offers, by the name of their entity, where those are few."""
    labels: dict[str, str] = field(default_factory=dict)
    """What the row is called that a field names."""

    def lines_of(self, table: Field) -> range:
        """The lines of a list of objects: those that are filled in, and some more."""
        pattern = re.compile(re.escape(table.place) + r"\.([0-9]{1,2})\.")
        filled = [int(found[1]) for place, text in self.texts.items() if text and (found := pattern.match(place))]
        return range(min(max(filled, default=-1) + 1 + BLANK_LINES, MAX_LINES))

    def each(self) -> Iterator[Field]:
        """Every field that has a text of its own, those of the lines too."""
        for each in self.fields:
            if each.input is Input.TABLE:
                yield from (part for line in self.lines_of(each) for part in parts_of(each, line))
            else:
                yield each

    def text(self, place: str) -> str:
        return self.texts.get(place, "")

    def message(self, place: str) -> str:
        """Of the field itself, or of what is in it."""
        inner = (text for at, text in self.messages.items() if at == place or at.startswith(f"{place}."))
        return "; ".join(dict.fromkeys(inner))

    def sent(self, part: str, *, only_changed: bool = False) -> dict[str, Any]:
        """The JSON object of a part of the request, `body` or `query`; what is no JSON gets a message.

        A field that is left empty is left out where it may be. Where only changes are sent, a field that is as it was
        when the form was opened is left out: what others have changed meanwhile stays.
        """
        found: dict[str, Any] = {}
        for each in self.fields:
            if not each.place.startswith(f"{part}.") or (only_changed and not self.is_changed(each)):
                continue
            if each.input is Input.TABLE:
                found[each.key] = self._lines(each)
            elif self.text(each.place).strip() or (only_changed and each.place in self.texts):
                found[each.key] = self._value(each)
            elif each.is_required and each.input in (Input.LINE, Input.LINES, Input.PASSWORD):
                found[each.key] = self.text(each.place)
        return found

    def _lines(self, table: Field) -> list[dict[str, Any]]:
        lines = []
        for number in self.lines_of(table):
            parts = [each for each in parts_of(table, number) if self.text(each.place).strip()]
            if parts:
                lines.append({each.key: self._value(each) for each in parts})
        return lines

    def _value(self, each: Field) -> Any:
        try:
            return value_in(each, self.text(each.place))
        except ValueError as error:
            self.messages[each.place] = str(error)
            return None

    def is_changed(self, each: Field) -> bool:
        return each.place in self.texts and self.was.get(each.place) != fingerprint(self.text(each.place))

    def refused(self, answer: Answer) -> None:
        """Put what the API says beside the fields that it is about, and the rest above the form."""
        places = {each.place for each in self.each()} | {each.place for each in self.fields}
        rest = []
        for place, message in answer.errors.items():
            if place in places:
                self.messages[place] = message
            else:
                rest.append(f"{place.removeprefix('body.')}: {message}")
        if named := re.search(r"\bthis ([a-z_]+)", answer.detail):  # "A product with this sku already exists."
            place = f"body.{named[1]}"
            if place in places and not answer.errors:
                self.messages[place] = answer.detail
        self.alert = "; ".join(rest) if answer.errors else answer.detail
        if not answer.may_be_repeated:
            self.key = secrets.token_hex()  # nothing was done, and what is sent next is another request

    def compare(self, row: "Form") -> None:
        """Take over what others have changed since the form was opened. Where both did, say what the field is now."""
        for each in self.fields:
            if not self.is_changed(each):
                self.texts[each.place] = row.text(each.place)
            elif self.was.get(each.place) != row.was.get(each.place):
                self.now[each.place] = row.text(each.place)
        self.was, self.tag = row.was, row.tag


def parts_of(table: Field, line: int) -> list[Field]:
    return [replace(each, place=f"{table.place}.{line}.{each.key}") for each in table.parts]


def blank(fields: list[Field], given: Mapping[str, str]) -> Form:
    """A new form with the defaults, and with what a link or an action brings along."""
    texts = {each.place: text_of(each.default) for each in fields if each.default not in (None, [])}
    known = {each.place for each in fields}
    return Form(fields, texts | {place: text for place, text in given.items() if place in known})


def filled(fields: list[Field], row: Mapping[str, Any]) -> Form:
    """A form that shows a row, of its JSON."""
    texts = {each.place: _text_in(each, row.get(each.key)) for each in fields}
    return Form(fields, texts, {place: fingerprint(text) for place, text in texts.items()})


def _text_in(each: Field, value: Any) -> str:
    if each.input is Input.WORDS and isinstance(value, list):
        return ", ".join(
            str(item["slug"]) if isinstance(item, dict) and "slug" in item else str(item) for item in value
        )
    if each.input is Input.TIME:
        return text_of(value).removesuffix("Z")
    return text_of(value)


def typed(fields: list[Field], form: Mapping[str, str]) -> Form:
    """A form as it was sent."""
    found = Form(fields, key=form.get(KEY) or secrets.token_hex(), tag=form.get(TAG, ""))
    known = {each.name: each.place for each in fields if each.input is not Input.TABLE}
    tables = tuple(f"{each.place}." for each in fields if each.input is Input.TABLE)
    for name, text in form.items():
        if name in known or name.startswith(tables):
            found.texts[known.get(name, name)] = text.replace("\r\n", "\n")
        elif name.startswith(WAS):
            found.was[name.removeprefix(WAS)] = text
    for each in fields:
        if each.input is Input.TABLE:
            _close_gaps(found, each)
    return found


def _close_gaps(form: Form, table: Field) -> None:
    """Number the lines that are filled in as the API numbers them in its refusals."""
    for new, old in enumerate([line for line in form.lines_of(table) if _is_filled(form, table, line)]):
        for part, other in zip(parts_of(table, new), parts_of(table, old), strict=True):
            if new != old:
                form.texts[part.place] = form.texts.pop(other.place, "")


def _is_filled(form: Form, table: Field, line: int) -> bool:
    return any(form.text(each.place).strip() for each in parts_of(table, line))


def fingerprint(text: str) -> str:
    """What a form keeps of a text, to see later whether it was changed."""
    return hashlib.sha256(text.replace("\r\n", "\n").encode("utf-8", "replace")).hexdigest()[:16]


def rows_named(form: Form) -> Iterable[Field]:
    """The fields that name a row of another entity."""
    return (each for each in form.each() if each.target is not None)
