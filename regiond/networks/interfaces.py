"""Reads the interfaces of hosts, and sets their VLAN and tags."""

from __future__ import annotations

from common.errors import InvalidRequest, NotFound
from regiond.db.pool import Db
from regiond.events.service import Events
from regiond.networks import interface_store
from regiond.networks.base_service import BaseService
from regiond.networks.fabrics import chosen_vlan
from regiond.networks.model import HostInterface
from regiond.requests.caller import Caller
from regiond.requests.identifiers import MAX_NAME, findable


class Interfaces(BaseService):
    async def interfaces(self, host_system_id: str, *, caller: Caller | None = None) -> tuple[HostInterface, ...]:
        """By id, with missing ones. Raises NotFound for the host, also for one that the caller may not see."""
        async with self._database.connection() as db:
            host_id = await interface_store.host_id(db, findable(host_system_id), caller=caller)
            if host_id is None:
                raise NotFound(f"There is no VM host with system id {host_system_id!r}.")
            return await interface_store.interfaces(db, host_id=host_id)

    async def update_interface(
        self, caller: Caller, interface_id: int, *, vlan: str | None = None, tags: tuple[str, ...] | None = None
    ) -> HostInterface:
        """`vlan` is an id, which discovery does not change any more, or `""`: discovery decides. Raises NotFound."""
        caller.require_admin()
        if tags is not None:
            tags = _checked(tags)
        async with self.changing(caller) as db:
            interface = await _find(db, interface_id)
            if vlan is not None:
                chosen = None if vlan == "" else await chosen_vlan(db, vlan)
                await interface_store.choose_vlan(db, interface.id, chosen.id if chosen else None)
            if tags is not None:
                await interface_store.set_tags(db, interface.id, tags)
            await Events.record(
                db, "interface_changed", f"The interface {interface.name!r} was changed.", caller=caller,
                host_id=interface.host_id,
            )  # fmt: skip
            return await _find(db, interface.id)


async def _find(db: Db, interface_id: int) -> HostInterface:
    found = await interface_store.interfaces(db, interface_id=interface_id)
    if not found:
        raise NotFound(f"There is no interface with id {interface_id}.")
    return found[0]


def _checked(tags: tuple[str, ...]) -> tuple[str, ...]:
    """Each tag once. Constraints cannot name a tag with a comma, a semicolon or `&`."""
    for tag in tags:
        if not tag or len(tag) > MAX_NAME or not tag.isprintable() or set(tag) & set(",;& "):
            raise InvalidRequest.of(
                {"tags": [f"{tag!r} is not a tag: 1 to {MAX_NAME} printable characters without blank , ; and &."]}
            )
    return tuple(dict.fromkeys(tags))
