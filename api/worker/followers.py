"""Who follows the feed, which the settings say."""

from collections.abc import Sequence

from api.settings import Settings
from api.worker import webhooks
from api.worker.fan_out import Follower
from api.worker.mail import MAIL_FOLLOWER


def followers(settings: Settings) -> Sequence[Follower]:
    """Who is told of each event. A follower that is switched off keeps its row in `jobs`, and is none meanwhile."""
    return (webhooks.FOLLOWER, MAIL_FOLLOWER) if settings.has_mail else (webhooks.FOLLOWER,)
