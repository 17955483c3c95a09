"""Resolves the hosts, zones and pools that a request names into the filter of placement."""

from __future__ import annotations

from collections.abc import Iterable

from common.errors import InvalidRequest
from regiond.groups.model import ResourcePool, Zone
from regiond.groups.service import Groups
from regiond.hosts.service import Hosts
from regiond.machines.model import HostConstraints
from regiond.placement.model import HostFilter
from regiond.validation_messages import no_choice


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
    fields = {
        host_field: [one for one in constraints.hosts if not ids[one]],
        "zone": [one for one in constraints.zones if one not in zones],
        "not_in_zone": [one for one in constraints.not_in_zones if one not in zones],
        "pool": [one for one in constraints.pools if one not in pools],
        "not_in_pool": [one for one in constraints.not_in_pools if one not in pools],
    }
    problems = {field: [no_choice(one) for one in unknown] for field, unknown in fields.items() if unknown}
    if problems:
        raise InvalidRequest.of(problems)
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
    """Returns each group's name by its name and by its id. If a name equals the id of another group, the id wins."""
    found = list(groups)
    return {group.name: group.name for group in found} | {str(group.id): group.name for group in found}
