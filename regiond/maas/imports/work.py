"""A plan that is carried out: the rooms that it acts on, and a record of what failed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Protocol

from attrs import Factory, define, frozen

from common.errors import DatabaseUnavailable, InnkeeperError
from common.maas.inventory import Inventory
from regiond.accounts.model import ImportedUser
from regiond.clusters.service import Clusters
from regiond.db.pool import Database
from regiond.dns.service import Dns
from regiond.groups.service import Groups
from regiond.hosts.service import Hosts
from regiond.maas.imports.model import KEEP, Failure, ItemState, Plan, PlanItem
from regiond.maas.imports.region_state import RegionState
from regiond.machines.arrivals.adoption.imports import MachineAdoptions
from regiond.networks.service import Networks
from regiond.operations.model import Parent
from regiond.requests.caller import Caller
from regiond.tags.service import Tags


class UserImports(Protocol):
    async def bring(
        self, caller: Caller, user: ImportedUser, *, is_new: bool, operator_of: Sequence[int] = ()
    ) -> tuple[str, ...]:
        """Creates the user, or adds its keys to the user of that name; returns what could not be brought."""


@frozen(kw_only=True)
class Rooms:
    database: Database
    groups: Groups
    tags: Tags
    networks: Networks
    dns: Dns
    users: UserImports
    hosts: Hosts
    clusters: Clusters
    adoptions: MachineAdoptions


@define(kw_only=True)
class Work:
    """One run over a plan. `failed` are the objects that this operation could not bring, in any of its attempts.

    `host` is the only host that it takes over, by id in MAAS; empty: all of the plan is brought.
    """

    rooms: Rooms
    caller: Caller
    inventory: Inventory
    plan: Plan
    state: RegionState  # as of the plan
    in_charge: str  # the reason of the maintenance of hosts that Innkeeper is not in charge of
    parent: Parent
    began_at: datetime
    host: str = ""
    failed: dict[tuple[str, str], Failure] = Factory(dict)

    def to_do(self, kind: str) -> tuple[PlanItem, ...]:
        """Returns the objects of this kind that are not here yet and did not fail before."""
        if self.host and kind in {"hosts", "clusters"}:
            return ()
        wanted = (ItemState.NEW, ItemState.CONFLICT)
        return tuple(
            one
            for one in self.concerned(kind)
            if one.state in wanted and not one.is_left_out and one.choice != KEEP and one.key not in self.failed
        )

    def concerned(self, kind: str) -> tuple[PlanItem, ...]:
        """Returns the plan's objects of this kind; the machines of only one host, if that is taken over."""
        if not self.host or kind != "machines":
            return self.plan.of(kind)
        of_host = {one.system_id for one in self.inventory.machines if one.host_id == self.host}
        return tuple(one for one in self.plan.of(kind) if one.source_id in of_host)

    @property
    def obstacles(self) -> tuple[Failure, ...]:
        """The failures that make the operation fail: if one host is taken over, those of its machines."""
        return tuple(one for one in self.failed.values() if not self.host or one.kind == "machines")

    def fail(self, item: PlanItem, reason: str) -> None:
        self.failed[item.key] = Failure(kind=item.kind, source_id=item.source_id, name=item.name, reason=reason)

    @asynccontextmanager
    async def attempt(self, item: PlanItem) -> AsyncIterator[None]:
        """Records an error of the block as that of the object. An unavailable database ends the attempt."""
        try:
            yield
        except DatabaseUnavailable:
            raise
        except InnkeeperError as error:
            self.fail(item, error.message)

    def new_names(self, kind: str) -> Mapping[str, str]:
        """Returns the names here, by the names in MAAS, of objects that are not left out."""
        return {one.name: one.new_name for one in self.plan.of(kind) if not one.is_left_out}

    def tag_names(self) -> Callable[[Iterable[str]], tuple[str, ...]]:
        """Returns what gives the names here of tags of a host or machine, without those that are left out."""
        items = {one.name: one for one in self.plan.of("tags")}

        def names(found: Iterable[str]) -> tuple[str, ...]:
            kept = (name for name in found if name not in items or not items[name].is_left_out)
            return tuple(items[name].new_name if name in items else name for name in kept)

        return names
