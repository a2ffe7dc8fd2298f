"""`python -m api send-test-mail ADDRESS`: whether the mail server takes mail of the shop, and otherwise why not."""

import argparse
import asyncio

from api.commands.command import Command, CommandFailed
from api.mail.messages import BadAddress, address_for, trial_message
from api.mail.smtp import MailFailure, send
from api.settings import Settings


def send_test_mail(settings: Settings, options: argparse.Namespace) -> int:
    server = settings.smtp_server
    if server is None:
        raise CommandFailed("SMTP_URL is not set, so the shop sends no mail")
    try:
        to = address_for(options.address)
        message = trial_message(to, settings.sender, settings.shop_name)
        asyncio.run(send(server, message, sender=settings.sender, to=to.addr_spec))
    except (BadAddress, MailFailure) as error:
        raise CommandFailed(str(error)) from error
    print(f"{server.host}:{server.port} took a mail from {settings.sender.addr_spec}. Look whether it arrives.")
    return 0


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("address", help="where the mail goes")


command = Command("send-test-mail", "send a mail, and say what is wrong if that fails", send_test_mail, _add_arguments)
