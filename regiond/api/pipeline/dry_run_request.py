"""The field `dry_run`: a request with it changes nothing, whatever its endpoint, spelling and place."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from regiond.api.declaration.endpoint import Endpoint
from regiond.api.declaration.field_types import Boolean, FieldError
from regiond.api.declaration.fields import Problems, Submitted

NAME = "dry_run"
_LONGEST_NAME = 16  # of the names that may be spellings of `dry_run`
_LEFT_OUT = str.maketrans("", "", "-_ []")

NO_DRY_RUN = "This request has no dry run, so nothing was done. To carry it out, send it without dry_run."
IN_BODY = "Send this field in the body, not in the query."
NOT_CLEAR = "Enter dry_run=true or dry_run=false, once. Nothing was done."
OTHER_NAME = "The name of this field is dry_run. Nothing was done."


def dry_run_problems(
    endpoint: Endpoint, submitted: Submitted, in_query: Submitted, files: Collection[str] = ()
) -> Problems:
    """Returns why a request that asks for a dry run cannot have one; empty if it can, or asks for none.

    `submitted` are the fields of the endpoint, `in_query` those in the query, `files` the names of parts of a form that
    are files. An endpoint that changes something, and declares no field `dry_run`, has no dry run: what it would ignore
    is a change that its caller did not want.
    """
    if not endpoint.changes:
        return {}
    outside = in_query if endpoint.has_fields_in_body else {}
    names = dict.fromkeys(name for name in (*submitted, *outside, *files) if _may_mean_dry_run(name))
    return {name: [reason] for name in names if (reason := _problem(endpoint, name, submitted, outside, files))}


def _problem(
    endpoint: Endpoint, name: str, submitted: Submitted, outside: Submitted, files: Collection[str]
) -> str | None:
    values = (*submitted.get(name, ()), *outside.get(name, ()))
    asked = True if name in files else _asked(values)
    if asked is False:
        return None
    if not endpoint.has_dry_run:
        return NO_DRY_RUN
    if name != NAME:
        return OTHER_NAME
    if name in outside:
        return IN_BODY
    return None if asked and name not in files else NOT_CLEAR


def _may_mean_dry_run(name: str) -> bool:
    return len(name) <= _LONGEST_NAME and name.lower().translate(_LEFT_OUT) == "dryrun"


def _asked(values: Sequence[object]) -> bool | None:
    """Returns whether the values ask for a dry run; None: they are blank, contradict each other or are no booleans."""
    given = [value for value in values if value is not None]
    try:
        found = {Boolean().parse((value,)) for value in given}
    except FieldError:
        return None
    return None if len(found) > 1 else found == {True}
