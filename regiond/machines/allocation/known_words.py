"""Finds tags and architectures of an allocate request that do not exist."""

from __future__ import annotations

from collections.abc import Iterable

from regiond.caller import Caller
from regiond.db.pool import Database
from regiond.images.model import ARCHITECTURES
from regiond.machines.allocation.store import reported_architectures
from regiond.machines.model import AllocateRequest
from regiond.tags.service import unknown_tags
from regiond.validation_messages import no_choice


async def unknown_words(database: Database, request: AllocateRequest, caller: Caller) -> dict[str, list[str]]:
    """Returns the problems by field. An architecture that no host has is known if images can have it."""
    async with database.connection() as db:
        tags = {
            "tags": await unknown_tags(db, request.tags, caller=caller),
            "not_tags": await unknown_tags(db, request.not_tags, caller=caller),
        }
        named = {*request.architectures, *request.not_architectures}
        known = {*ARCHITECTURES, *(await reported_architectures(db) if named - {*ARCHITECTURES} else ())}
    architectures = {
        "arch": _unrecognised(request.architectures, known),
        "not_arch": _unrecognised(request.not_architectures, known),
    }
    return {field: list(messages) for field, messages in (tags | architectures).items() if messages}


def _unrecognised(names: Iterable[str], known: Iterable[str]) -> list[str]:
    choices = sorted(known)
    return [f"Architecture not recognised: {no_choice(name, choices)}" for name in names if name not in choices]
