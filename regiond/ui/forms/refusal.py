"""A refused form: the status of its page, and the problems by field. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import frozen

from common.errors import DatabaseUnavailable, InnkeeperError, InvalidRequest
from regiond.api import errors

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
    """What somebody may read who is not known to be a user: not where the database is."""
    if isinstance(error, DatabaseUnavailable):
        return "Innkeeper cannot reach its database. The region's log has the reason."
    return error.message


def problems_of(error: InnkeeperError) -> Problems:
    """Texts by field of the form; what belongs to no field is under an empty name."""
    return Refusal.of(error).problems


def status_of(error: InnkeeperError) -> int:
    """A form that has to be changed is 422; another error has the status that it has in the API."""
    return Refusal.of(error).status
