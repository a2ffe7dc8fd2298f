"""What stands in mails, from the shop's templates and from a team's own."""

from email import message_from_bytes
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path
from typing import Any

import pytest

from api.mail.letters import Letters
from api.mail.messages import address_for, message_of
from api.mail.rendering import FOLDER, BrokenTemplate, Rendered
from api.models.mail import LINK_KINDS, Mail, MailKind
from api.settings import Settings

ODD = "<b>Zoë & Bärbel</b> “O'Neil” \u202e{{ shop }}"
INJECTION = "Shop\r\nBcc: all@example.com\r\n\r\nBuy!"

VALUES: dict[str, Any] = {
    "name": ODD,
    "username": "zoe",
    "email": "zoe@example.com",
    "order": {
        "id": 7,
        "order_number": "ORD-7K2M-9QX4-T0BV",
        "total_amount": "159.98",
        "shipping_address": f"{ODD}\n1 Abbey Road",
    },
    "lines": [{"quantity": 2, "product_name": ODD, "sku": "WH-001", "total_price": "159.98"}],
    "until": "30 November 2026, 09:30 UTC",
    "refund": {"amount": "9.98", "reason": "Scratched"},
    "webhook": {"id": 7, "called": f"webhook 7 ({ODD}, hooks.example.com)", "disabled_reason": "It answered 410."},
}


def letters(**settings: Any) -> Letters:
    return Letters(Settings(_env_file=None, **settings))


@pytest.mark.parametrize("kind", MailKind)
class TestEveryKind:
    def test_text_and_html_say_what_the_mail_is_for(self, kind: MailKind) -> None:
        made = letters(shop_name="Käse & Co", currency="CHF").rendered(kind, VALUES)

        assert made.subject
        assert "\n" not in made.subject
        assert "Käse & Co" in made.text
        assert "Käse &amp; Co" in made.html
        for part in (made.text, made.html):
            assert "{{ shop }}" in part or ODD not in part
            assert ("ORD-7K2M-9QX4-T0BV" in part) == kind.startswith(("order", "payment"))
            assert ("159.98" in part) == kind.startswith(("order", "payment"))
            assert ("?token=" in part) == (kind in LINK_KINDS)

    def test_html_escapes_what_people_wrote(self, kind: MailKind) -> None:
        made = letters(shop_name="<i>Shop</i>").rendered(kind, VALUES, token="a<b")
        assert "<b>Zoë" not in made.html
        assert "<i>" not in made.html
        assert "a<b" not in made.html

    def test_a_mail_to_an_address_that_is_not_confirmed_has_no_words_of_strangers(self, kind: MailKind) -> None:
        """Otherwise anybody could have the shop send their own words to anybody."""
        made = letters().rendered(kind, VALUES)
        assert (ODD in made.text) == (kind not in (*LINK_KINDS, MailKind.EMAIL_CHANGED))

    def test_the_text_has_no_gaps(self, kind: MailKind) -> None:
        text = letters().rendered(kind, VALUES).text
        assert "\n\n\n" not in text
        assert text == text.strip() + "\n"

    def test_no_header_can_be_added_by_a_name(self, kind: MailKind) -> None:
        made = letters(shop_name=INJECTION).rendered(kind, {**VALUES, "name": INJECTION, "username": INJECTION})
        mail = Mail(id=7, kind=kind, about="users/7")
        sent = message_of(mail, address_for("john@example.com"), Address("x", "shop", "example.com"), made)

        received = message_from_bytes(bytes(sent), _class=EmailMessage, policy=SMTP)
        assert received["Bcc"] is None
        assert sorted(received.keys()) == [
            "Auto-Submitted",
            "Content-Type",
            "Date",
            "From",
            "MIME-Version",
            "Message-ID",
            "Subject",
            "To",
        ]


