"""Imports a file as a new machine: a compose whose disks get the content of the file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal

from attrs import frozen

from common.errors import InvalidRequest, WrongState
from common.guests.compose_request import ComposeRequest
from common.units import BYTES_PER_GB, file_size, gb
from common.values import DriverType
from common.words.phrases import number_of
from regiond.db.pool import Database
from regiond.exports.model import Export, ExportedDisk, ExportedNic, MachineDescription
from regiond.exports.service import Exports
from regiond.hosts.model import HostView
from regiond.hosts.service import Hosts
from regiond.machines.arrivals.compose.capacity_limits import no_capacity
from regiond.machines.arrivals.compose.service import Composer
from regiond.machines.arrivals.transfer import store
from regiond.machines.values.disks import DiskPlan
from regiond.machines.values.requests import ComposeIntent, ImportedMachine, ImportRequest
from regiond.operations.idempotency.model import IdempotencyKey
from regiond.operations.model import Operation
from regiond.operations.service import Operations
from regiond.requests.caller import Caller
from regiond.requests.validation_messages import shown

_LABEL = re.compile(r"[A-Za-z0-9]{1,64}", re.ASCII)


@frozen(kw_only=True)
class MachineImports:
    """The caller has to be an operator of the host's pool, and the file his own. The machine is his, too."""

    database: Database
    operations: Operations
    composer: Composer
    hosts: Hosts
    exports: Exports

    async def start(
        self,
        caller: Caller,
        request: ImportRequest,
        *,
        idempotency_key: IdempotencyKey | None = None,
        need_rack: bool = False,
    ) -> Operation:
        """Returns the compose of the new machine, whose claims are written. Raises as `Composer.start_compose`;

        also NotFound for the file, WrongState if it is not ready, and InvalidRequest by field for a network that does
        not exist here, or a MAC address that is in use.
        """

        async def open_() -> Operation:
            intent = await self._intent(caller, request)
            return await self.composer.reserve(caller, intent, idempotency_key=idempotency_key, need_rack=need_rack)

        return await self.operations.idempotent(idempotency_key, open_)

    async def plan(self, caller: Caller, request: ImportRequest) -> DiskPlan:
        """Returns what `start` would do, and changes nothing. Raises the errors of `start`."""
        intent = await self._intent(caller, request)
        found = await self.exports.read(caller, request.export_id)
        host = await self.hosts.read(request.host_id, caller=caller)
        dry_run = await self.composer.dry_run(caller, intent.request)
        if dry_run.placement.chosen is None:
            raise no_capacity(dry_run.placement, named=True)
        return _plan(found, _description(found), intent, host, refusal=dry_run.refusal)

    async def _intent(self, caller: Caller, request: ImportRequest) -> ComposeIntent:
        host = await self.hosts.read(request.host_id, caller=caller)
        found = await self.exports.read(caller, request.export_id)
        described = _description(found)
        interfaces = request.interfaces or _interfaces(described.nics)
        kept = await self._kept_macs(request, described)
        return ComposeIntent(
            request=ComposeRequest(
                host_id=host.id,
                hostname=request.hostname or described.hostname,
                architecture=described.architecture,
                cores=described.cores,
                memory_mib=described.memory_mib,
                max_cores=described.max_cores,
                max_memory_mib=described.max_memory_mib,
                uefi=described.uefi,
                secure_boot=described.secure_boot,
                tpm=described.tpm,
                storage=_storage(described.disks, request.storage_pool),
                interfaces=interfaces,
                pool=request.pool,
                power_on=request.power_on,
            ),
            imported=ImportedMachine(
                export_id=found.id, name=found.name, disks=described.disks, mac_addresses=kept,
                whole_disks=host.driver == DriverType.LXD.value,
            ),
        )  # fmt: skip

    async def _kept_macs(self, request: ImportRequest, described: MachineDescription) -> tuple[str, ...]:
        """Returns the MAC addresses of the file, if they are asked for."""
        if not request.keep_mac_addresses:
            return ()
        found = tuple(nic.mac_address for nic in described.nics)
        if request.interfaces and request.interfaces.count(";") + 1 != len(found):
            reason = f"The file has {number_of(len(found), 'NIC')}, and so many have to be in interfaces."
            raise InvalidRequest.of({"keep_mac_addresses": [reason]})
        async with self.database.connection() as db:
            taken = await store.taken_macs(db, found)
        if taken or len(set(found)) < len(found):
            reason = f"In use by another machine, device or guest: {', '.join(sorted(taken)) or found[0]}."
            raise InvalidRequest.of({"keep_mac_addresses": [f"{reason} Without this, the machine gets new ones."]})
        return found


