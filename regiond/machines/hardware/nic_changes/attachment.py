"""Chooses where on its host a NIC of a machine is attached, and describes it as it is then."""

from __future__ import annotations

from attrs import evolve, frozen

from common.errors import InvalidRequest, OutOfCapacity, WrongState
from common.guests.guest_spec import NicSpec
from common.values import NicKind
from regiond.db.pool import Db
from regiond.machines.core.candidate_store import read_candidates
from regiond.machines.core.guest_spec import nic_spec
from regiond.machines.core.wanted_nics import resolve_nics
from regiond.machines.hardware.nic_changes import store
from regiond.machines.hardware.nic_changes.model import (
    changed_requirement,
    check_address_deliverable,
    checked_address,
    checked_name,
)
from regiond.machines.values.model import MachineView
from regiond.machines.values.nics import NicToAdd, NicToChange, NicView
from regiond.networks.ipam import service as ipam_service
from regiond.placement.candidate import Candidate
from regiond.placement.model import NicAttachment
from regiond.placement.nic_attachment import attach_nics
from regiond.placement.requirements import NicRequirement
from regiond.requests.caller import Caller
from regiond.requests.identifiers import new_mac_address


@frozen(kw_only=True)
class ChangedNic:
    """A NIC before and after a change. `row` is None if only its MAC address changes.

    `new_address` and `new_port` (of a virtual function) are claimed for it, `freed_port` is not needed any more.
    """

    before: NicSpec
    spec: NicSpec
    row: store.NewNic | None
    new_address: str | None
    new_port: str | None
    freed_port: str | None


async def attachment_of(
    db: Db, caller: Caller, machine: MachineView, wanted: NicRequirement | None, *, has_it: bool = False
) -> NicAttachment:
    """Returns where compose would attach the NIC on the host of the machine. None: as a machine's default NIC.

    With `has_it`, the machine may have the address already. Raises OutOfCapacity with the reason, and InvalidRequest.
    """
    resolved: tuple[NicRequirement, ...] = ()
    if wanted is not None:
        resolved = await resolve_nics(db, (wanted,), caller=caller, machine_id=machine.id if has_it else None)
    return attached_on(await _host(db, machine), machine, resolved)


def attached_on(host: Candidate, machine: MachineView, resolved: tuple[NicRequirement, ...]) -> NicAttachment:
    """Returns where the NIC is attached on the host of the machine. Raises OutOfCapacity with the reason. Pure."""
    attached, reason = attach_nics(resolved, host)
    if reason is not None:
        lacks = reason if reason.startswith("NIC ") else f"it {reason}"
        raise OutOfCapacity(f"{machine.host_name} cannot give {machine.hostname} the NIC: {lacks}.")
    return attached[0]


async def _host(db: Db, machine: MachineView) -> Candidate:
    hosts = await read_candidates(db, [] if machine.host_id is None else [machine.host_id], with_nodes=False)
    if not hosts:
        raise WrongState(f"{machine.hostname} is on no host.")
    (host,) = hosts.values()
    return host


async def new_spec(db: Db, machine: MachineView, nic: NicToAdd, attachment: NicAttachment) -> NicSpec:
    """Raises InvalidRequest for a name or MAC address that is taken."""
    mac_address = await _free_address(db, nic.mac_address) if nic.mac_address else new_mac_address()
    return await _spec_of(db, attachment, name=checked_name(machine, nic, attachment), mac_address=mac_address)


async def changed_nic(db: Db, caller: Caller, machine: MachineView, nic: NicView, change: NicToChange) -> ChangedNic:
    """Raises InvalidRequest, WrongState and OutOfCapacity for a change that is not possible."""
    before = evolve(nic_spec(nic), macvlan_mode=(await _host(db, machine)).default_macvlan_mode)
    mac_address = nic.mac_address
    if change.mac_address and checked_address(change.mac_address) != nic.mac_address.lower():
        mac_address = await _free_address(db, change.mac_address)
    wanted = changed_requirement(nic, change)
    if wanted is None:
        return ChangedNic(
            before=before, spec=evolve(before, mac_address=mac_address), row=None, new_address=None, new_port=None,
            freed_port=None,
        )  # fmt: skip
    try:
        attachment = await attachment_of(db, caller, machine, wanted, has_it=True)
    except InvalidRequest as error:
        if change.constraint:
            raise
        raise InvalidRequest.of({"vlan": error.fields["interfaces"]}) from error
    check_address_deliverable(machine, attachment)
    spec = evolve(await _spec_of(db, attachment, name=nic.name, mac_address=mac_address), boot=before.boot)
    old_port, new_port = port_of(nic), attachment.function_port
    return ChangedNic(
        before=before,
        spec=spec,
        row=new_row(machine, nic.index, spec, attachment, nic.tags),
        new_address=attachment.ip if attachment.ip != _text(nic) else None,
        new_port=new_port if new_port != old_port else None,
        freed_port=old_port if new_port != old_port else None,
    )


def port_of(nic: NicView) -> str | None:
    """Returns the port whose virtual function the NIC has; None if it has none."""
    return nic.source if nic.kind == NicKind.SRIOV else None


def _text(nic: NicView) -> str | None:
    return None if nic.ip_address is None else str(nic.ip_address)


async def _free_address(db: Db, mac_address: str) -> str:
    found = checked_address(mac_address)
    if await store.is_taken(db, found):
        raise InvalidRequest.of({"mac_address": [f"Another NIC has the MAC address {found}."]})
    return found


async def _spec_of(db: Db, attachment: NicAttachment, *, name: str, mac_address: str) -> NicSpec:
    address = None
    if attachment.ip is not None and attachment.subnet_id is not None:
        address = await ipam_service.guest_nic_address(db, attachment.subnet_id, attachment.ip)
    return NicSpec(
        name=name,
        mac_address=mac_address,
        kind=attachment.kind,
        source=attachment.source,
        vid=attachment.vid,
        macvlan_mode=attachment.macvlan_mode,
        address=address,
        configured=attachment.configured,
    )


def new_row(
    machine: MachineView, index: int, spec: NicSpec, attachment: NicAttachment, tags: tuple[str, ...]
) -> store.NewNic:
    configured = "dhcp" if attachment.ip is None else "static"
    return store.NewNic(
        machine_id=machine.id, index=index, name=spec.name, mac_address=spec.mac_address, kind=spec.kind.value,
        source=spec.source, vid=spec.vid, mode=configured if attachment.configured else "unconfigured",
        label=attachment.label, interface_id=attachment.interface_id, vlan_id=attachment.vlan_id,
        subnet_id=attachment.subnet_id, tags=tags,
    )  # fmt: skip
