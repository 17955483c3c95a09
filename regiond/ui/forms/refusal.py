"""A refused form: the status of its page, and the problems by field. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import frozen

from common.errors import DatabaseUnavailable, InnkeeperError, InvalidRequest
from regiond.api import errors
from regiond.ui.texts import text

Problems = Mapping[str, Sequence[str]]
UNPROCESSABLE = 422
CONFLICT = 409


@frozen(kw_only=True)
class Refusal:
    """`problems` are texts by field; what belongs to no field is under an empty name."""

    status: int
    problems: dict[str, list[str]]

    @classmethod
    def of(cls, error: InnkeeperError) -> Refusal:
        if not isinstance(error, InvalidRequest):
            return cls(status=errors.reply_for(error).status, problems={"": [error.message]})
        if not error.fields:
            return cls(status=UNPROCESSABLE, problems={"": [error.message]})
        problems = {"" if name == "__all__" else name: texts for name, texts in error.fields.items()}
        return cls(status=UNPROCESSABLE, problems=problems)


NOT_REFUSED = Refusal(status=200, problems={})
IN_CONFLICT = Refusal(status=CONFLICT, problems={})  # with what somebody else changed meanwhile; the page shows both


def public_message(error: InnkeeperError) -> str:
    """Returns the message for somebody who is not known to be a user: without the address of the database."""
    if isinstance(error, DatabaseUnavailable):
        return text("Innkeeper cannot reach its database. The region's log has the reason.")
    return error.message
