"""Finds tags and architectures of a request that do not exist."""

from __future__ import annotations

from collections.abc import Collection

from regiond.db.pool import Database, Db
from regiond.images.model import ARCHITECTURES
from regiond.machines.arrivals.allocation.store import reported_architectures
from regiond.machines.values.requests import AllocateRequest
from regiond.requests.caller import Caller
from regiond.requests.validation_messages import no_choice
from regiond.tags.service import unknown_tags


async def unknown_words(database: Database, request: AllocateRequest, caller: Caller) -> dict[str, list[str]]:
    """Returns the problems by field. An architecture that no host has is known if images can have it."""
    async with database.connection() as db:
        tags = {
            "tags": await unknown_tags(db, request.tags, caller=caller),
            "not_tags": await unknown_tags(db, request.not_tags, caller=caller),
        }
        architectures = {
            "arch": await unknown_architectures(db, request.architectures),
            "not_arch": await unknown_architectures(db, request.not_architectures),
        }
    return {field: list(messages) for field, messages in (tags | architectures).items() if messages}


async def unknown_architectures(db: Db, names: Collection[str]) -> list[str]:
    """Returns a message for each of the names that no host has, and no image can have."""
    choices = sorted({*ARCHITECTURES, *(await reported_architectures(db) if {*names} - {*ARCHITECTURES} else ())})
    return [f"Architecture not recognised: {no_choice(name, choices)}" for name in names if name not in choices]
