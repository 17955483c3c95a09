"""What can be done with clusters: look, change, remove; and how a member's discovery brings in the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from common.errors import NotFound, WrongState
from common.lxd_address import parse as parse_lxd_address
from common.values import HostFacts
from regiond.accounts.model import Caller
from regiond.clusters import store
from regiond.clusters.model import ClusterChange, ClusterView, view
from regiond.db.pool import Database
from regiond.events.model import Level
from regiond.events.service import Events
from regiond.groups.service import Groups
from regiond.hosts.service import Hosts
from regiond.names import new_system_id
from regiond.operations.model import Operation

if TYPE_CHECKING:
    from regiond.db.pool import Db

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


async def take_in(db: Db, host_id: int, facts: HostFacts) -> None:
    """A host turned out to be a member: the others are added, and those offline are said to be so.

    Inside the caller's transaction; nothing is written when all is known. Raises WrongState when another host is that
    member already, under another address.
    """
    if facts.cluster_member is None:
        return
    host = await store.member_host(db, host_id)
    cluster = await store.found(db, host)
    known = await store.members(db, cluster.id)
    other = known.get(facts.cluster_member, host_id)
    if other != host_id:
        raise WrongState(
            f"This is {facts.cluster_member}, a member of a cluster that is known already: it is VM host {other}, at "
            "another address. Remove one of the two.",
            host=other,
        )
    await store.join(db, host_id, cluster.id, facts.cluster_member)
    left_out = set(cluster.left_out) - {facts.cluster_member}
    for member in facts.cluster_members:
        if member.name == facts.cluster_member or member.name in left_out:
            continue
        there = known.get(member.name)
        if there is None:
            address = parse_lxd_address(member.address).normalised
            there = await store.add_sibling(
                db, host, cluster.id, member=member.name, address=address, system_id=new_system_id()
            )
            if there is not None:
                message = f"{member.name} was added: it is a member of the cluster of {facts.cluster_member}"
                await Events.record(db, "cluster_member_added", message, host_id=there)
        if there is not None and not member.online:
            message = f"The cluster says that its member {member.name} is offline."
            if await store.set_offline(db, there, message):
                await Events.record(db, "cluster_member_offline", message, level=Level.WARNING, host_id=there)


class Clusters:
    def __init__(self, database: Database, hosts: Hosts, groups: Groups) -> None:
        self._database = database
        self._hosts = hosts
        self._groups = groups

    async def list(self) -> tuple[ClusterView, ...]:
        """By id."""
        async with self._database.connection() as db:
            rows = await store.list_clusters(db)
        hosts = await self._hosts.list() if rows else ()
        return tuple(view(row, hosts) for row in rows)

    async def read(self, cluster_id: int) -> ClusterView:
        """Raises NotFound."""
        async with self._database.connection() as db:
            rows = await store.list_clusters(db, cluster_id)
        if not rows:
            raise NotFound("Not Found", cluster=cluster_id)
        return view(rows[0], await self._hosts.list())

    async def update(self, caller: Caller, cluster_id: int, change: ClusterChange) -> ClusterView:
        caller.require_admin()
        before = await self.read(cluster_id)
        zone_id, pool_id = await self._groups.asked_zone_id(change.zone), await self._groups.asked_pool_id(change.pool)
        async with self._database.transaction() as db:
            await store.change(db, cluster_id, name=change.name, zone_id=zone_id, pool_id=pool_id)
            await Events.record(db, "cluster_changed", f"The cluster {before.name} was changed", caller=caller)
        return await self.read(cluster_id)

    async def start_remove(self, caller: Caller, cluster_id: int, *, decompose: bool) -> tuple[Operation, ...]:
        """One removal for each member's host; the cluster is forgotten with the last."""
        caller.require_admin()
        cluster = await self.read(cluster_id)
        return tuple(
            [await self._hosts.start_remove(caller, host_id, decompose=decompose) for host_id in cluster.host_ids]
        )

    @staticmethod
    async def leave(db: Db, host_id: int) -> None:
        """Before the host of a member is removed by a person: its siblings do not bring it back."""
        await store.leave(db, host_id)

    @staticmethod
    async def drop_empty(db: Db) -> None:
        """After it: a cluster without hosts is forgotten."""
        await store.drop_empty(db)
