"""The definition of a machine on its chosen host, and what it claims there."""

from __future__ import annotations

from uuid import UUID, uuid4

from common.guests.guest_spec import GuestSpec, NicAddress
from regiond.db.pool import Database, Db
from regiond.ledger import store as ledger_store
from regiond.ledger.model import Demand, DiscreteResources, pages_key
from regiond.machines.arrivals.compose import store
from regiond.machines.arrivals.compose.model import HostAssignment
from regiond.machines.core.guest_spec import guest_spec
from regiond.networks.ipam import service as ipam_service
from regiond.placement.model import Evaluation
from regiond.placement.nic_attachment import required_functions
from regiond.requests.identifiers import new_mac_address


def new_spec(assignment: HostAssignment, hostname: str, installation_id: UUID) -> GuestSpec:
    """Returns the guest's definition with a new UUID, and so with a marker that no guest has had."""
    imported = assignment.validated.intent.imported
    kept = iter(imported.mac_addresses if imported is not None else ())
    return guest_spec(
        assignment.requirements, assignment.evaluation, assignment.host, hostname=hostname,
        installation_id=installation_id, machine_uuid=uuid4(),
        new_mac_address=lambda: next(kept, None) or new_mac_address(),
        addresses=assignment.nic_addresses,
    )  # fmt: skip


async def nic_addresses(database: Database, evaluation: Evaluation) -> dict[str, NicAddress]:
    """Returns the settings of the subnet of each static address, by address. Raises WrongState without the subnet."""
    wanted = [(nic.subnet_id, nic.ip) for nic in evaluation.nics]
    if all(ip is None for _, ip in wanted):
        return {}
    async with database.connection() as db:
        return {
            ip: await ipam_service.guest_nic_address(db, subnet_id, ip)
            for subnet_id, ip in wanted
            if ip is not None and subnet_id is not None
        }


def demand_of(assignment: HostAssignment) -> Demand:
    """Returns the cores, general memory and storage of the server that the machine claims."""
    requirements = assignment.requirements
    storage_bytes: dict[int, int] = {}
    for disk in assignment.evaluation.disks:
        storage_bytes[disk.storage_pool_id] = storage_bytes.get(disk.storage_pool_id, 0) + disk.size_bytes
    memory_mib = 0 if requirements.huge_pages else requirements.memory_mib
    return Demand(
        host_id=assignment.host.id, cores=requirements.cores, memory_mib=memory_mib, storage_bytes=storage_bytes
    )


def discrete_claims_of(evaluation: Evaluation) -> DiscreteResources:
    """Returns the pinned cores, huge pages and virtual functions that the machine claims."""
    return DiscreteResources(
        pinned_core_ids=evaluation.pinned_core_ids,
        huge_pages={pages_key(pages.node_id, pages.size_kib): pages.pages for pages in evaluation.pages},
        functions=required_functions(evaluation.nics),
    )


async def claim_all(db: Db, machine_id: int, assignment: HostAssignment) -> None:
    """Makes all claims of the machine in the caller's transaction; the machine's rows exist already.

    Raises OutOfCapacity if something is no longer free, and WrongState if an address is taken; the transaction must
    then roll back.
    """
    discrete = discrete_claims_of(assignment.evaluation)
    await ledger_store.claim(db, machine_id=machine_id, demand=demand_of(assignment), discrete=discrete)
    await claim_addresses(db, machine_id, assignment.evaluation)


async def claim_addresses(db: Db, machine_id: int, evaluation: Evaluation) -> None:
    """Claims the static addresses of the machine's NICs. Raises WrongState if one is taken."""
    if any(nic.ip is not None for nic in evaluation.nics):
        nics = zip(await store.nic_ids(db, machine_id), evaluation.nics, strict=True)
        # One order for all transactions, so that no two of them deadlock.
        for nic_id, nic in sorted(nics, key=lambda pair: pair[1].ip or ""):
            if nic.ip is not None and nic.subnet_id is not None:
                await ipam_service.claim_static_address(
                    db, subnet_id=nic.subnet_id, address=nic.ip, machine_id=machine_id, nic_id=nic_id
                )
