"""The services of the region, as the API, the pages and the RPC clients call them."""

from __future__ import annotations

from typing import TypeVar

from attrs import frozen

from regiond.accounts.grants import Grants
from regiond.accounts.lists import Lists
from regiond.accounts.logins import Logins
from regiond.accounts.service import Accounts
from regiond.accounts.sessions import Sessions
from regiond.accounts.ssh_keys import SshKeys
from regiond.accounts.users import Users
from regiond.attention.service import Attention
from regiond.audit.service import Audit
from regiond.clusters.service import Clusters
from regiond.dns.service import Dns
from regiond.events.service import Events
from regiond.events.streams import EventStreams
from regiond.exports.service import Exports
from regiond.files.service import Files
from regiond.groups.service import Groups
from regiond.hosts.service import Hosts
from regiond.images.downloads.imports import Imports
from regiond.images.host_images import HostImages
from regiond.images.service import Images
from regiond.images.uploads import Uploads
from regiond.machines.arrivals.adoption.service import Adoption
from regiond.machines.arrivals.allocation.service import Allocator
from regiond.machines.arrivals.clones.service import Clones
from regiond.machines.arrivals.compose.service import Composer
from regiond.machines.arrivals.transfer.imports import MachineImports
from regiond.machines.bulk.service import Bulk
from regiond.machines.core.nics.service import MachineNics
from regiond.machines.devices.service import Devices
from regiond.machines.hardware.disks.kept import KeptDisks
from regiond.machines.hardware.disks.service import MachineDisks
from regiond.machines.hardware.hardware_kinds import HardwareChanges
from regiond.machines.leaving.ownership.release_requests import Releases
from regiond.machines.leaving.ownership.service import Ownership
from regiond.machines.power.wanted_power.service import WantedPowers
from regiond.machines.running.console.service import Consoles
from regiond.machines.running.deployment.service import Deployments
from regiond.machines.service import Machines
from regiond.networks.service import Networks
from regiond.operations.idempotency.service import IdempotencyKeys
from regiond.operations.service import Operations
from regiond.quotas.service import Quotas
from regiond.racks.enrolment.rpc_clients import RpcClients
from regiond.racks.service import Racks
from regiond.reconciler.service import Reconciler
from regiond.requests.caller import Caller
from regiond.tags.service import Tags
from regiond.usage.service import Usages

T = TypeVar("T")


# A class with slots can have only one base with slots, and `Services` has four.
@frozen(kw_only=True, slots=False)
class RackServices:
    """Racks and other clients of the RPC."""

    racks: Racks
    rpc_clients: RpcClients


@frozen(kw_only=True, slots=False)
class ImageServices:
    """Images, and the files of exported VMs."""

    images: Images
    image_uploads: Uploads
    image_imports: Imports
    exports: Exports


@frozen(kw_only=True, slots=False)
class MachineServices:
    """Hosts, machines and their operations."""

    operations: Operations
    groups: Groups
    hosts: Hosts
    clusters: Clusters
    machines: Machines
    composer: Composer
    clones: Clones
    allocation: Allocator
    ownership: Ownership
    releases: Releases
    machine_nics: MachineNics
    machine_disks: MachineDisks
    hardware: HardwareChanges
    kept_disks: KeptDisks
    machine_imports: MachineImports
    wanted_powers: WantedPowers
    devices: Devices
    bulk: Bulk
    deployments: Deployments
    host_images: HostImages
    adoption: Adoption


@frozen(kw_only=True, slots=False)
class AccountServices:
    """Accounts, the audit trail and events."""

    accounts: Accounts
    logins: Logins
    sessions: Sessions
    users: Users
    audit: Audit
    events: Events
    event_streams: EventStreams


@frozen(kw_only=True, slots=False)
class Services(RackServices, ImageServices, MachineServices, AccountServices):
    """The services for one request. `caller` is its account; None without a login.

    Methods that read take `caller` and return the objects that it may see; for others they raise NotFound.
    """

    caller: Caller | None = None
    usages: Usages
    consoles: Consoles
    idempotency_keys: IdempotencyKeys
    ssh_keys: SshKeys
    lists: Lists
    files: Files
    tags: Tags
    networks: Networks
    dns: Dns
    reconciler: Reconciler
    grants: Grants
    quotas: Quotas
    attention: Attention
    of_extensions: tuple[object, ...] = ()

    def of(self, kind: type[T]) -> T:
        """Returns the services of an extension, by their class. Raises LookupError if none has it."""
        for one in self.of_extensions:
            if isinstance(one, kind):
                return one
        raise LookupError(f"no extension of this region has {kind.__name__}")
