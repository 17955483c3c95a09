"""Checks the network that an administrator chooses for NICs without constraints."""

from __future__ import annotations

from common.errors import InvalidRequest
from regiond.db.pool import Db
from regiond.requests.validation_messages import no_object

_NAMES = """
    select distinct name from host_interface
     where host_id = $1 and missing_since is null and attachable and kind <> 'user' order by name
"""


async def check_default_network(db: Db, host_id: int, name: str | None) -> None:
    """Raises InvalidRequest unless the host has an interface of the name to which it can attach a NIC.

    None is unchanged, and the empty name leaves the choice to placement.
    """
    if not name:
        return
    known = await networks_of(db, host_id)
    if name not in known:
        message = no_object("network", name, known) if known else "The networks of the host are not known yet."
        raise InvalidRequest.of({"default_network": [message]})


async def networks_of(db: Db, host_id: int) -> tuple[str, ...]:
    """Returns the names of interfaces to which the host can attach a NIC."""
    return tuple(row["name"] for row in await db.fetch(_NAMES, host_id))
