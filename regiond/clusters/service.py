"""Reads, changes and removes clusters; adds hosts for the members that discovery reports."""

from __future__ import annotations

import structlog

from common.addresses.lxd import parse as parse_lxd_address
from common.errors import NotFound, WrongState
from common.values import HostFacts
from regiond.clusters import store
from regiond.clusters.model import ClusterChange, ClusterView, view
from regiond.db.pool import Database, Db, reading
from regiond.events.model import Level
from regiond.events.service import Events
from regiond.groups.service import Groups
from regiond.hosts.operation_intents import Confirm
from regiond.hosts.removal_model import HostRemoval
from regiond.hosts.service import Hosts
from regiond.operations.model import Operation
from regiond.requests.caller import Caller
from regiond.requests.identifiers import new_host_system_id

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


async def apply_membership(db: Db, host_id: int, facts: HostFacts) -> None:
    """Adds a host for each other member of the host's cluster, and records which of them are offline.

    `facts` has only members that `MemberCheck` accepted. Joins the caller's transaction. Idempotent. Raises WrongState
    if another host is the same member.
    """
    if facts.cluster_member is None:
        return
    host = await store.member_host(db, host_id)
    cluster = await store.find_or_create(db, host)
    known = await store.members(db, cluster.id)
    other = known.get(facts.cluster_member, host_id)
    if other != host_id:
        raise WrongState(
            f"This is the cluster member {facts.cluster_member}, which VM host {other} already is at another address. "
            "Remove one of the two hosts.",
            host=other,
        )
    await store.join(db, host_id, cluster.id, facts.cluster_member)
    excluded_members = set(cluster.excluded_members) - {facts.cluster_member}
    for member in facts.cluster_members:
        if member.name == facts.cluster_member or member.name in excluded_members:
            continue
        there = known.get(member.name)
        if there is None:
            address = parse_lxd_address(member.address).normalised
            there = await store.add_member_host(
                db, host, cluster.id, member=member.name, address=address, system_id=new_host_system_id()
            )
            if there is not None:
                message = f"{member.name} was added: it is in the same cluster as {facts.cluster_member}"
                await Events.record(db, "cluster_member_added", message, host_id=there)
        if there is not None and not member.online:
            message = f"The cluster reports that its member {member.name} is offline."
            if await store.set_offline(db, there, message):
                await Events.record(db, "cluster_member_offline", message, level=Level.WARNING, host_id=there)


class Clusters:
    def __init__(self, database: Database, hosts: Hosts, groups: Groups) -> None:
        self._database = database
        self._hosts = hosts
        self._groups = groups

    count = reading(store.count_clusters)

    async def list(self, *, caller: Caller | None = None) -> tuple[ClusterView, ...]:
        """By id, those that the caller may see; no caller: all."""
        async with self._database.connection() as db:
            rows = await store.list_clusters(db, caller=caller)
        hosts = await self._hosts.read_all([host_id for row in rows for host_id in row.host_ids])
        by_id = {host.id: host for host in hosts}
        return tuple(view(row, [by_id[one] for one in row.host_ids if one in by_id]) for row in rows)

    async def read(self, cluster_id: int, *, caller: Caller | None = None) -> ClusterView:
        """Raises NotFound, also for a cluster that the caller may not see."""
        async with self._database.connection() as db:
            rows = await store.list_clusters(db, cluster_id, caller=caller)
        if not rows:
            raise NotFound(f"There is no VM cluster {cluster_id}.", cluster=cluster_id)
        return view(rows[0], await self._hosts.read_all(rows[0].host_ids))

    async def update(self, caller: Caller, cluster_id: int, change: ClusterChange) -> ClusterView:
        """Changes the cluster and the hosts of its members. Raises NotFound, InvalidRequest by field. Idempotent."""
        caller.require_admin()
        before = await self.read(cluster_id)
        zone_id = await self._groups.requested_zone_id(change.zone)
        pool_id = await self._groups.requested_pool_id(change.pool)

        async def write(db: Db) -> None:
            await store.change(db, cluster_id, name=change.name, zone_id=zone_id, pool_id=pool_id)
            await Events.record(db, "cluster_changed", f"The cluster {before.name} was changed", caller=caller)

        await self._database.in_transaction(write)  # a new zone locks the machines, as many others do
        return await self.read(cluster_id)

    async def start_remove(
        self, caller: Caller, cluster_id: int, removal: HostRemoval, *, confirm: Confirm | None = None
    ) -> tuple[Operation, ...]:
        """Opens a removal for each member's host, or for none. The cluster is deleted with the last host.

        `confirm` is that of `Hosts.start_remove`.
        """
        caller.require_admin()
        cluster = await self.read(cluster_id)
        return await self._hosts.start_removals(caller, cluster.host_ids, removal, confirm=confirm)

    @staticmethod
    async def leave(db: Db, host_id: int) -> None:
        """See `regiond.hosts.steps.HostClusters`."""
        await store.leave(db, host_id)

    @staticmethod
    async def drop_empty(db: Db) -> None:
        """See `regiond.hosts.steps.HostClusters`."""
        await store.drop_empty(db)
