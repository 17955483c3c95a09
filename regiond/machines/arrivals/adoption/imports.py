"""Opens the adoptions of VMs that another controller has managed, and claims the addresses that they have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

from attrs import frozen

from common.errors import InnkeeperError, WrongState
from regiond.accounts.service import active_user
from regiond.db.pool import Database, Db
from regiond.groups.service import Groups
from regiond.hosts.guest_ownership import lock_guests
from regiond.hosts.service import Hosts
from regiond.machines.arrivals.adoption import imported_store
from regiond.machines.arrivals.adoption.imported_store import NewImport
from regiond.machines.arrivals.adoption.intents import AdoptionIntents
from regiond.machines.values.managed import ManagedLink, ManagedVm
from regiond.networks.ipam import service as ipam_service
from regiond.networks.ipam import store as ipam_store
from regiond.operations.model import Parent
from regiond.quotas import service as quotas
from regiond.requests.caller import Caller

NOT_FOUND = "not_found"  # the host does not list a VM of that name


@frozen(kw_only=True)
class Opened:
    """The outcome by system id: the reason why a machine is not adopted; without one it is being adopted, or is here.

    `missing` are those whose VM the host does not list.
    """

    rejected: Mapping[str, str]
    missing: frozenset[str]


@frozen(kw_only=True)
class MachineAdoptions:
    """The machines of an import. Methods are for administrators."""

    database: Database
    hosts: Hosts
    groups: Groups
    installation_id: UUID

    async def open(self, caller: Caller, host_id: int, machines: Sequence[ManagedVm], parent: Parent) -> Opened:
        """Opens the adoptions on one host as children of `parent`, in one transaction. Idempotent.

        Raises Busy if the parent has ended, NotFound for the host, and QuotaExceeded.
        """
        caller.require_admin()
        host = await self.hosts.read(host_id)
        pools = {name: await self.groups.requested_pool_id(name) for name in {one.pool for one in machines}}
        zones = {name: await self.groups.requested_zone_id(name) for name in {one.zone for one in machines}}

        async def work(db: Db) -> Opened:
            names = sorted({one.owner for one in machines if one.owner})
            owners = {name: await active_user(db, name) for name in names}
            accounts = [found.account_id for found in owners.values() if found is not None]
            locked = await quotas.lock(
                db, account_ids=accounts, pool_ids=[host.pool.id, *(one for one in pools.values() if one is not None)]
            )
            guests = await lock_guests(db, host_id)
            by_name = {found.record.name: found for found in guests}
            by_key = {found.record.guest_key.lower(): found for found in guests}
            intents = await AdoptionIntents.on_host(
                db, host, guests, self.installation_id, caller=caller, owner=None, gives=False
            )
            rejected: dict[str, str] = {}
            missing: set[str] = set()
            for one in machines:
                guest = by_name.get(one.guest) or by_key.get(one.guest.lower())
                if guest is None:
                    missing.add(one.system_id)
                    continue
                owner = owners.get(one.owner) if one.owner else None
                new = NewImport(
                    machine=one, parent=parent, owner_id=None if owner is None else owner.account_id,
                    pool_id=pools[one.pool], zone_id=zones[one.zone],
                )  # fmt: skip
                intent = await intents.open(db, guest, None if guest.record.machine_id else one.hostname, new)
                if intent.rejection:
                    rejected[one.system_id] = f"VM {one.guest}: {intent.rejection}"
                elif intent.machine is not None and intent.machine.system_id != one.system_id:
                    rejected[one.system_id] = f"VM {one.guest} is the machine {intent.machine.hostname} already"
            await quotas.require_within(db, locked)
            return Opened(rejected=rejected, missing=frozenset(missing))

        return await self.database.in_transaction(work)

    async def claim_addresses(
        self, machines: Mapping[str, Sequence[ManagedLink]], subnet_ids: Mapping[str, int]
    ) -> Mapping[str, str]:
        """Claims the addresses of these machines, which they use already; returns why not, by system id. Idempotent.

        `subnet_ids` are by CIDR. The next deployment or release of a machine reserves them on its host.
        """
        reasons: dict[str, str] = {}

        async def work(db: Db) -> None:
            reasons.clear()
            system_ids = list(machines)
            nics = await imported_store.nics(db, system_ids)
            claimed = await imported_store.with_claims(db, system_ids)  # all at once, or changed since
            cidrs = {one.cidr for links in machines.values() for one in links}
            await ipam_store.lock_subnets(db, sorted(subnet_ids[one] for one in cidrs if one in subnet_ids))
            imported = {system_id for system_id, _ in nics}  # others were released since, and may have new addresses
            for system_id, links in machines.items():
                for one in links if system_id in imported - claimed else ():
                    try:
                        await self._claim(db, nics.get((system_id, one.mac_address)), one, subnet_ids.get(one.cidr))
                    except InnkeeperError as error:
                        reasons[system_id] = error.message

        await self.database.in_transaction(work)
        return reasons

    @staticmethod
    async def _claim(db: Db, nic: imported_store.ImportedNic | None, one: ManagedLink, subnet_id: int | None) -> None:
        if nic is None:
            raise WrongState(f"{one.address} is not claimed: no NIC of the machine has the address {one.mac_address}.")
        if subnet_id is None:
            raise WrongState(f"{one.address} is not claimed: the subnet {one.cidr} is not here.")
        await ipam_service.claim_static_address(
            db, subnet_id=subnet_id, address=one.address, machine_id=nic.machine_id, nic_id=nic.id, on_host=False
        )
        await imported_store.link(db, nic, one, subnet_id)
