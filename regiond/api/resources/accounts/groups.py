"""`zones/`, `zones/{name}/`, `resourcepools/` (and `pools/`), `resourcepool/{id}/`."""

from __future__ import annotations

from attrs import evolve

from regiond.api.declaration import crud
from regiond.api.declaration.endpoint import Resource, Result
from regiond.api.declaration.field_types import Choice, Text
from regiond.api.declaration.fields import Field
from regiond.api.declaration.serializer import STR, Serializer, extended, key
from regiond.api.declaration.served import filled, found, part, serve, target, text
from regiond.api.resources.accounts import grants
from regiond.api.serializers.groups import POOL_JSON, ZONE_JSON
from regiond.groups.model import PoolChange, ResourcePool
from regiond.requests.identifiers import MAX_NAME, NAME_PATTERN

_NAME = Text(
    max_length=MAX_NAME,
    pattern=NAME_PATTERN,
    message="Use letters, digits, underscores, blanks and hyphens; start with a letter, digit or underscore.",
)
_NEW = (
    Field(
        "name",
        _NAME,
        "Unique name: letters, digits, blanks, hyphens, underscores.",
        recorded=True,
        required=True,
        example="east",
    ),
    Field("description", Text(max_length=4096), "Description.", default="", example="second floor"),
)
_CHANGE = (
    Field("name", _NAME, "A new name.", recorded=True, example="east"),
    Field("description", Text(max_length=4096), "A new description.", example="second floor"),
)
_STRATEGY = Field(
    "strategy",
    Choice(choices=("spread", "pack"), blank=""),
    "Placement of its machines: spread or pack; empty uses the setting of the region.",
)
_MOVE_TO = Field(
    "move_to",
    Text(max_length=MAX_NAME, blank=None),
    "Name of the zone to which the machines, hosts and clusters move first, and which its racks serve instead.",
    recorded=True,
)
POOL_WITH_STRATEGY_JSON: Serializer[ResourcePool] = extended(
    "ResourcePoolWithStrategy",
    POOL_JSON,
    lambda pool: pool,
    key("strategy", STR, lambda pool: pool.strategy or ""),
)
_ZONE = Result(doc="The zone.", type=ZONE_JSON)
_POOL = Result(doc="The resource pool.", type=POOL_WITH_STRATEGY_JSON)
_find_zone = found(lambda s: s.groups.zone, "name")
_find_pool = found(lambda s: s.groups.pool, "id")
_list_zones = serve(lambda s: s.groups.zones)
_create_zone = serve(lambda s: s.groups.create_zone, "name", "description")
_update_zone = serve(lambda s: s.groups.update_zone, "description", name=target("name"), new_name=text("name"))
_delete_zone = serve(lambda s: s.groups.delete_zone, "move_to", name=part("name"))
_list_pools = serve(lambda s: s.groups.pools)
_create_pool = serve(lambda s: s.groups.create_pool, new=filled(PoolChange))
_update_pool = serve(
    lambda s: s.groups.update_pool, id_or_name=part("id"), change=filled(PoolChange, name=text("name"))
)
_delete_pool = serve(lambda s: s.groups.delete_pool, id_or_name=part("id"))

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
