"""`zones/`, `zones/{name}/`, `resourcepools/` (and `pools/`), `resourcepool/{id}/`."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import evolve

from regiond.api.declaration import crud
from regiond.api.declaration.dry_run import is_dry_run
from regiond.api.declaration.endpoint import Call, Resource, Result
from regiond.api.declaration.field_types import Choice, Text
from regiond.api.declaration.fields import Field
from regiond.api.resources.accounts import grants
from regiond.api.serializers.groups import POOL_WITH_STRATEGY_JSON, ZONE_JSON
from regiond.api.services import Services
from regiond.deletion_plan import DeletionPlan
from regiond.groups.model import ResourcePool, Zone
from regiond.identifiers import MAX_NAME, NAME_PATTERN

_NAME = Text(
    max_length=MAX_NAME,
    pattern=NAME_PATTERN,
    message="Use letters, digits, underscores, blanks and hyphens; start with a letter, digit or underscore.",
)
_NEW = (
    Field(
        name="name",
        type=_NAME,
        recorded=True,
        required=True,
        doc="Unique name: letters, digits, blanks, hyphens, underscores.",
        example="east",
    ),
    Field(name="description", type=Text(max_length=4096), default="", doc="Description.", example="second floor"),
)
_CHANGE = (
    Field(name="name", type=_NAME, recorded=True, doc="A new name.", example="east"),
    Field(name="description", type=Text(max_length=4096), doc="A new description.", example="second floor"),
)
_STRATEGY = Field(
    name="strategy",
    type=Choice(choices=("spread", "pack"), blank=""),
    doc="Placement of its machines: spread or pack; empty uses the setting of the region.",
)
_MOVE_TO = Field(
    name="move_to",
    type=Text(max_length=MAX_NAME, blank=None),
    recorded=True,
    doc="Name of the zone to which the machines, hosts and clusters move first, and which its racks serve instead.",
)
_ZONE = Result(doc="The zone.", type=ZONE_JSON)
_POOL = Result(doc="The resource pool.", type=POOL_WITH_STRATEGY_JSON)


async def _find_zone(services: Services, path: Mapping[str, str]) -> Zone:
    return await services.groups.zone(path["name"])


async def _find_pool(services: Services, path: Mapping[str, str]) -> ResourcePool:
    return await services.groups.pool(path["id"], caller=services.caller)


async def _list_zones(call: Call) -> tuple[Zone, ...]:
    return await call.services.groups.zones()


async def _create_zone(call: Call) -> Zone:
    return await call.services.groups.create_zone(call.caller, call.values["name"], call.values["description"])


async def _update_zone(call: Call) -> Zone:
    return await call.services.groups.update_zone(
        call.caller,
        call.target.name,
        new_name=call.values["name"] or None,
        description=call.values["description"],
    )


async def _delete_zone(call: Call) -> DeletionPlan:
    move_to = call.values["move_to"]
    return await call.services.groups.delete_zone(
        call.caller, call.path["name"], move_to=move_to, dry_run=is_dry_run(call)
    )


async def _list_pools(call: Call) -> tuple[ResourcePool, ...]:
    return await call.services.groups.pools(caller=call.caller)


async def _create_pool(call: Call) -> ResourcePool:
    values = call.values
    return await call.services.groups.create_pool(
        call.caller, values["name"], values["description"], values["strategy"]
    )


async def _update_pool(call: Call) -> ResourcePool:
    return await call.services.groups.update_pool(
        call.caller,
        call.path["id"],
        new_name=call.values["name"] or None,
        description=call.values["description"],
        strategy=call.values["strategy"],
    )


async def _delete_pool(call: Call) -> DeletionPlan:
    return await call.services.groups.delete_pool(call.caller, call.path["id"], dry_run=is_dry_run(call))


ZONES = Resource(
    handler="ZonesHandler",
    path="zones/",
    doc="Zones: locations of hosts and machines.",
    endpoints=(
        crud.list_of(ZONE_JSON, _list_zones, title="List zones", doc="All zones, by name.", result="The zones."),
        crud.create(_ZONE, _create_zone, title="Create a zone", fields=_NEW),
    ),
)
ZONE = Resource(
    handler="ZoneHandler",
    path="zones/{name}/",
    doc="One zone, by its name.",
    endpoints=(
        crud.read_target(_ZONE, _find_zone, title="Read a zone"),
        crud.update(_ZONE, _update_zone, title="Update a zone", find=_find_zone, fields=_CHANGE),
        crud.delete(
            _delete_zone,
            title="Delete a zone",
            doc=(
                "A zone with machines, hosts or clusters can only be deleted with move_to; the default zone cannot be "
                "deleted. A zone that does not exist is not an error."
            ),
            fields=(_MOVE_TO,),
        ),
    ),
)
POOLS = Resource(
    handler="ResourcePoolsHandler",
    path="resourcepools/",
    doc="Resource pools: groups of hosts and machines.",
    endpoints=(
        crud.list_of(
            POOL_WITH_STRATEGY_JSON,
            _list_pools,
            title="List resource pools",
            doc="All resource pools that you may see, by name.",
            result="The resource pools.",
        ),
        crud.create(_POOL, _create_pool, title="Create a resource pool", fields=(*_NEW, evolve(_STRATEGY, default=""))),
        grants.ALL_GRANTS,
    ),
)
POOL = Resource(
    handler="ResourcePoolHandler",
    path="resourcepool/{id}/",
    doc="One resource pool, by its id or name.",
    endpoints=(
        crud.read_target(_POOL, _find_pool, title="Read a resource pool"),
        crud.update(_POOL, _update_pool, title="Update a resource pool", find=_find_pool, fields=(*_CHANGE, _STRATEGY)),
        crud.delete(
            _delete_pool,
            title="Delete a resource pool",
            doc="Only an empty pool can be deleted, and not the default pool. Roles in it and its quota end.",
            find=_find_pool,
        ),
        *grants.of_pool(_find_pool),
    ),
)
RESOURCES = (
    ZONES,
    ZONE,
    POOLS,
    POOLS.also(handler="PoolsHandler", path="pools/", described=False),
    POOL,
)
