"""A mail as it is sent: its contents, rendered, with the link that its kind has."""

from collections.abc import Mapping
from email.message import EmailMessage
from typing import Any

from api.mail.contents import Contents
from api.mail.messages import address_for, message_of
from api.mail.rendering import Rendered, Templates
from api.models.mail import Mail, MailKind
from api.rules.mailed_links import LIFETIMES
from api.settings import Settings

PAGES = {
    MailKind.PASSWORD_RESET: "/password-reset",
    MailKind.EMAIL_CONFIRMATION: "/email-confirmation",
    MailKind.REGISTRATION: "/registration-confirmation",
}
"""Where the shop serves what the link of a mail leads to (`pages.py`)."""

EXAMPLE_TOKEN = "…"  # noqa: S105
"""Stands in a mail that staff look at: nobody but its receiver sees the secret of a link."""


class Letters:
    """Makes mails by the templates and the settings."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._templates = Templates(settings)

    def rendered(self, kind: MailKind, values: Mapping[str, Any], token: str = EXAMPLE_TOKEN) -> Rendered:
        """
        Raises:
            BrokenTemplate: A template cannot be used.
        """
        return self._templates.render(kind, {**values, **self._link_values(kind, token)})

    def message(self, mail: Mail, contents: Contents, token: str) -> EmailMessage:
        """
        Raises:
            BadAddress: The user has an address that is none.
            BrokenTemplate: A template cannot be used.
        """
        rendered = self.rendered(mail.kind, contents.values, token)
        return message_of(mail, address_for(contents.address), self._settings.sender, rendered)

    def _link_values(self, kind: MailKind, token: str) -> dict[str, Any]:
        if kind not in PAGES:
            return {}
        page = self._settings.public_url + PAGES[kind]
        if kind is MailKind.PASSWORD_RESET and self._settings.password_reset_url is not None:
            page = self._settings.password_reset_url
        minutes = int(LIFETIMES[kind].total_seconds()) // 60
        return {"link": f"{page}?token={token}", "minutes": minutes, "hours": minutes // 60}
