"""Reads and changes fabrics and their VLANs."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import evolve

from common.errors import InvalidRequest, NotFound
from common.values import MAX_VID
from common.words.phrases import number_of
from regiond.db.pool import Db, reading, unique
from regiond.events.service import Events
from regiond.networks import change_store, interface_store, store
from regiond.networks.base_service import BaseService, check_text, find_fabric, find_space, find_vlan, first_names
from regiond.networks.model import DEFAULT_FABRIC_ID, Fabric, Vlan, VlanChange
from regiond.placement.requirements import NO_SPACE
from regiond.requests.caller import Caller
from regiond.requests.deletion_plan import AffectedRecord, DeletionPlan
from regiond.requests.identifiers import split_reference
from regiond.requests.validation_messages import REQUIRED, no_object

SMALLEST_MTU, LARGEST_MTU = 552, 65535


class Fabrics(BaseService):
    fabrics = reading(store.fabrics)
    fabric = reading(find_fabric)

    async def create_fabric(
        self, caller: Caller, *, name: str | None = None, class_type: str | None = None, description: str = ""
    ) -> Fabric:
        """Creates a fabric with an untagged VLAN. The default name is `fabric-` with its id."""
        caller.require_admin()
        check_text(name=name or None, class_type=class_type, description=description)
        async with self.changing(caller) as db:
            with unique("name", f"A fabric {name!r} already exists."):
                created = await change_store.insert_fabric(db, name or None, class_type or None, description)
            await change_store.insert_vlan(db, created, 0)
            fabric = (await store.fabrics(db, [created]))[0]
            await Events.record(db, "fabric_created", f"The fabric {fabric.name!r} was created.", caller=caller)
            return fabric

    async def update_fabric(
        self,
        caller: Caller,
        id_or_name: str,
        *,
        name: str | None = None,
        class_type: str | None = None,
        description: str | None = None,
    ) -> Fabric:
        """None leaves a field unchanged; a `class_type` of `""` removes it. Raises NotFound."""
        caller.require_admin()
        check_text(name=name, class_type=class_type, description=description)
        async with self.changing(caller) as db:
            fabric = await find_fabric(db, id_or_name)
            with unique("name", f"A fabric {name!r} already exists."):
                await change_store.update_fabric(db, fabric.id, name, class_type, description)
            await Events.record(db, "fabric_changed", f"The fabric {fabric.name!r} was changed.", caller=caller)
            return (await store.fabrics(db, [fabric.id]))[0]

    async def delete_fabric(self, caller: Caller, id_or_name: str, *, dry_run: bool = False) -> DeletionPlan:
        """Deletes the fabric and its VLANs. Raises NotFound, and InvalidRequest if it is the default or has subnets."""
        caller.require_admin()
        async with self.changing(caller, dry_run=dry_run) as db:
            fabric = await find_fabric(db, id_or_name)
            if fabric.id == DEFAULT_FABRIC_ID:
                raise InvalidRequest("The default fabric cannot be deleted.")
            await _check_without_subnets(db, f"fabric {fabric.name!r}", [vlan.id for vlan in fabric.vlans])
            effects = await _effects_on_interfaces(db, fabric.vlans)
            await change_store.delete_fabric(db, fabric.id)
            await Events.record(db, "fabric_deleted", f"The fabric {fabric.name!r} was deleted.", caller=caller)
        deleted = AffectedRecord(kind="fabric", id=str(fabric.id), name=fabric.name)
        return DeletionPlan(name=fabric.name, deleted=(deleted, *map(_affected, fabric.vlans)), effects=effects)

    vlan = reading(find_vlan)

    async def create_vlan(self, caller: Caller, fabric: str, change: VlanChange) -> Vlan:
        """Creates a VLAN in the fabric with this id or name; `vid` is required. Raises NotFound for the fabric."""
        caller.require_admin()
        _check_vlan(change)
        if change.vid is None:
            raise InvalidRequest.of({"vid": [REQUIRED]})
        async with self.changing(caller) as db:
            into = await find_fabric(db, fabric)
            with unique("vid", f"The fabric {into.name!r} already has a VLAN {change.vid}."):
                created = await change_store.insert_vlan(db, into.id, change.vid)
            vlan = await _write_vlan(db, await find_vlan(db, created), evolve(change, vid=None, fabric=None))
            await Events.record(db, "vlan_created", f"{_described(vlan)} was created.", caller=caller)
            return vlan

    async def update_vlan(self, caller: Caller, vlan_id: int, change: VlanChange) -> Vlan:
        """Raises NotFound, and InvalidRequest if the fabric has a VLAN with that `vid`."""
        caller.require_admin()
        _check_vlan(change)
        async with self.changing(caller) as db:
            vlan = await _write_vlan(db, await find_vlan(db, vlan_id), change)
            await Events.record(db, "vlan_changed", f"{_described(vlan)} was changed.", caller=caller)
            return vlan

    async def delete_vlan(self, caller: Caller, vlan_id: int, *, dry_run: bool = False) -> DeletionPlan:
        """Raises NotFound, and InvalidRequest if it is a fabric's untagged VLAN or has subnets."""
        caller.require_admin()
        async with self.changing(caller, dry_run=dry_run) as db:
            vlan = await find_vlan(db, vlan_id)
            if vlan.vid == 0:
                raise InvalidRequest(f"The untagged VLAN of the fabric {vlan.fabric_name!r} cannot be deleted.")
            await _check_without_subnets(db, _described(vlan), [vlan.id])
            effects = await _effects_on_interfaces(db, [vlan])
            await change_store.delete_vlan(db, vlan.id)
            await Events.record(db, "vlan_deleted", f"{_described(vlan)} was deleted.", caller=caller)
        return DeletionPlan(name=vlan.name, deleted=(_affected(vlan),), effects=effects)


