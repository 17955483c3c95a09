"""Opens the adoptions of the plan's machines, and claims the addresses of those that are here."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

from attrs import frozen

from common.errors import DatabaseUnavailable, InnkeeperError
from common.maas.inventory import Machine
from regiond.hosts.model import HostView
from regiond.maas.imports.apply_hosts import unusable
from regiond.maas.imports.model import PlanItem
from regiond.maas.imports.statuses import becomes
from regiond.maas.imports.work import Work
from regiond.machines.values.managed import ManagedLink, ManagedVm
from regiond.machines.values.states import MachineState

AT_ONCE = 400  # adoptions that are open at a time: enough for the seconds until more are opened
_PER_TRANSACTION = 50


async def open_adoptions(work: Work, here: Mapping[str, HostView], *, room: int) -> int:
    """Opens at most `room` adoptions and returns how many machines it dealt with; 0: none is left."""
    sources = {one.system_id: one for one in work.inventory.machines}
    by_host: dict[str, list[PlanItem]] = defaultdict(list)
    names = _Names.of(work)
    dealt = 0
    for item in work.to_do("machines"):
        host = here.get(sources[item.source_id].host_id)
        reason = "Its VM host was not added." if host is None else unusable(host)
        if reason:
            work.fail(item, reason)
        elif dealt < room:
            by_host[sources[item.source_id].host_id].append(item)
            dealt += 1
    for host_id, items in by_host.items():
        for start in range(0, len(items), _PER_TRANSACTION):
            await _open(work, here, host_id, items[start : start + _PER_TRANSACTION], sources, names)
    return dealt


async def _open(
    work: Work,
    here: Mapping[str, HostView],
    host_id: str,
    items: Sequence[PlanItem],
    sources: Mapping[str, Machine],
    names: _Names,
) -> None:
    """Asks the machine's host, then the other members of its cluster: it may have moved since."""
    wanted = {item.source_id: item for item in items}
    new = {one: names.managed(sources[one], item) for one, item in wanted.items()}
    first = here[host_id]
    others = [one for one in here.values() if first.cluster_id is not None and one.cluster_id == first.cluster_id]
    for host in (first, *(one for one in others if one.id != first.id)):
        try:
            opened = await work.rooms.adoptions.open(work.caller, host.id, list(new.values()), work.parent)
        except DatabaseUnavailable:
            raise
        except InnkeeperError as error:
            if len(items) == 1:
                work.fail(items[0], error.message)
                return
            for item in items:  # one of them is the reason
                await _open(work, here, host_id, [item], sources, names)
            return
        for system_id, reason in opened.rejected.items():
            work.fail(wanted[system_id], reason)
        new = {one: value for one, value in new.items() if one in opened.missing}
        if not new:
            return
    for system_id, value in new.items():
        reason = f"{first.name} has no VM {value.guest}: it was deleted, or it is in another project."
        work.fail(wanted[system_id], reason)


@frozen(kw_only=True)
class _Names:
    """The names here of what machines refer to, by the names in MAAS."""

    users: Mapping[str, str]
    zones: Mapping[str, str]
    pools: Mapping[str, str]
    tags: Callable[[Iterable[str]], tuple[str, ...]]

    @classmethod
    def of(cls, work: Work) -> _Names:
        return cls(**{kind: work.new_names(kind) for kind in ("users", "zones", "pools")}, tags=work.tag_names())

    def managed(self, machine: Machine, item: PlanItem) -> ManagedVm:
        owner = self.users.get(machine.owner)
        result = becomes(machine.status, owned=owner is not None)
        zone, pool = self.zones.get(machine.zone), self.pools.get(machine.pool)
        return ManagedVm(
            guest=machine.instance, system_id=machine.system_id, hostname=item.new_name,
            state=result.state or MachineState.READY, owner=None if result.state is MachineState.READY else owner,
            zone=f"name:{zone}" if zone else None, pool=f"name:{pool}" if pool else None,
            tags=self.tags(machine.tags), description=machine.description,
            owner_data=dict(machine.owner_data), locked=machine.locked,
            composed_by_allocate=bool(machine.dynamic) and owner is not None, error_description=result.note,
        )  # fmt: skip


async def claim_addresses(work: Work, present: Mapping[str, PlanItem], subnet_ids: Mapping[str, int]) -> None:
    """`present` are the machines that are here, by system id."""
    links = {one.system_id: _links(one) for one in work.inventory.machines if one.system_id in present}
    wanted = [(system_id, found) for system_id, found in links.items() if found]
    for start in range(0, len(wanted), _PER_TRANSACTION):
        reasons = await work.rooms.adoptions.claim_addresses(dict(wanted[start : start + _PER_TRANSACTION]), subnet_ids)
        for system_id, reason in reasons.items():
            work.fail(present[system_id], reason)


def _links(machine: Machine) -> tuple[ManagedLink, ...]:
    return tuple(
        ManagedLink(mac_address=nic.mac_address, mode=link.mode, cidr=link.subnet, address=link.ip)
        for nic in machine.nics
        for link in nic.links
        if link.mode in {"static", "auto"} and link.ip and link.subnet
    )
