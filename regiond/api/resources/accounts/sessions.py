"""`account/sessions/`: lists and ends the caller's sessions of the web pages."""

from __future__ import annotations

from regiond.api.declaration import crud
from regiond.api.declaration.endpoint import Resource
from regiond.api.declaration.field_types import Text
from regiond.api.declaration.fields import Field
from regiond.api.declaration.served import part, serve
from regiond.api.serializers.accounts import SESSION_JSON
from regiond.requests.caller import Permission

_list = serve(lambda s: s.sessions.list, "username")
_end = serve(lambda s: s.sessions.end, session_id=part("id", number_of="session"))

SESSIONS = Resource(
    handler="SessionsHandler",
    path="account/sessions/",
    doc="The caller's sessions of the web pages.",
    endpoints=(
        crud.list_of(
            SESSION_JSON,
            _list,
            title="List sessions",
            doc="Sessions that have not ended, the one used last first.",
            fields=(Field("username", Text(), "Those of this user; of others for administrators only."),),
            result="The sessions.",
        ),
    ),
)
SESSION = Resource(
    handler="SessionHandler",
    path="account/sessions/{id}/",
    doc="One session of the web pages.",
    endpoints=(
        crud.delete(
            _end,
            title="End a session",
            doc="Its browser has to log in again. Those of others for administrators only.",
            permission=Permission.USER,
        ),
    ),
)
RESOURCES = (SESSIONS, SESSION)