async def _write_vlan(db: Db, vlan: Vlan, change: VlanChange) -> Vlan:
    vid = vlan.vid if change.vid is None else change.vid
    fabric_id = vlan.fabric_id if change.fabric is None else (await chosen_fabric(db, change.fabric)).id
    if vlan.vid == 0 and (vid, fabric_id) != (0, vlan.fabric_id):
        field = "vid" if vid else "fabric"
        raise InvalidRequest.of(
            {field: [f"The untagged VLAN of the fabric {vlan.fabric_name!r} cannot be moved or tagged."]}
        )
    space_id = vlan.space_id
    if change.space is not None:
        space_id = await chosen_space_id(db, change.space)
    with unique("vid", f"That fabric already has a VLAN {vid}."):
        await change_store.update_vlan(
            db, vlan.id, fabric_id=fabric_id, vid=vid, name=change.name, mtu=change.mtu, space_id=space_id,
            description=change.description,
        )  # fmt: skip
    return await find_vlan(db, vlan.id)


async def chosen_fabric(db: Db, id_or_name: str) -> Fabric:
    """Raises InvalidRequest under `fabric`."""
    try:
        return await find_fabric(db, id_or_name)
    except NotFound:
        names = [fabric.name for fabric in await store.fabrics(db)]
        raise InvalidRequest.of({"fabric": [no_object("fabric", id_or_name, names)]}) from None


async def chosen_space_id(db: Db, id_or_name: str) -> int | None:
    """None for `""` and for `undefined`. Raises InvalidRequest under `space`."""
    if id_or_name in {"", NO_SPACE}:
        return None
    try:
        return (await find_space(db, id_or_name)).id
    except NotFound:
        names = [space.name for space in await store.spaces(db)]
        raise InvalidRequest.of({"space": [no_object("space", id_or_name, names)]}) from None


async def chosen_vlan(db: Db, id_or_name: str) -> Vlan:
    """The VLAN with that id or name. Raises InvalidRequest under `vlan`, also for a name that several VLANs have."""
    id_, name = split_reference(id_or_name.strip())
    known = await store.vlans(db)
    found = [vlan for vlan in known if str(vlan.id) == id_] or [vlan for vlan in known if vlan.name == name]
    if not found:
        names = sorted({vlan.name for vlan in known if vlan.name})
        raise InvalidRequest.of({"vlan": [no_object("VLAN", id_or_name, names)]})
    if len(found) > 1:
        listed = first_names([f"{vlan.id} in {vlan.fabric_name}" for vlan in found])
        raise InvalidRequest.of({"vlan": [f"{len(found)} VLANs are named {name!r}: use the id: {listed}."]})
    return found[0]


def _check_vlan(change: VlanChange) -> None:
    wrong: dict[str, list[str]] = {}
    if change.vid is not None and not 0 <= change.vid <= MAX_VID:
        wrong["vid"] = [f"{change.vid} is not between 0 and {MAX_VID}."]
    if change.mtu is not None and not SMALLEST_MTU <= change.mtu <= LARGEST_MTU:
        wrong["mtu"] = [f"{change.mtu} is not between {SMALLEST_MTU} and {LARGEST_MTU}."]
    if wrong:
        raise InvalidRequest.of(wrong)
    check_text(name=change.name, description=change.description)


async def _check_without_subnets(db: Db, described: str, vlan_ids: list[int]) -> None:
    subnets = await store.subnets(db, vlan_ids=vlan_ids)
    if subnets:
        named = first_names([subnet.name for subnet in subnets])
        raise InvalidRequest(
            f"The {described} cannot be deleted: it has {number_of(len(subnets), 'subnet')} ({named}).",
            subnets=len(subnets),
        )


async def _effects_on_interfaces(db: Db, vlans: Iterable[Vlan]) -> tuple[str, ...]:
    """Sentences on the interfaces of hosts that lose their VLAN; none if there are no such interfaces."""
    names = await interface_store.names_on_vlans(db, [vlan.id for vlan in vlans])
    if not names:
        return ()
    return (f"{number_of(len(names), 'network interface')} of VM hosts without a VLAN: {first_names(names)}.",)


def _affected(vlan: Vlan) -> AffectedRecord:
    return AffectedRecord(kind="VLAN", id=str(vlan.id), name=f"{vlan.vid} of the fabric {vlan.fabric_name!r}")


def _described(vlan: Vlan) -> str:
    return f"VLAN {vlan.vid} of the fabric {vlan.fabric_name!r}"
