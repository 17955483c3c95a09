"""Resolves the hosts, zones and pools that a request names for placement; checks the roles."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from common.errors import InvalidRequest, NotFound
from regiond.groups.model import ResourcePool, Zone
from regiond.groups.service import Groups
from regiond.hosts.service import Hosts
from regiond.machines.values.requests import HostConstraints
from regiond.placement.requirements import HostFilter
from regiond.requests.caller import Caller
from regiond.requests.identifiers import ID_PREFIX, NAME_PREFIX
from regiond.requests.validation_messages import no_object, no_objects, none_such


async def resolve_host_filter(
    constraints: HostConstraints, hosts: Hosts, groups: Groups, *, caller: Caller | None, host_field: str = "host"
) -> HostFilter:
    """Returns the filter of hosts.

    Raises InvalidRequest with every unknown value by field: `zone`, `not_in_zone`, `pool`, `not_in_pool`.
    `host_field` is the field that names hosts. Unknown tags and unknown excluded hosts are not errors. For a caller
    that is no administrator, raises NotFound for unknown hosts and pools and for those that it may not see, and
    NotAllowed for those in which it is no operator. No caller: a request whose caller was checked before.
    """
    if caller is not None and not caller.is_admin:
        await _check_roles(caller, constraints, hosts, groups)
    zones = _names(await groups.zones()) if constraints.zones or constraints.not_in_zones else {}
    pools = _names(await groups.pools(caller=caller)) if constraints.pools or constraints.not_in_pools else {}
    named = {*constraints.hosts, *constraints.not_hosts}
    ids = await hosts.ids_of(named, caller=caller) if named else {}
    unknown_hosts = [one for one in constraints.hosts if not ids[one]]
    problems = {
        "zone": _unknown("zone", constraints.zones, zones),
        "not_in_zone": _unknown("zone", constraints.not_in_zones, zones),
        "pool": _unknown("pool", constraints.pools, pools),
        "not_in_pool": _unknown("pool", constraints.not_in_pools, pools),
    }
    if unknown_hosts:
        names = await hosts.names(caller=caller)
        problems[host_field] = no_objects("VM host", unknown_hosts, names)
    found = {field: messages for field, messages in problems.items() if messages}
    if found:
        raise InvalidRequest.of(found)
    return HostFilter(
        host_ids=frozenset[int]().union(*(ids[one] for one in constraints.hosts)),
        not_host_ids=frozenset[int]().union(*(ids[one] for one in constraints.not_hosts)),
        drivers=constraints.types,
        not_drivers=constraints.not_types,
        zones=tuple(zones[one] for one in constraints.zones),
        not_zones=tuple(zones[one] for one in constraints.not_in_zones),
        pools=tuple(pools[one] for one in constraints.pools),
        not_pools=tuple(pools[one] for one in constraints.not_in_pools),
        tags=constraints.tags,
        not_tags=constraints.not_tags,
        architectures=constraints.architectures,
        not_architectures=constraints.not_architectures,
    )


async def operated_pool(caller: Caller | None, groups: Groups, id_or_name: str) -> ResourcePool | None:
    """Returns the pool of the request field `pool`, in which the caller is an operator.

    Raises NotAllowed or, for a pool that the caller may not see, NotFound; for an administrator InvalidRequest.
    """
    if caller is None or caller.is_admin:
        return await groups.requested_pool(id_or_name)
    try:
        pool = await groups.pool(id_or_name, caller=caller)
    except NotFound:
        known = [one.name for one in await groups.pools(caller=caller)]
        raise NotFound(no_object("resource pool", id_or_name, known)) from None
    caller.require_operator(pool.id, pool.name)
    return pool


async def _check_roles(caller: Caller, constraints: HostConstraints, hosts: Hosts, groups: Groups) -> None:
    for id_or_name in constraints.pools:
        await operated_pool(caller, groups, id_or_name)
    ids = await hosts.ids_of(constraints.hosts, caller=caller) if constraints.hosts else {}
    for id_or_name, found in ids.items():
        if not found:
            raise NotFound(no_object("VM host", id_or_name, await hosts.names(caller=caller)))
        host = await hosts.read(min(found))
        caller.require_operator(host.pool.id, host.pool.name)


def _names(groups: Iterable[Zone | ResourcePool]) -> dict[str, str]:
    """Returns each group's name by its name, id, `name:NAME` and `id:ID`; an id wins over the name of another group."""
    found = list(groups)
    return {
        **{group.name: group.name for group in found},
        **{NAME_PREFIX + group.name: group.name for group in found},
        **{f"{ID_PREFIX}{group.id}": group.name for group in found},
        **{str(group.id): group.name for group in found},
    }


def _unknown(kind: str, requested: Iterable[str], known: Mapping[str, str]) -> list[str]:
    choices = sorted(set(known.values()))
    return none_such(kind, [one for one in requested if one not in known], choices)
