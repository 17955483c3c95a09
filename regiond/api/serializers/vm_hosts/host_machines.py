"""A VM host as the machine that MAAS's clients expect below `machines/`."""

from __future__ import annotations

from uuid import UUID

from common.values import PowerState
from regiond.hosts.model import HostState, HostView
from regiond.machines.values.model import MachineView
from regiond.machines.values.states import MachineState

_NO_UUID = UUID(int=0)


def as_machine(host: HostView) -> MachineView:
    """Returns a deployed machine without owner, disks and NICs: the host's are below `vm-hosts/` and `nodes/`."""
    return MachineView(
        id=0,
        uuid=_NO_UUID,
        system_id=host.system_id,
        hostname=host.name,
        state=MachineState.DEPLOYED,
        power_state=(PowerState.UNKNOWN if host.state is HostState.UNREACHABLE else PowerState.ON).value,
        architecture=host.architecture or "",
        cores=host.total.cores if host.total is not None else 0,
        memory_mib=host.total.memory_mib if host.total is not None else 0,
        tags=host.tags,
        pool=host.pool,
        zone=host.zone,
        owner=None,
        description=f"The VM host {host.name}.",
        host_id=None,
        host_name=None,
        host_system_id=None,
        driver=None,
        guest_id=None,
        created_at=host.created_at,
        is_vm_host=True,
    )
