"""Writes on the host, before anything uses a machine, how often a use of it has begun."""

from __future__ import annotations

from common.errors import UnsupportedByPeer
from common.rpc.commands.host_commands import HOST_SET_GENERATION, SetGenerationCall
from regiond.machines.core import store
from regiond.machines.core.steps import Target
from regiond.machines.values.guest_request import GuestRequest
from regiond.operations.handler import Journal, fence_of
from regiond.operations.model import Operation
from regiond.racks.calls.connected_racks import lacks_command
from regiond.racks.calls.host_calls import HostCalls

DEADLINE_S = 60.0


async def write_generation(calls: HostCalls, operation: Operation, target: Target, journal: Journal) -> None:
    """Returns when the guest has the generation of the operation, if that begins a use of the machine. Idempotent.

    A database that is restored from an earlier backup then shows that the guest was used since. A rack of an older
    release cannot write it: the use begins without. Raises NotFound without the guest.
    """
    generation = operation.request_as(GuestRequest).generation
    if generation is None:
        return
    fence = fence_of(operation, str(target.spec.marker.machine_id))
    await journal.step("set_generation", reaches_host=True, generation=generation)
    try:
        await calls.call(
            target.host_id,
            HOST_SET_GENERATION,
            lambda access: SetGenerationCall(access=access, guest=target.spec.ref, generation=generation, fence=fence),
            deadline_s=DEADLINE_S,
        )
    except UnsupportedByPeer as error:
        if not lacks_command(error):
            raise
        await journal.note("the host keeps no record of this use", reason=error.message)
        return
    await journal.write("generation_written", lambda db: store.set_guest_generation(db, target.machine_id, generation))
