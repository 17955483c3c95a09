"""Opens operations that add and remove NICs of machines, or tells what they would change."""

from __future__ import annotations

from uuid import UUID

from attrs import frozen

from common.errors import Busy, InvalidRequest, OutOfCapacity, WrongState
from common.guest_spec import NicSpec
from common.serialization import to_dict
from common.values import NicKind
from regiond.caller import Caller
from regiond.db.pool import Db
from regiond.idempotency.model import IdempotencyKey
from regiond.identifiers import new_mac_address
from regiond.ledger import service as ledger
from regiond.machines import view_store
from regiond.machines.compose.candidate_store import read_candidates
from regiond.machines.compose.requirements import resolve_nics
from regiond.machines.guest_spec import nic_spec
from regiond.machines.hardware.requests import HardwareRequests, changeable
from regiond.machines.model import MachineView, NicChange, NicPlan, NicToAdd, NicToRemove
from regiond.machines.nic_changes import store
from regiond.machines.nic_changes.model import (
    add_plan,
    check_addable,
    check_address_deliverable,
    check_removable,
    checked_address,
    checked_name,
    remove_plan,
    requirement,
)
from regiond.machines.nics.model import checked_tags, find_nic
from regiond.machines.operation_intents import check_owner_is, open_operation
from regiond.networks import service as network_service
from regiond.operations.model import Operation, OperationKind
from regiond.placement.model import NicAttachment
from regiond.placement.service import attach_nics


@frozen
class NicChanges:
    """Adds and removes NICs of machines. Every operator of its pool may change a machine without owner.

    Addresses and virtual functions are claimed at once.
    """

    requests: HardwareRequests
    installation_id: UUID

    async def start(
        self,
        caller: Caller,
        system_id: str,
        change: NicChange,
        *,
        idempotency_key: IdempotencyKey | None = None,
        need_rack: bool = False,
    ) -> Operation:
        """Returns the operation. Raises NotFound, NotAllowed, InvalidRequest, WrongState, OutOfCapacity, Busy while
        another operation acts on the machine, and RackUnreachable with `need_rack`.
        """
        return await self.requests.start(
            caller, system_id, lambda db: self._open_change(db, caller, system_id, change),
            idempotency_key=idempotency_key, need_rack=need_rack,
        )  # fmt: skip

    async def plan(self, caller: Caller, system_id: str, change: NicChange) -> NicPlan:
        """Returns what `start` would change, and changes nothing. Raises the errors of `start`."""
        return await self.requests.plan(lambda db: self._open_change(db, caller, system_id, change))

    async def _open_change(self, db: Db, caller: Caller, system_id: str, change: NicChange) -> tuple[int, NicPlan]:
        match change:
            case NicToAdd():
                return await self._add(db, caller, system_id, change)
            case NicToRemove():
                return await self._remove(db, caller, system_id, change.nic_id)

    async def _add(self, db: Db, caller: Caller, system_id: str, nic: NicToAdd) -> tuple[int, NicPlan]:
        """Locks in the order of all writers: the operation, the server, the machine."""
        tags = checked_tags(nic.tags)
        machine = await changeable(db, caller, system_id)
        check_addable(machine)
        attachment = await _attachment(db, caller, machine, nic)
        check_address_deliverable(machine, attachment)
        spec = await _spec(db, machine, nic, attachment)
        index = await store.next_index(db, machine.id)
        operation_id = await self._open(
            db, caller, machine, OperationKind.ADD_NIC, spec, function_port=attachment.function_port
        )
        if await store.next_index(db, machine.id) != index:
            raise Busy(f"The NICs of {machine.hostname} have just changed. Try again.")
        if attachment.function_port is not None and machine.host_id is not None:
            await ledger.claim_function(db, machine.id, machine.host_id, attachment.function_port)
        nic_id = await store.insert(db, _row(machine, index, spec, attachment, tags))
        if attachment.ip is not None and attachment.subnet_id is not None:
            await network_service.claim_static_address(
                db, subnet_id=attachment.subnet_id, address=attachment.ip, machine_id=machine.id, nic_id=nic_id
            )
        return operation_id, add_plan(machine, spec.name, attachment)

    async def _remove(self, db: Db, caller: Caller, system_id: str, nic_id: int) -> tuple[int, NicPlan]:
        machine = await changeable(db, caller, system_id)
        nic = find_nic(machine, nic_id)
        check_addable(machine)
        check_removable(machine, nic)
        port = nic.source if nic.kind == NicKind.SRIOV else None
        operation_id = await self._open(
            db, caller, machine, OperationKind.REMOVE_NIC, nic_spec(nic), function_port=port
        )
        if nic not in (await view_store.read(db, machine.system_id)).nics:
            raise Busy(f"The NICs of {machine.hostname} have just changed. Try again.")
        return operation_id, remove_plan(machine, nic)

    async def _open(
        self, db: Db, caller: Caller, machine: MachineView, kind: OperationKind, nic: NicSpec, *,
        function_port: str | None,
    ) -> int:  # fmt: skip
        operation_id = await open_operation(
            db, kind, machine, self.installation_id, account_id=caller.account_id,
            request={"nic": to_dict(nic), "function_port": function_port},
        )  # fmt: skip
        await check_owner_is(db, machine)
        return operation_id


async def _attachment(db: Db, caller: Caller, machine: MachineView, nic: NicToAdd) -> NicAttachment:
    """Returns where compose would attach the NIC on the host of the machine. Raises OutOfCapacity with the reason."""
    wanted = requirement(machine, nic)
    resolved = () if wanted is None else await resolve_nics(db, (wanted,), caller=caller)
    hosts = await read_candidates(db, [] if machine.host_id is None else [machine.host_id], with_nodes=False)
    if not hosts:
        raise WrongState(f"{machine.hostname} is on no host.")
    (host,) = hosts.values()
    attached, reason = attach_nics(resolved, host)
    if reason is not None:
        raise OutOfCapacity(f"{machine.host_name} cannot give {machine.hostname} the NIC: it {reason}.")
    return attached[0]


async def _spec(db: Db, machine: MachineView, nic: NicToAdd, attachment: NicAttachment) -> NicSpec:
    mac_address = checked_address(nic.mac_address) if nic.mac_address else new_mac_address()
    if await store.is_taken(db, mac_address):
        raise InvalidRequest.of({"mac_address": [f"Another NIC has the MAC address {mac_address}."]})
    address = None
    if attachment.ip is not None and attachment.subnet_id is not None:
        address = await network_service.guest_nic_address(db, attachment.subnet_id, attachment.ip)
    return NicSpec(
        name=checked_name(machine, nic, attachment),
        mac_address=mac_address,
        kind=attachment.kind,
        source=attachment.source,
        vid=attachment.vid,
        macvlan_mode=attachment.macvlan_mode,
        address=address,
        configured=attachment.configured,
    )


def _row(
    machine: MachineView, index: int, spec: NicSpec, attachment: NicAttachment, tags: tuple[str, ...]
) -> store.NewNic:
    configured = "dhcp" if attachment.ip is None else "static"
    return store.NewNic(
        machine_id=machine.id, index=index, name=spec.name, mac_address=spec.mac_address, kind=spec.kind.value,
        source=spec.source, vid=spec.vid, mode=configured if attachment.configured else "unconfigured",
        label=attachment.label, interface_id=attachment.interface_id, vlan_id=attachment.vlan_id,
        subnet_id=attachment.subnet_id, tags=tags,
    )  # fmt: skip
