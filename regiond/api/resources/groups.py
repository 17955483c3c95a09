"""`zones/`, `zones/{name}/`, `resourcepools/` (and `pools/`), `resourcepool/{id}/`, `domains/`."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import evolve

from common.errors import NotFound
from regiond.api.endpoint import Call, Endpoint, Permission, Resource, Result
from regiond.api.field_types import Choice, Text
from regiond.api.fields import Field
from regiond.api.replies import Reply, empty_reply, json_reply
from regiond.api.serializer import array
from regiond.api.serializers.groups import DOMAIN_ID, DOMAIN_JSON, DOMAIN_NAME, POOL_WITH_STRATEGY_JSON, ZONE_JSON
from regiond.api.services import Services
from regiond.groups.model import MAX_NAME, ResourcePool, Zone

_NAME = Text(
    max_length=MAX_NAME,
    pattern=r"\w[\w -]*",
    message="Use letters, digits, underscores, blanks and hyphens; start with a letter, digit or underscore.",
)
_NEW = (
    Field(name="name", type=_NAME, required=True, doc="Unique name: letters, digits, blanks, hyphens, underscores."),
    Field(name="description", type=Text(max_length=4096), default="", doc="Description."),
)
_CHANGE = (
    Field(name="name", type=_NAME, doc="A new name."),
    Field(name="description", type=Text(max_length=4096), doc="A new description."),
)
_STRATEGY = Field(
    name="strategy",
    type=Choice(choices=("spread", "pack"), blank=""),
    doc="Placement of its machines: spread or pack; empty uses the setting of the region.",
)
_ZONE_RESULT = Result(doc="The zone.", type=ZONE_JSON)
_POOL_RESULT = Result(doc="The resource pool.", type=POOL_WITH_STRATEGY_JSON)


async def find_zone(services: Services, path: Mapping[str, str]) -> Zone:
    return await services.groups.zone(path["name"])


async def find_pool(services: Services, path: Mapping[str, str]) -> ResourcePool:
    return await services.groups.pool(path["id"])


async def _list_zones(call: Call) -> Reply:
    return json_reply([ZONE_JSON.encode(zone) for zone in await call.services.groups.zones()])


async def _create_zone(call: Call) -> Reply:
    created = await call.services.groups.create_zone(call.caller, call.values["name"], call.values["description"])
    return json_reply(ZONE_JSON.encode(created))


async def _read_zone(call: Call) -> Reply:
    return json_reply(ZONE_JSON.encode(call.target))


async def _update_zone(call: Call) -> Reply:
    changed = await call.services.groups.update_zone(
        call.caller,
        call.path["name"],
        new_name=call.values["name"] or None,
        description=call.values["description"],
    )
    return json_reply(ZONE_JSON.encode(changed))


async def _delete_zone(call: Call) -> Reply:
    await call.services.groups.delete_zone(call.caller, call.path["name"])
    return empty_reply()


async def _list_pools(call: Call) -> Reply:
    return json_reply([POOL_WITH_STRATEGY_JSON.encode(pool) for pool in await call.services.groups.pools()])


async def _create_pool(call: Call) -> Reply:
    values = call.values
    created = await call.services.groups.create_pool(
        call.caller, values["name"], values["description"], values["strategy"]
    )
    return json_reply(POOL_WITH_STRATEGY_JSON.encode(created))


async def _read_pool(call: Call) -> Reply:
    return json_reply(POOL_WITH_STRATEGY_JSON.encode(call.target))


async def _update_pool(call: Call) -> Reply:
    changed = await call.services.groups.update_pool(
        call.caller,
        call.path["id"],
        new_name=call.values["name"] or None,
        description=call.values["description"],
        strategy=call.values["strategy"],
    )
    return json_reply(POOL_WITH_STRATEGY_JSON.encode(changed))


async def _delete_pool(call: Call) -> Reply:
    await call.services.groups.delete_pool(call.caller, call.path["id"])
    return empty_reply()


async def _list_domains(_: Call) -> Reply:
    return json_reply([DOMAIN_JSON.encode(None)])


async def _find_domain(_: Services, path: Mapping[str, str]) -> None:
    if path["id"] not in {str(DOMAIN_ID), DOMAIN_NAME}:
        raise NotFound("No Domain matches the given query.")


async def _read_domain(_: Call) -> Reply:
    return json_reply(DOMAIN_JSON.encode(None))


ZONES = Resource(
    handler="ZonesHandler",
    path="zones/",
    doc="Zones: locations of hosts and machines.",
    endpoints=(
        Endpoint(
            method="GET",
            permission=Permission.USER,
            title="List zones",
            doc="All zones, by name.",
            result=Result(doc="The zones.", type=array(ZONE_JSON)),
            run=_list_zones,
        ),
        Endpoint(
            method="POST",
            permission=Permission.ADMIN,
            fields=_NEW,
            title="Create a zone",
            result=_ZONE_RESULT,
            run=_create_zone,
        ),
    ),
)
ZONE = Resource(
    handler="ZoneHandler",
    path="zones/{name}/",
    doc="One zone, by its name.",
    endpoints=(
        Endpoint(
            method="GET",
            permission=Permission.USER,
            title="Read a zone",
            result=_ZONE_RESULT,
            find=find_zone,
            run=_read_zone,
        ),
        Endpoint(
            method="PUT",
            permission=Permission.ADMIN,
            fields=_CHANGE,
            title="Update a zone",
            result=_ZONE_RESULT,
            find=find_zone,
            run=_update_zone,
        ),
        Endpoint(
            method="DELETE",
            permission=Permission.ADMIN,
            title="Delete a zone",
            doc="Its hosts and machines move to the default zone. A zone that does not exist is not an error.",
            result=Result(doc="Nothing."),
            success=204,
            run=_delete_zone,
        ),
    ),
)
POOLS = Resource(
    handler="ResourcePoolsHandler",
    path="resourcepools/",
    doc="Resource pools: groups of hosts and machines.",
    endpoints=(
        Endpoint(
            method="GET",
            permission=Permission.USER,
            title="List resource pools",
            doc="All resource pools, by name.",
            result=Result(doc="The resource pools.", type=array(POOL_WITH_STRATEGY_JSON)),
            run=_list_pools,
        ),
        Endpoint(
            method="POST",
            permission=Permission.ADMIN,
            fields=(*_NEW, evolve(_STRATEGY, default="")),
            title="Create a resource pool",
            result=_POOL_RESULT,
            run=_create_pool,
        ),
    ),
)
POOL = Resource(
    handler="ResourcePoolHandler",
    path="resourcepool/{id}/",
    doc="One resource pool, by its id or name.",
    endpoints=(
        Endpoint(
            method="GET",
            permission=Permission.USER,
            title="Read a resource pool",
            result=_POOL_RESULT,
            find=find_pool,
            run=_read_pool,
        ),
        Endpoint(
            method="PUT",
            permission=Permission.ADMIN,
            fields=(*_CHANGE, _STRATEGY),
            title="Update a resource pool",
            result=_POOL_RESULT,
            find=find_pool,
            run=_update_pool,
        ),
        Endpoint(
            method="DELETE",
            permission=Permission.ADMIN,
            title="Delete a resource pool",
            doc="Only an empty pool can be deleted, and not the default pool.",
            result=Result(doc="Nothing."),
            success=204,
            find=find_pool,
            run=_delete_pool,
        ),
    ),
)
DOMAINS = Resource(
    handler="DomainsHandler",
    path="domains/",
    doc="DNS domains. Innkeeper serves no DNS; its one domain completes the names of machines.",
    endpoints=(
        Endpoint(
            method="GET",
            permission=Permission.USER,
            title="List domains",
            result=Result(doc="The domains.", type=array(DOMAIN_JSON)),
            run=_list_domains,
        ),
    ),
)
DOMAIN = Resource(
    handler="DomainHandler",
    path="domains/{id}/",
    doc="One domain, by its id or name.",
    endpoints=(
        Endpoint(
            method="GET",
            permission=Permission.USER,
            title="Read a domain",
            result=Result(doc="The domain.", type=DOMAIN_JSON),
            find=_find_domain,
            run=_read_domain,
        ),
    ),
)
RESOURCES = (
    ZONES,
    ZONE,
    POOLS,
    POOLS.also(handler="PoolsHandler", path="pools/", described=False),
    POOL,
    DOMAINS,
    DOMAIN,
)
