"""Checks whether a host answers now: only a dead host is removed by force."""

from __future__ import annotations

from common.errors import (
    DatabaseUnavailable,
    DeadlineExceeded,
    HostHung,
    HostUnreachable,
    InnkeeperError,
    LinkLost,
    PeerChanged,
    RackUnreachable,
    WrongState,
)
from common.rpc.commands.host_commands import HOST_REACH, HostCall
from regiond.hosts.model import HostState, HostView
from regiond.hosts.removal_model import HostRemoval
from regiond.racks.calls.host_calls import HostCalls

PROBE_DEADLINE_S = 15.0

# A changed identity means that another server answers at the address.
_DEAD = (HostUnreachable, HostHung, DeadlineExceeded, PeerChanged)
_UNKNOWN = (RackUnreachable, LinkLost)


async def require_removable(calls: HostCalls, host: HostView, removal: HostRemoval) -> None:
    """Raises as `require_dead` for a removal by force, and as `require_alive` for one that deletes machines."""
    if removal.force:
        await require_dead(calls, host.id, host.name)
    elif removal.decompose and host.state is HostState.UNREACHABLE:
        await require_alive(calls, host.id, host.name)


async def require_dead(calls: HostCalls, host_id: int, host_name: str) -> str:
    """Returns the reason why the host does not answer, as the racks report it now. Changes nothing on the host.

    Raises WrongState if it answers, RackUnreachable if no connected rack could check.
    """
    error = await probe(calls, host_id)
    if isinstance(error, _DEAD):
        return error.message
    if isinstance(error, _UNKNOWN):
        raise RackUnreachable(
            f"No rack could check that {host_name} does not answer, which its removal by force requires. "
            f"{error.message}",
            host=host_id,
        )
    answer = f"{host_name} answers" if error is None else f"{host_name} answers, with an error ({error.message})"
    raise WrongState(
        f"{answer}, and force is only for hosts that are lost for good. Remove it without force, with decompose=true "
        "to delete the machines that Innkeeper created.",
        host=host_id,
    )


async def require_alive(calls: HostCalls, host_id: int, host_name: str) -> None:
    """Raises HostUnreachable, which names the ways to remove it, if a rack finds now that the host does not answer."""
    error = await probe(calls, host_id)
    if isinstance(error, _DEAD):
        raise HostUnreachable(
            f"{host_name} does not answer, so its machines cannot be deleted: {error.message} If the host is lost for "
            "good, remove it with force=true: nothing on it is touched, and the records of its machines end as lost. "
            "Without force and decompose it is removed too, and its machines return when the host is added again.",
            host=host_id,
        )


async def probe(calls: HostCalls, host_id: int) -> InnkeeperError | None:
    """Returns the error of a connection to the host, None if it answers.

    Raises DatabaseUnavailable: that error is none of the host.
    """
    try:
        await calls.call(host_id, HOST_REACH, lambda access: HostCall(access=access), deadline_s=PROBE_DEADLINE_S)
    except DatabaseUnavailable:
        raise
    except InnkeeperError as error:
        return error
    return None
