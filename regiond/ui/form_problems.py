"""An error of the API as a form shows it: by field, and the status of the page. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from common.errors import InnkeeperError, InvalidRequest
from regiond.api import errors

Problems = Mapping[str, Sequence[str]]
UNPROCESSABLE = 422


def problems_of(error: InnkeeperError) -> Problems:
    """Texts by field of the form; what belongs to no field is under an empty name."""
    if isinstance(error, InvalidRequest) and error.fields:
        return {name if name != "__all__" else "": texts for name, texts in error.fields.items()}
    return {"": [error.message]}


def status_of(error: InnkeeperError) -> int:
    """A form that has to be changed is 422; another error has the status that it has in the API."""
    return UNPROCESSABLE if isinstance(error, InvalidRequest) else errors.reply_for(error).status
