"""The workload of a host: its machines and its foreign guests."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from regiond.db.pool import Db
from regiond.hosts.maintenance.model import Maintenance
from regiond.hosts.model import GuestView
from regiond.hosts.views import guest_view_store
from regiond.hosts.views import view_store as host_view_store
from regiond.machines.core import view_store
from regiond.machines.values.model import MachineView
from regiond.requests.caller import Caller


@frozen(kw_only=True)
class HostWorkload:
    """A host's workload. `foreign` are guests as the last refresh found them; a machine may have no guest."""

    host_id: int
    host_name: str
    maintenance: Maintenance | None
    machines: tuple[MachineView, ...]
    foreign: tuple[GuestView, ...]


async def read_workloads(db: Db, host_ids: Sequence[int], *, caller: Caller | None = None) -> tuple[HostWorkload, ...]:
    """Returns the workloads, in the order of `host_ids`, with machines that the caller may see. Raises NotFound."""
    return tuple([await _workload(db, host_id, caller) for host_id in host_ids])


async def _workload(db: Db, host_id: int, caller: Caller | None) -> HostWorkload:
    host = await host_view_store.read_host(db, host_id)
    guests = await guest_view_store.guests_of_host(db, host_id)
    return HostWorkload(
        host_id=host.id,
        host_name=host.name,
        maintenance=host.maintenance,
        machines=await view_store.of_host(db, host_id, caller=caller),
        foreign=tuple(guest for guest in guests if guest.machine_id is None),
    )
