"""Reads and changes spaces, which group VLANs that can reach each other."""

from __future__ import annotations

from common.errors import InvalidRequest
from regiond.db.pool import reading, unique
from regiond.events.service import Events
from regiond.networks import change_store, store
from regiond.networks.base_service import BaseService, check_text, find_space
from regiond.networks.model import Space
from regiond.placement.requirements import NO_SPACE
from regiond.requests.caller import Caller
from regiond.requests.deletion_plan import AffectedRecord, DeletionPlan


class Spaces(BaseService):
    spaces = reading(store.spaces)
    space = reading(find_space)

    async def create_space(self, caller: Caller, *, name: str | None = None, description: str = "") -> Space:
        """The default name is `space-` with its id."""
        caller.require_admin()
        _check(name or None, description)
        async with self.changing(caller) as db:
            with unique("name", f"A space {name!r} already exists."):
                created = await change_store.insert_space(db, name or None, description)
            space = (await store.spaces(db, [created]))[0]
            await Events.record(db, "space_created", f"The space {space.name!r} was created.", caller=caller)
            return space

    async def update_space(
        self, caller: Caller, id_or_name: str, *, name: str | None = None, description: str | None = None
    ) -> Space:
        """None leaves a field unchanged. Raises NotFound."""
        caller.require_admin()
        _check(name, description)
        async with self.changing(caller) as db:
            space = await find_space(db, id_or_name)
            with unique("name", f"A space {name!r} already exists."):
                await change_store.update_space(db, space.id, name, description)
            await Events.record(db, "space_changed", f"The space {space.name!r} was changed.", caller=caller)
            return (await store.spaces(db, [space.id]))[0]

    async def delete_space(self, caller: Caller, id_or_name: str, *, dry_run: bool = False) -> DeletionPlan:
        """Deletes the space; its VLANs are in no space then. Raises NotFound."""
        caller.require_admin()
        async with self.changing(caller, dry_run=dry_run) as db:
            space = await find_space(db, id_or_name)
            await change_store.delete_space(db, space.id)
            await Events.record(db, "space_deleted", f"The space {space.name!r} was deleted.", caller=caller)
        vlans = (
            AffectedRecord(kind="VLAN", id=str(vlan.id), name=f"{vlan.vid} of the fabric {vlan.fabric_name!r}")
            for vlan in space.vlans
        )
        subnets = (AffectedRecord(kind="subnet", id=str(one.id), name=str(one.cidr)) for one in space.subnets)
        return DeletionPlan(
            name=space.name,
            deleted=(AffectedRecord(kind="space", id=str(space.id), name=space.name),),
            kept=(*vlans, *subnets),
            effects=("Its VLANs are in no space afterwards.",) if space.vlans else (),
        )


def _check(name: str | None, description: str | None) -> None:
    check_text(name=name, description=description)
    if name == NO_SPACE:
        raise InvalidRequest.of({"name": [f"{NO_SPACE!r} is reserved: it means no space."]})
