"""Plans clusters: one here is that of MAAS if it has the same members, whatever its name. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from attrs import evolve

from common.errors import InnkeeperError
from common.maas.inventory import Cluster, Host, Inventory
from common.trust.certificates import fingerprint, load_certificate
from regiond.hosts.host_names import check_host_name
from regiond.maas.imports.model import LEAVE_OUT, RENAME, Choices, ItemState, PlanItem, chosen
from regiond.maas.imports.plan_groups import problem_of
from regiond.maas.imports.region_state import KnownHost, RegionState


def cluster_items(
    inventory: Inventory,
    state: RegionState,
    hosts: Mapping[str, PlanItem],
    here: Mapping[str, KnownHost],
    choices: Choices,
) -> Iterator[PlanItem]:
    """`hosts` are the plan's, `here` those of the inventory that are here, both by source id."""
    names = set(state.clusters)
    for cluster in inventory.clusters:
        members = [one for one in inventory.hosts if one.cluster_id == cluster.id and one.id in hosts]
        item = chosen(_cluster_item(cluster, members, state, hosts, here), choices.get(("clusters", cluster.id), ""))
        if item.is_renamed:
            item = item.unless(_name_problem(item.new_name, names))
            item = evolve(item, becomes=_becomes(item.new_name, members, hosts))
        if not item.stays_behind:
            names.add(item.new_name)
        yield item


def _cluster_item(
    cluster: Cluster,
    members: list[Host],
    state: RegionState,
    hosts: Mapping[str, PlanItem],
    here: Mapping[str, KnownHost],
) -> PlanItem:
    item = PlanItem(kind="clusters", source_id=cluster.id, name=cluster.name, state=ItemState.LEFT_OUT)
    if all(hosts[one.id].stays_behind for one in members):
        reason = "None of its members is imported." if members else "The source does not say which hosts are in it."
        return evolve(item, reason=reason)
    item = evolve(item, becomes=_becomes(cluster.name, members, hosts))
    named = state.clusters.get(cluster.name)
    if named is None:
        return evolve(item, state=ItemState.NEW)
    found = {here[one.id].cluster_id for one in members if one.id in here} - {0}
    if found == {named}:
        return evolve(item, state=ItemState.EXISTS)
    if named in found:
        reason = f"Its members are in {len(found)} clusters here; one of them is {cluster.name}."
        return evolve(item, state=ItemState.CONFLICT, reason=reason, choices=(LEAVE_OUT,))
    reason = (
        f"Another cluster here is named {cluster.name}: none of the members of this one is in it by address and "
        f"project, and {_trust(members, state, named)}."
    )
    return evolve(item, state=ItemState.CONFLICT, reason=reason, choices=(RENAME, LEAVE_OUT))


def _becomes(name: str, members: list[Host], hosts: Mapping[str, PlanItem]) -> str:
    names = (hosts[one.id].new_name for one in members if not hosts[one.id].stays_behind)
    return f"cluster {name} of {', '.join(names)}"


def _name_problem(name: str, names: set[str]) -> str:
    """`names` are those of the clusters that are here, and of those of the plan before this one."""
    return f"Another cluster is named {name}." if name in names else problem_of(check_host_name, name)


def _trust(members: list[Host], state: RegionState, cluster_id: int) -> str:
    """Returns in words whether both clusters trust the same certificate of a client."""
    there = {one for host in members if (one := _fingerprint(host.certificate))}
    here = {one.certificate_fingerprint for one in state.hosts if one.cluster_id == cluster_id}
    if there & here:
        return "yet both trust the same certificate: leave it out if it is the same at other addresses"
    return "it trusts another certificate" if there else "MAAS has no certificate to compare"


def _fingerprint(pem: str) -> str:
    try:
        return fingerprint(load_certificate(pem)) if pem else ""
    except InnkeeperError:
        return ""
