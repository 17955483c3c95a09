"""From the hosts that a person asks for to the filter that placement knows."""

from __future__ import annotations

from collections.abc import Iterable

from common.errors import InvalidRequest
from regiond.field_words import no_choice
from regiond.groups.model import ResourcePool, Zone
from regiond.groups.service import Groups
from regiond.hosts.service import Hosts
from regiond.machines.model import AskedHosts
from regiond.placement.model import HostFilter


async def host_filter(asked: AskedHosts, hosts: Hosts, groups: Groups, *, host: str = "host") -> HostFilter:
    """Raises InvalidRequest by field (`zone`, `not_in_zone`, `pool`, `not_in_pool`, and what `host` says for
    hosts) with all that is unknown.

    A tag is no such thing: hosts have it or they do not. Nor is a host that is excluded.
    """
    zones = _names(await groups.zones()) if asked.zones or asked.not_in_zones else {}
    pools = _names(await groups.pools()) if asked.pools or asked.not_in_pools else {}
    ids = await hosts.ids_of({*asked.hosts, *asked.not_hosts}) if asked.hosts or asked.not_hosts else {}
    unknown_hosts = {host: [one for one in asked.hosts if not ids[one]]}
    _refuse_unknown(
        **unknown_hosts,
        zone=[one for one in asked.zones if one not in zones],
        not_in_zone=[one for one in asked.not_in_zones if one not in zones],
        pool=[one for one in asked.pools if one not in pools],
        not_in_pool=[one for one in asked.not_in_pools if one not in pools],
    )
    return HostFilter(
        host_ids=frozenset[int]().union(*(ids[one] for one in asked.hosts)),
        not_host_ids=frozenset[int]().union(*(ids[one] for one in asked.not_hosts)),
        drivers=asked.types,
        not_drivers=asked.not_types,
        zones=tuple(zones[one] for one in asked.zones),
        not_zones=tuple(zones[one] for one in asked.not_in_zones),
        pools=tuple(pools[one] for one in asked.pools),
        not_pools=tuple(pools[one] for one in asked.not_in_pools),
        tags=asked.tags,
        not_tags=asked.not_tags,
        architectures=asked.architectures,
        not_architectures=asked.not_architectures,
    )


def _names(groups: Iterable[Zone | ResourcePool]) -> dict[str, str]:
    """The name of each group by its name and by its id; when one group is named as the id of another, the id counts."""
    found = list(groups)
    return {group.name: group.name for group in found} | {str(group.id): group.name for group in found}


def _refuse_unknown(**fields: list[str]) -> None:
    wrong = {field: [no_choice(one) for one in unknown] for field, unknown in fields.items() if unknown}
    if wrong:
        raise InvalidRequest.of(wrong)
