"""A mail as its receiver reads it, but for the secret of its link. It is made anew, since the shop stores no words."""

from starlette.responses import HTMLResponse, Response

from api.admin.tasks import row_id_of
from api.admin.visits import Visit, no_such_page
from api.errors import Conflict
from api.mail.contents import contents_of
from api.mail.letters import Letters
from api.mail.rendering import BrokenTemplate, Rendered
from api.models.mail import Mail

POLICY = "; ".join(
    (
        "default-src 'none'",
        "style-src 'unsafe-inline'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "sandbox",
    )
)
"""Content Security Policy of the HTML of a mail, which has its styles within."""


async def show(visit: Visit) -> Response:
    """The text of a mail, and a link to its HTML."""
    mail = await _mail_of(visit)
    return visit.page("mail.html", mail=mail, rendered=await _rendered(visit, mail))


async def show_html(visit: Visit) -> Response:
    """The HTML of a mail."""
    rendered = await _rendered(visit, await _mail_of(visit))
    return HTMLResponse(rendered.html, headers={"Content-Security-Policy": POLICY, "Referrer-Policy": "no-referrer"})


async def _mail_of(visit: Visit) -> Mail:
    row_id = row_id_of(visit)
    mail = None if row_id is None else await (await visit.session()).get(Mail, row_id)
    if mail is None:
        raise no_such_page()
    return mail


async def _rendered(visit: Visit, mail: Mail) -> Rendered:
    contents = await contents_of(await visit.session(), mail)
    if isinstance(contents, str):
        raise Conflict(f"This mail has no words: {contents}")
    try:
        return Letters(visit.settings).rendered(mail.kind, contents.values)
    except BrokenTemplate as error:
        raise Conflict(str(error)) from error
