"""What a page asks before it sends a form: whether the session lasts, and what its forms have to carry."""

from __future__ import annotations

import json

from regiond.api.replies import Reply
from regiond.ui.page import Page, Visit


async def show(visit: Visit) -> Reply:
    """JSON. Who is not logged in any more is led to the login, as on every page."""
    body = json.dumps({"csrf": visit.session.csrf_token}).encode()
    return Reply(status=200, body=body, content_type="application/json")


PAGES = (Page(path="session", handle=show),)
