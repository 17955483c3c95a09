"""Brings VM hosts with the key pairs that their servers trust, and what clusters are called."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import evolve

from common.errors import InvalidRequest
from common.maas.inventory import Host
from regiond.clusters.model import ClusterChange
from regiond.hosts.model import HostChange, HostState, HostView, NewHost, with_console_tag
from regiond.maas.imports.model import PARALLEL_RUN, PlanItem
from regiond.maas.imports.plan_groups import problem_of
from regiond.maas.imports.plan_hosts import driver_of, known_hosts
from regiond.maas.imports.region_state import RegionState, read_hosts
from regiond.maas.imports.work import Work
from regiond.tags.model import check_name as check_tag_name

_NO_WAIT_S = 0.05  # the import waits for the first refreshes of all hosts together


async def bring_hosts(work: Work, *, simulated_allowed: bool) -> None:
    by_id = {one.id: one for one in work.inventory.hosts}
    zones, pools, tags = work.new_names("zones"), work.new_names("pools"), work.tag_names()
    for item in work.to_do("hosts"):
        async with work.attempt(item):
            host = by_id[item.source_id]
            new = _new_host(evolve(host, tags=tags(host.tags)), item, zones=zones, pools=pools)
            if not work.state.is_in_charge(item.source_id):
                new = evolve(new, maintenance=work.in_charge, maintenance_holder=PARALLEL_RUN)
            try:
                await work.rooms.hosts.create(work.caller, new, wait_s=_NO_WAIT_S)
            except InvalidRequest:
                # The first refresh of another member may have added it since the plan; `finish_hosts` does the rest.
                if not await _is_here(work, host, simulated_allowed=simulated_allowed):
                    raise


async def _is_here(work: Work, host: Host, *, simulated_allowed: bool) -> bool:
    async with work.rooms.database.connection() as db:
        state = evolve(work.state, hosts=await read_hosts(db))
    return bool(known_hosts(evolve(work.inventory, hosts=(host,)), state, simulated_allowed=simulated_allowed))


def _new_host(host: Host, item: PlanItem, *, zones: Mapping[str, str], pools: Mapping[str, str]) -> NewHost:
    driver = driver_of(host)
    if driver is None:
        raise AssertionError(f"the plan leaves out hosts of type {host.power_type}")
    tags = tuple(one for one in host.tags if not problem_of(check_tag_name, one))
    has_pair = bool(host.certificate and host.key)
    return NewHost(
        driver=driver, address=host.power_address, name=item.new_name, project=host.project,
        zone=_reference(zones.get(host.zone)), pool=_reference(pools.get(host.pool)), tags=tags,
        cpu_over_commit_ratio=host.cpu_over_commit_ratio, memory_over_commit_ratio=host.memory_over_commit_ratio,
        default_macvlan_mode=host.default_macvlan_mode or None,
        certificate=host.certificate if has_pair else None, key=host.key if has_pair else None,
        yields_pair=True, password=None if has_pair else host.password or None, power_pass=host.power_pass or None,
    )  # fmt: skip


def _reference(name: str | None) -> str | None:
    return None if not name else f"name:{name}"


async def hosts_here(work: Work, state: RegionState, *, simulated_allowed: bool) -> dict[str, HostView]:
    """Returns the hosts of the plan that are here, by their ids in MAAS. `state` is as of after `bring_hosts`."""
    left_out = {one.source_id for one in work.plan.of("hosts") if one.is_left_out}
    known = known_hosts(work.inventory, state, simulated_allowed=simulated_allowed)
    ids = {source_id: one.id for source_id, one in known.items() if source_id not in left_out}
    views = {one.id: one for one in await work.rooms.hosts.read_all(sorted(set(ids.values())))}
    return {source_id: views[host_id] for source_id, host_id in ids.items() if host_id in views}


def unusable(host: HostView) -> str:
    """Returns why the machines of a host cannot be found now; empty if they can."""
    if host.state is HostState.READY:
        return ""
    problem = (host.error_message or "it has not been refreshed yet").rstrip(".")
    return f"{host.name}: {problem}. Import again when {host.name} is ready."


async def finish_hosts(work: Work, here: dict[str, HostView]) -> None:
    """Gives hosts and clusters of this import what can be known only after their first refresh.

    A member that the refresh of another one has added gets its tags and ratios, too; its name is that of the member,
    and zone and resource pool are those of the cluster.
    """
    tags, items = work.tag_names(), {one.source_id: one for one in work.plan.of("hosts")}
    for host in work.inventory.hosts:
        view = here.get(host.id)
        if view is None or view.created_at < work.began_at:
            continue
        item, change = items[host.id], _default_pool(host, view)
        if view.cluster_id is not None:
            new = _new_host(evolve(host, tags=tags(host.tags)), item, zones={}, pools={})
            change = _of_member(new, view, change)
        if change != HostChange():
            async with work.attempt(item):
                await work.rooms.hosts.update(work.caller, view.id, change, wait_s=_NO_WAIT_S)
    await _finish_clusters(work, here)


def _default_pool(host: Host, view: HostView) -> HostChange:
    wanted = next((one for one in view.storage_pools if one.name == host.default_storage_pool), None)
    return HostChange(default_storage_pool=None if wanted is None or wanted.is_default else wanted.pool_key)


def _of_member(new: NewHost, view: HostView, change: HostChange) -> HostChange:
    """Returns the change with what the import would have created the host with, if the host differs from it."""
    settings = new.settings()
    has_tags = with_console_tag(new.tags or ()) == with_console_tag(view.tags)
    if has_tags and all(getattr(view, name) == value for name, value in settings.items()):
        return change
    return evolve(change, tags=new.tags, **settings)


async def _finish_clusters(work: Work, here: dict[str, HostView]) -> None:
    known = {one.id: one for one in await work.rooms.clusters.list()}
    zones, pools = work.new_names("zones"), work.new_names("pools")
    by_id = {one.id: one for one in work.inventory.clusters}
    for item in work.to_do("clusters"):
        cluster = by_id[item.source_id]
        members = [here[one.id] for one in work.inventory.hosts if one.cluster_id == cluster.id and one.id in here]
        ids = {one.cluster_id for one in members if one.cluster_id is not None}
        reasons = [reason for one in members if (reason := unusable(one))]
        if not ids and reasons:
            work.fail(item, reasons[0])
        elif len(ids) != 1:
            work.fail(item, "Its members are in different clusters." if ids else "Its members are in no cluster here.")
        elif (found := known[ids.pop()]).name != item.new_name:
            async with work.attempt(item):
                zone, pool = zones.get(cluster.zone), pools.get(cluster.pool)
                change = ClusterChange(name=item.new_name, zone=_reference(zone), pool=_reference(pool))
                await work.rooms.clusters.update(work.caller, found.id, change)
