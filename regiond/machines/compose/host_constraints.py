"""Resolves the hosts, zones and pools that a request names into the filter of placement."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from common.errors import InvalidRequest
from regiond.groups.model import ResourcePool, Zone
from regiond.groups.service import Groups
from regiond.hosts.service import Hosts
from regiond.identifiers import ID_PREFIX, NAME_PREFIX
from regiond.machines.model import HostConstraints
from regiond.placement.model import HostFilter
from regiond.validation_messages import no_object


async def resolve_host_filter(
    constraints: HostConstraints, hosts: Hosts, groups: Groups, *, host_field: str = "host"
) -> HostFilter:
    """Raises InvalidRequest with every unknown value by field: `zone`, `not_in_zone`, `pool`, `not_in_pool`.

    `host_field` is the field that names hosts. Unknown tags and unknown excluded hosts are not errors.
    """
    zones = _names(await groups.zones()) if constraints.zones or constraints.not_in_zones else {}
    pools = _names(await groups.pools()) if constraints.pools or constraints.not_in_pools else {}
    named = {*constraints.hosts, *constraints.not_hosts}
    ids = await hosts.ids_of(named) if named else {}
    unknown_hosts = [one for one in constraints.hosts if not ids[one]]
    problems = {
        "zone": _unknown("zone", constraints.zones, zones),
        "not_in_zone": _unknown("zone", constraints.not_in_zones, zones),
        "pool": _unknown("resource pool", constraints.pools, pools),
        "not_in_pool": _unknown("resource pool", constraints.not_in_pools, pools),
    }
    if unknown_hosts:
        names = await hosts.names()
        problems[host_field] = [no_object("VM host", one, names) for one in unknown_hosts]
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
    return [no_object(kind, one, choices) for one in requested if one not in known]
