"""Decides which guests of a host can be adopted, and gives the reason for others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

from attrs import frozen

from common.errors import InvalidRequest
from regiond.hosts.guest_record import GuestRecord
from regiond.hosts.model import HostGuest
from regiond.machines.values.requests import AdoptRequest


@frozen(kw_only=True)
class MachineName:
    """A machine, or an operation that acts on a machine, and the machine's names. `id` is the id of that row."""

    id: int
    system_id: str
    hostname: str


@frozen(kw_only=True)
class AdoptionContext:
    """The records on the guests of a host, besides their rows."""

    machines: dict[int, MachineName]  # by row id
    existing: frozenset[UUID]  # existing machines whose marker a guest has
    leftovers: frozenset[int]  # guests of deleted machines that operations remove, by row id
    pending: dict[int, MachineName]  # open adoptions, by the row id of the guest


def obstacle_to_adoption(guest: HostGuest, installation_id: UUID, context: AdoptionContext) -> str | None:
    """Returns why a guest that belongs to no machine cannot be adopted; None if it can."""
    row = guest.record
    if row.kind != "vm":
        return f"it is a {row.kind}; only virtual machines can be adopted"
    if row.marker_installation not in (None, installation_id):
        return (
            f"it carries the ownership marker of installation {row.marker_installation}; "
            "remove the marker there with the machine operation 'forget' first"
        )
    if row.marker_installation is not None and row.marker_machine in context.existing:
        return f"it carries the marker of machine {row.marker_machine}, which is another guest (is this a copy?)"
    if guest.id in context.leftovers:
        return "its machine was deleted, and an operation removes it"
    return _obstacle_in_guest(row)


def _obstacle_in_guest(row: GuestRecord) -> str | None:
    if row.removal.deleted_when_off:
        remedy = f". Make it permanent first: {row.removal.permanence}" if row.removal.permanence else ""
        return f"its host deletes it, with its disks, as soon as it is powered off{remedy}"
    if row.cores < 1 or row.memory_mib < 1:
        return "its cores or memory are unknown; refresh the host"
    return None


def select_guests(guests: Sequence[HostGuest], request: AdoptRequest, host_name: str) -> list[HostGuest]:
    """Returns the guests that the request names, each once. Raises InvalidRequest that lists all unknown ones.

    A row id takes precedence over the hypervisor's id, which takes precedence over a name.
    """
    if request.everything:
        return [guest for guest in guests if guest.record.machine_id is None]
    known: Mapping[str, HostGuest] = {
        **{guest.record.name: guest for guest in guests},
        **{guest.record.guest_key: guest for guest in guests},
        **{str(guest.id): guest for guest in guests},
    }
    unknown = [name for name in request.guests if name not in known]
    if unknown:
        raise InvalidRequest.of({"guests": [f"{host_name} has no virtual machine '{name}'." for name in unknown]})
    return list({known[name].id: known[name] for name in request.guests}.values())