def _description(found: Export) -> MachineDescription:
    if not found.is_ready or found.description is None:
        reason = f": {found.error}" if found.error else "."
        raise WrongState(f"The file of {found.name} is {found.state}, not ready{reason}")
    return found.description


def _storage(disks: Sequence[ExportedDisk], pool: str) -> str:
    """Returns the constraint: all disks in their order, which equal numbers of tags keep."""
    within = f"(pool:{pool})" if pool else ""
    sizes = [f"{Decimal(disk.size_bytes) / BYTES_PER_GB:f}{within}" for disk in disks]
    labels = [disk.title if _LABEL.fullmatch(disk.title) else f"disk{index}" for index, disk in enumerate(disks)]
    return ",".join(f"{label}:{size}" for label, size in zip(labels, sizes, strict=True))


def _interfaces(nics: Sequence[ExportedNic]) -> str:
    """Returns the constraint with the networks of the file, by name; empty for one NIC of an unknown network.

    Raises InvalidRequest for NICs whose networks the file does not name.
    """
    if len(nics) == 1 and not (nics[0].subnet or nics[0].fabric):
        return ""
    texts = []
    for nic in nics:
        if nic.subnet:
            texts.append(f"{nic.name}:subnet_cidr={nic.subnet}")
        elif nic.fabric:
            texts.append(f"{nic.name}:fabric={nic.fabric},vid={nic.vid or 0}")
        else:
            raise InvalidRequest.of(
                {
                    "interfaces": [
                        f"The file does not name the network of {shown(nic.name)}, which was {shown(nic.source)} of "
                        "its host. Say what the NICs are connected to here, as for compose: eth0:subnet=10.0.0.0/24"
                    ]
                }
            )
    return ";".join(texts)


def _plan(
    found: Export, described: MachineDescription, intent: ComposeIntent, host: HostView, *, refusal: str | None
) -> DiskPlan:
    name = intent.request.hostname or described.hostname
    kept = intent.imported is not None and intent.imported.mac_addresses
    disks = ", ".join(f"{disk.title or disk.file} ({gb(disk.size_bytes)})" for disk in described.disks)
    effects = [
        f"A new VM {name} with {number_of(described.cores, 'core')} and {described.memory_mib} MiB is composed on "
        f"{host.name}, and belongs to you.",
        f"Its disks get the content of the file ({file_size(found.size_bytes)}): {disks}. The file is compared with "
        "its hash before.",
        f"Its NICs have {'the MAC addresses of the file' if kept else 'new MAC addresses'}, and are connected to "
        f"{intent.request.interfaces or 'the default network of the host'}.",
    ]
    if host.driver == DriverType.LXD.value and not described.uefi:
        effects.append(
            f"{host.product or 'LXD'} starts VMs with UEFI firmware only, and the file is of a VM with BIOS: the VM "
            "boots if its system has a boot loader for UEFI, too, as cloud images do."
        )
    if described.tpm:
        effects.append("Its TPM is empty: what was sealed with the TPM of before cannot be read.")
    return DiskPlan(name=name, effects=tuple([*effects, *([refusal] if refusal else [])]))