class TestMessage:
    def test_a_repeated_mail_has_the_same_id(self) -> None:
        mail, sender = Mail(id=7, kind=MailKind.ORDER_SHIPPED, about="orders/7"), Address("", "shop", "example.com")
        rendered = Rendered("Ärger & Co", "text", "<p>html</p>")
        first, second = (message_of(mail, address_for("j@example.com"), sender, rendered) for _ in range(2))
        assert first["Message-ID"] == second["Message-ID"]
        assert first["Message-ID"].startswith("<7.")
        assert first["Message-ID"].endswith("@example.com>")
        other = Mail(id=8, kind=MailKind.ORDER_SHIPPED, about="orders/7", created_at=mail.created_at)
        assert message_of(other, address_for("j@example.com"), sender, rendered)["Message-ID"] != first["Message-ID"]
        assert message_from_bytes(bytes(first), policy=SMTP)["Subject"] == "Ärger & Co"


class TestLinks:
    def test_a_link_leads_to_the_shop_or_to_the_page_that_a_setting_names(self) -> None:
        def text(kind: MailKind, **settings: str) -> str:
            return letters(**settings).rendered(kind, VALUES, token="s3cret").text

        shop = {"public_url": "https://shop.example.com/"}
        own = {**shop, "password_reset_url": "https://www.example.com/new-password"}
        reset, confirmation, registration = LINK_KINDS
        assert "https://shop.example.com/password-reset?token=s3cret\n" in text(reset, **shop)
        assert "https://www.example.com/new-password?token=s3cret\n" in text(reset, **own)
        assert "https://shop.example.com/email-confirmation?token=s3cret\n" in text(confirmation, **own)
        assert "https://shop.example.com/registration-confirmation?token=s3cret\n" in text(registration, **own)


class TestTemplatesOfATeam:
    def test_each_replaces_the_one_with_its_name(self, tmp_path: Path) -> None:
        (tmp_path / "order_shipped.txt").write_text("Subject: Off {{ order.order_number }} goes\n\nBye {{ name }}\n")
        made = letters(mail_templates=tmp_path).rendered(MailKind.ORDER_SHIPPED, VALUES)
        assert (made.subject, made.text) == ("Off ORD-7K2M-9QX4-T0BV goes", f"Bye {ODD}\n")
        assert "is on its way" in made.html, "the other half is the shop's own"

    def test_one_can_build_on_those_of_the_shop(self, tmp_path: Path) -> None:
        (tmp_path / "base.html").write_text("<h1>Ours</h1>{% block content %}{% endblock %}")
        assert letters(mail_templates=tmp_path).rendered(MailKind.EMAIL_CHANGED, VALUES).html.startswith("<h1>Ours")

    @pytest.mark.parametrize(
        ("source", "complaint"),
        [
            ("Hello", "The template order_shipped.txt does not begin with a line Subject: …"),
            ("Subject: x\n\n{{ nothing }}", "The template order_shipped.txt cannot be used: 'nothing' is undefined"),
            ("Subject: x\n\n{% if %}", "The template order_shipped.txt, line 3 cannot be used: "),
            ("Subject: x\n\n{% include 'gone.txt' %}", "The template order_shipped.txt cannot be used: gone.txt"),
            ("Subject: x\n\n{{ order.total_amount + 1 }}", "The template order_shipped.txt cannot be used: "),
            ("Subject: x\n\n{{ 1 / 0 }}", "The template order_shipped.txt cannot be used: division by zero"),
            ("Subject: x\n\n{% include 'order_shipped.txt' %}", "The template order_shipped.txt cannot be used: "),
        ],
    )
    def test_one_that_cannot_be_used_is_named(self, tmp_path: Path, source: str, complaint: str) -> None:
        (tmp_path / "order_shipped.txt").write_text(source)
        with pytest.raises(BrokenTemplate) as broken:
            letters(mail_templates=tmp_path).rendered(MailKind.ORDER_SHIPPED, VALUES)
        assert str(broken.value).startswith(complaint)

    def test_every_kind_has_both_templates_and_no_other_is_there(self) -> None:
        parts = {"base.html", "parts.html", "parts.txt"}
        assert {each.name for each in FOLDER.iterdir()} == parts | {
            f"{kind}.{ending}" for kind in MailKind for ending in ("txt", "html")
        }
