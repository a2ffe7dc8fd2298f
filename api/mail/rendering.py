"""Mails from templates: a text with its subject, and the same as HTML. A team's own ones replace those of the shop.

`order_shipped.txt` begins with a line `Subject: …`, and `order_shipped.html` has the page, in which all values are
escaped.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import ChoiceLoader, Environment, FileSystemLoader, StrictUndefined, select_autoescape

from api.models.mail import MailKind
from api.settings import Settings

FOLDER = Path(__file__).parent / "templates"

SUBJECT = "Subject:"


class BrokenTemplate(Exception):
    """A template that cannot be used, and why, in one line."""


class Rendered(NamedTuple):
    subject: str
    text: str
    html: str


class Templates:
    """Makes the texts of mails."""

    def __init__(self, settings: Settings) -> None:
        folders = [FOLDER] if settings.mail_templates is None else [settings.mail_templates, FOLDER]
        self._environment = Environment(
            loader=ChoiceLoader([FileSystemLoader(each) for each in folders]),
            autoescape=select_autoescape(disabled_extensions=("txt",), default=True),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
        )
        self._environment.globals |= {
            "shop": settings.shop_name,
            "currency": settings.currency,
            "shop_url": settings.public_url,
            "admin_url": f"{settings.public_url}/admin" if settings.admin else None,
        }

    def render(self, kind: MailKind, values: Mapping[str, Any]) -> Rendered:
        """
        Raises:
            BrokenTemplate: A template cannot be read, or uses what there is not.
        """
        text, html = (self._render(f"{kind}.{ending}", values) for ending in ("txt", "html"))
        first, _, body = text.lstrip().partition("\n")
        if not first.startswith(SUBJECT):
            raise BrokenTemplate(f"The template {kind}.txt does not begin with a line {SUBJECT} …")
        subject = " ".join("".join(each if each.isprintable() else " " for each in first[len(SUBJECT) :]).split())
        return Rendered(subject, body.strip() + "\n", html)

    def _render(self, name: str, values: Mapping[str, Any]) -> str:
        try:
            return self._environment.get_template(name).render(values)
        except Exception as error:  # whatever a team's template does: it must not keep others from being sent
            line = getattr(error, "lineno", None)
            place = f"{name}, line {line}" if line else name
            raise BrokenTemplate(f"The template {place} cannot be used: {error or type(error).__name__}") from error
