"""Makes a host reserve the addresses that the ledger has for a machine."""

from __future__ import annotations

from attrs import evolve

from common.rpc.commands.host_commands import HOST_SET_ADDRESSES, SetAddressesCall
from regiond.db.pool import Db
from regiond.machines.core import nic_store
from regiond.machines.core.guest_spec import nic_spec
from regiond.machines.core.steps import Target
from regiond.networks.ipam import link_store
from regiond.operations.handler import Journal, fence_of
from regiond.operations.model import Operation
from regiond.racks.calls.host_calls import HostCalls

SET_ADDRESSES_DEADLINE_S = 60.0


async def with_nics_of_ledger(db: Db, target: Target) -> Target:
    """Returns the target with its NICs as they are linked now."""
    found = await nic_store.of_machines(db, [target.machine_id])
    known = {nic.mac_address for nic in target.spec.nics}  # empty for an adopted machine
    nics = tuple(nic_spec(nic) for nic in found.get(target.machine_id, ()) if nic.mac_address in known)
    return evolve(target, spec=evolve(target.spec, nics=nics))


async def set_addresses(calls: HostCalls, operation: Operation, target: Target, journal: Journal) -> None:
    """Makes the host reserve the addresses of the target, whose guest is off. Raises NotFound without the guest."""
    await journal.write("reserve_addresses", lambda db: link_store.begin_reservation(db, target.machine_id))
    await journal.step("set_addresses", reaches_host=True)
    fence = fence_of(operation, str(target.spec.marker.machine_id))
    await calls.call(
        target.host_id,
        HOST_SET_ADDRESSES,
        lambda access: SetAddressesCall(access=access, spec=target.spec, fence=fence),
        deadline_s=SET_ADDRESSES_DEADLINE_S,
    )
