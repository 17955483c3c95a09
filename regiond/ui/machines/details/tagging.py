"""Puts tags on VMs and takes them off, through the endpoints of tags; a new name becomes a tag."""

from __future__ import annotations

from collections.abc import Sequence

from common.errors import InvalidRequest
from regiond.api.resources.region.tags import TAG, TAGS
from regiond.tags.model import check_name
from regiond.ui.rendering.page import Visit


async def change(visit: Visit, system_ids: Sequence[str], *, add: Sequence[str], remove: Sequence[str]) -> None:
    """Changes all VMs, one request for each tag. Raises InvalidRequest with nothing changed if a new name is invalid.

    Idempotent: after a failure between two tags, the same again does the rest.
    """
    known = {tag.name for tag in await visit.services.tags.list(caller=visit.caller)}
    new = [name for name in add if name not in known]
    _check(new)
    for name in new:
        await visit.act(TAGS, "POST", fields={"name": name})
    for name in add:
        await visit.act(TAG, "POST", "update_nodes", path={"name": name}, fields={"add": list(system_ids)})
    for name in remove:
        await visit.act(TAG, "POST", "update_nodes", path={"name": name}, fields={"remove": list(system_ids)})


def _check(names: Sequence[str]) -> None:
    """Raises InvalidRequest, with the problem of each name that no tag can have."""
    problems = []
    for name in names:
        try:
            check_name(name)
        except InvalidRequest as error:
            problems += [f"{name!r}: {text}" for text in error.texts]
    if problems:
        raise InvalidRequest.of({"name": problems})


def about_field(error: InvalidRequest, name: str) -> InvalidRequest:
    """Returns the error as one of the form's field `name`."""
    return InvalidRequest.of({name: error.texts})
