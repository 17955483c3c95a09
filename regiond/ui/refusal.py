"""A refused form: the status of its page, and the problems by field. Pure."""

from __future__ import annotations

from attrs import frozen

from common.errors import InnkeeperError, InvalidRequest
from regiond.api import errors

UNPROCESSABLE = 422


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
