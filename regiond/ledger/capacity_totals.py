"""Adds up the capacity of hosts, so that a server with several hosts counts once. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping

from common.hosts.capacity import Capacity, ResourceCapacity
from regiond.ledger.model import FleetCapacity, GroupCapacity, HostCapacity
from regiond.placement.candidate import same_seen_by, sum_of, sum_of_storage

_UNREACHABLE = "unreachable"


def fleet_capacity(hosts: Iterable[HostCapacity]) -> FleetCapacity:
    """Returns the capacity of all hosts, of each zone and of each resource pool.

    A server counts once in each group that has one of its hosts. So if its hosts are in two pools, both pools count it,
    each with the claims of the other as `elsewhere`, and their sum can exceed the fleet.
    """
    hosts = tuple(hosts)
    return FleetCapacity(
        fleet=_group(None, hosts),
        zones=_groups(hosts, lambda host: host.zone),
        pools=_groups(hosts, lambda host: host.pool),
    )


def _groups(hosts: Iterable[HostCapacity], name_of: Callable[[HostCapacity], str]) -> tuple[GroupCapacity, ...]:
    grouped: defaultdict[str, list[HostCapacity]] = defaultdict(list)
    for host in hosts:
        grouped[name_of(host)].append(host)
    return tuple(_group(name, grouped[name]) for name in sorted(grouped))


def _group(name: str | None, hosts: Collection[HostCapacity]) -> GroupCapacity:
    known = [host for host in hosts if host.capacity is not None]
    reached = [host for host in known if host.state != _UNREACHABLE]
    servers = {host.server_id for host in reached}
    unreachable = [host for host in known if host.server_id not in servers]
    open_hosts = [host for host in known if host.is_open]
    return GroupCapacity(
        name=name,
        states=Counter(host.state for host in hosts),
        servers=len(servers),
        capacity=total_capacity(host for host in known if host.server_id in servers),
        unreachable_servers=len({host.server_id for host in unreachable}),
        unreachable=total_capacity(unreachable),
        open_hosts=len(open_hosts),
        open=total_capacity(open_hosts),
    )


def total_capacity(hosts: Iterable[HostCapacity]) -> Capacity:
    """Returns the sum over the servers of these hosts; hosts of unknown capacity do not count.

    `claimed` is held by machines of these hosts, `elsewhere` by everything else on their servers. A storage pool that
    the members of a cluster share counts once. Storage pools and ports of the same name are added up; `storage_bytes`
    counts what pools of a server share once.
    """
    known = [host for host in hosts if host.capacity is not None]
    pools = _by_name(known, lambda capacity: capacity.storage_pools, _pool_identity)
    pinned = _by_name(known, _pinned_cores, _on_server)
    return Capacity(
        cores=_by_name(known, lambda capacity: {"": capacity.cores}, _on_server).get("", ResourceCapacity()),
        memory_mib=_by_name(known, lambda capacity: {"": capacity.memory_mib}, _on_server).get("", ResourceCapacity()),
        storage_bytes=_storage(known),
        storage_pools=pools,
        pinned_cores=pinned.get(""),
        huge_pages=_by_name(known, lambda capacity: capacity.huge_pages, _on_server),
        virtual_functions=_by_name(known, lambda capacity: capacity.virtual_functions, _on_server),
    )


def _storage(hosts: Iterable[HostCapacity]) -> ResourceCapacity:
    return sum_of_storage(
        ((_pool_identity(host, name), host.storage_ids.get(name) or (name,)), one)
        for host in hosts
        if host.capacity is not None
        for name, one in host.capacity.storage_pools.items()
    )


def _pinned_cores(capacity: Capacity) -> Mapping[str, ResourceCapacity]:
    return {} if capacity.pinned_cores is None else {"": capacity.pinned_cores}


def _on_server(host: HostCapacity, _: str) -> Hashable:
    return host.server_id


def _pool_identity(host: HostCapacity, name: str) -> Hashable:
    shared = host.cluster is not None and name in host.shared_pools
    return host.cluster if shared else host.server_id


def _by_name(
    hosts: Iterable[HostCapacity],
    resources: Callable[[Capacity], Mapping[str, ResourceCapacity]],
    identity: Callable[[HostCapacity, str], Hashable],
) -> dict[str, ResourceCapacity]:
    """Merges what hosts share, as `identity` says, then adds up by name."""
    views: defaultdict[str, defaultdict[Hashable, list[ResourceCapacity]]] = defaultdict(lambda: defaultdict(list))
    for host in hosts:
        if host.capacity is not None:
            for name, one in resources(host.capacity).items():
                views[name][identity(host, name)].append(one)
    return {name: sum_of(same_seen_by(shared) for shared in views[name].values()) for name in sorted(views)}
