"""Unique names of VM hosts: checks names, finds free ones, and words the error for a taken one."""

from __future__ import annotations

from itertools import count

import asyncpg

from common.errors import InvalidRequest
from regiond.db.pool import Db

_OTHER = "select id from vm_host where name = $1"
_NAME_OF = "select name from vm_host where id = $1"
# `starts_with` and not `like`: a name may contain wildcards.
_SIMILAR = "select name from vm_host where starts_with(name, $1) and id is distinct from $2"
_CONSTRAINT = "vm_host_name_key"


def check_host_name(name: str) -> None:
    """Raises InvalidRequest for a name of digits only, which would be read as the id of another host."""
    if _is_number(name):
        message = (
            f"{name!r} could be the id of another VM host. Use a name that is not only digits, such as 'host-{name}'."
        )
        raise InvalidRequest.of({"name": [message]})


def is_name_taken(error: asyncpg.UniqueViolationError) -> bool:
    """Returns whether the statement failed because another VM host has the name."""
    return bool(error.constraint_name == _CONSTRAINT)


async def name_taken(db: Db, name: str) -> InvalidRequest:
    """Returns the error for a name that another VM host has; its message has the name."""
    other: int | None = await db.fetchval(_OTHER, name)
    which = "Another VM host" if other is None else f"VM host {other}"
    return InvalidRequest.of({"name": [f"{which} already has the name {name!r}. Choose another name."]})


async def free_host_name(db: Db, wanted: str, host_id: int | None = None) -> str:
    """Returns `wanted`, or with a number appended if another host than `host_id` has that name.

    `host-7` replaces the name `7`, which would be read as an id. A host that already has such a numbered name keeps it,
    so that a repeated call does not rename it. Another transaction can take the name meanwhile: the constraint decides.
    """
    wanted = f"host-{wanted}" if _is_number(wanted) else wanted
    taken = {row["name"] for row in await db.fetch(_SIMILAR, wanted, host_id)}
    if wanted not in taken:
        return wanted
    current: str | None = None if host_id is None else await db.fetchval(_NAME_OF, host_id)
    if current is not None and current.startswith(f"{wanted}-"):
        return current
    return next(name for number in count(2) if (name := f"{wanted}-{number}") not in taken)


def _is_number(name: str) -> bool:
    return name.isascii() and name.isdecimal()
