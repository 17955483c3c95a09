"""VM hosts of a MAAS and their clusters, from its answers. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from attrs import evolve

from common.maas.inventory import Cluster, Host, LeftOut
from regiond.maas.source.answers import (
    Answers,
    Row,
    Rows,
    flag,
    fraction,
    inner,
    inner_rows,
    name_of,
    number,
    required,
    text,
    texts,
)

_LXD = "lxd"


def hosts(answers: Answers) -> tuple[Host, ...]:
    """The hosts, without their clusters."""
    return tuple(_host(one, answers.parameters[number(one, "id")]) for one in answers.hosts)


def storage_pools(found: Rows) -> Mapping[str, Mapping[str, str]]:
    """By host id: the names of its storage pools by the id that disks refer to (libvirt: the UUID)."""
    return {
        required(one, "id"): {text(pool, "id"): text(pool, "name") for pool in inner_rows(one, "storage_pools")}
        for one in found
    }


def with_clusters(
    found: tuple[Host, ...], answers: Answers
) -> tuple[tuple[Host, ...], tuple[Cluster, ...], tuple[LeftOut, ...]]:
    """Returns the hosts with the clusters that they form, all clusters, and those whose hosts cannot be told.

    The API does not say which hosts form a cluster. All members have the project of the cluster and, since a changed
    certificate is copied to all of them, the same certificate; a cluster says how many it has.
    """
    clusters = tuple(
        Cluster(id=required(one, "id"), name=required(one, "name"), project=text(one, "project"))
        for one in answers.clusters
    )
    counts = {required(one, "id"): number(one, "vmhost_count") for one in answers.clusters}
    groups = _groups(found)
    cluster_of: dict[str, str] = {}
    unknown: list[LeftOut] = []
    for cluster in clusters:
        members = _members(cluster, counts, clusters, groups)
        cluster_of |= dict.fromkeys(members, cluster.id)
        if not members:
            unknown.append(_unknown(cluster, counts[cluster.id]))
    known = tuple(evolve(host, cluster_id=cluster_of.get(host.id, "")) for host in found)
    left = {one.id for one in unknown}
    return known, tuple(one for one in clusters if one.id not in left), tuple(unknown)


def _host(one: Row, parameters: Row) -> Host:
    power_type = required(one, "type")
    default = [text(pool, "name") for pool in inner_rows(one, "storage_pools") if flag(pool, "default")]
    return Host(
        id=required(one, "id"),
        name=text(one, "name"),
        power_type=power_type,
        power_address=required(parameters, "power_address"),
        project=text(parameters, "project"),
        member=text(parameters, "instance_name"),
        zone=name_of(one, "zone"),
        pool=name_of(one, "pool"),
        tags=texts(one, "tags"),
        cpu_over_commit_ratio=fraction(one, "cpu_over_commit_ratio", 1.0),
        memory_over_commit_ratio=fraction(one, "memory_over_commit_ratio", 1.0),
        default_storage_pool=default[0] if default else "",
        default_macvlan_mode=text(one, "default_macvlan_mode"),
        architecture=next(iter(texts(one, "architectures")), ""),
        hypervisor_version=text(one, "version"),
        certificate=text(parameters, "certificate"),
        key=text(parameters, "key"),
        password=text(parameters, "password") if power_type == _LXD else "",
        power_pass=text(parameters, "power_pass"),
        machine_system_id=text(inner(one, "host"), "system_id"),
    )


def _groups(found: tuple[Host, ...]) -> Mapping[tuple[str, str], list[Host]]:
    """Hosts of LXD by project and certificate, which are the same for all members of a cluster."""
    groups: dict[tuple[str, str], list[Host]] = defaultdict(list)
    for host in found:
        if host.power_type == _LXD and host.certificate:
            groups[host.project, "".join(host.certificate.split())].append(host)
    return groups


def _members(
    cluster: Cluster,
    counts: Mapping[str, int],
    clusters: tuple[Cluster, ...],
    groups: Mapping[tuple[str, str], list[Host]],
) -> tuple[str, ...]:
    """Returns the ids of the hosts, none if several groups of hosts could be this cluster."""
    size = counts[cluster.id]
    fitting = [found for (project, _), found in groups.items() if project == cluster.project and len(found) == size]
    if size == 1:  # a cluster that grew from one host: other single hosts of this project look the same
        named = [found for found in fitting if found[0].name == cluster.name or found[0].member]
        fitting = named if len(fitting) > 1 else fitting
    rivals = [one for one in clusters if one.project == cluster.project and counts[one.id] == size]
    if len(fitting) > 1 or len(rivals) > 1:  # MAAS names a cluster after the host that it grew from
        fitting = [found for found in fitting if any(host.name == cluster.name for host in found)]
    return tuple(host.id for host in fitting[0]) if len(fitting) == 1 else ()


def _unknown(cluster: Cluster, size: int) -> LeftOut:
    return LeftOut(
        kind="clusters",
        id=cluster.id,
        name=cluster.name,
        reason=(
            f"The API of MAAS does not say which {size} hosts form this cluster, and no or several groups of hosts "
            f"have project {cluster.project} and one certificate. A dump of the database says it."
        ),
    )
