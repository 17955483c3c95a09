"""The components of a region, grouped by layer."""

from __future__ import annotations

from typing import Protocol
from uuid import UUID

from attrs import frozen

from common.process.http_listener import HttpListener
from common.tracing.spans import NO_TRACES, Tracer
from regiond.accounts.logins import Logins
from regiond.accounts.service import Accounts
from regiond.accounts.sessions import Sessions
from regiond.accounts.users import Users
from regiond.api.services import Services
from regiond.audit.export.service import AuditExport
from regiond.audit.service import Audit
from regiond.clusters.service import Clusters
from regiond.credentials.key_pairs import KeyPairs
from regiond.credentials.service import Credentials
from regiond.db.listener import Notifications
from regiond.db.pool import Database
from regiond.db.primary_monitor import PrimaryMonitor
from regiond.db.schema_version import SchemaVersionMonitor
from regiond.events.changes import ChangeFeed
from regiond.events.service import Events
from regiond.events.streams import EventStreams
from regiond.events.tail import EventTail
from regiond.exports.service import Exports
from regiond.exports.upkeep import ExportTasks
from regiond.exports.writing import ExportFiles
from regiond.groups.service import Groups
from regiond.hosts.discovery.refresh import Refresher
from regiond.hosts.discovery.schedule import RefreshSchedule
from regiond.hosts.host_access import HostAccessReader
from regiond.hosts.service import Hosts
from regiond.hosts.trust.service import HostTrust
from regiond.housekeeping.service import Housekeeping
from regiond.https.service import HttpsCertificate
from regiond.images.content_reads import ContentReads
from regiond.images.downloads.imports import Imports
from regiond.images.host_images import HostImages
from regiond.images.service import Images
from regiond.images.tasks import ImageTasks
from regiond.images.uploads import Uploads
from regiond.machines.arrivals.adoption.service import Adoption
from regiond.machines.arrivals.allocation.service import Allocator
from regiond.machines.arrivals.clones.service import Clones
from regiond.machines.arrivals.compose.model import MaasRegistrations
from regiond.machines.arrivals.compose.service import Composer
from regiond.machines.arrivals.compose.stages import ComposeStages
from regiond.machines.arrivals.transfer.imports import MachineImports
from regiond.machines.bulk.changes import BulkChanges
from regiond.machines.bulk.service import Bulk
from regiond.machines.core.nics.service import MachineNics
from regiond.machines.devices.service import Devices
from regiond.machines.hardware.disks.kept import KeptDisks
from regiond.machines.hardware.disks.service import MachineDisks
from regiond.machines.hardware.hardware_kinds import HardwareChanges
from regiond.machines.hardware.requests import HardwareRequests
from regiond.machines.leaving.ownership.release_requests import Releases
from regiond.machines.leaving.ownership.service import Ownership
from regiond.machines.power.wanted_power.service import WantedPowers
from regiond.machines.running.deployment.service import Deployments
from regiond.machines.service import Machines
from regiond.metrics.service import RegionMetrics
from regiond.operations.engine import Engine
from regiond.operations.idempotency.service import IdempotencyKeys
from regiond.operations.seen_changes import SeenChanges
from regiond.operations.service import Operations
from regiond.process.advertised_addresses import AdvertisedAddresses
from regiond.racks.calls.access_guard import AccessGuard
from regiond.racks.calls.address_calls import AddressCalls
from regiond.racks.calls.host_calls import HostCalls
from regiond.racks.calls.live_links import LiveLinks
from regiond.racks.enrolment.admission import Admission
from regiond.racks.enrolment.authority import Authority
from regiond.racks.enrolment.listener import Listener
from regiond.racks.enrolment.rpc_clients import RpcClients
from regiond.racks.rack_content import RackContent
from regiond.racks.reach.heartbeat import Heartbeat
from regiond.racks.reach.link_supervisor import LinkSupervisor
from regiond.racks.reach.service import RackReach
from regiond.racks.service import Racks
from regiond.recovery.fail_over import FailOver
from regiond.requests.request_limits import RequestLimits
from regiond.usage.records import UsageRecords


@frozen(kw_only=True)
class Storage:
    """The database, the keys, secrets and certificate authority that open its contents, and what begins traces."""

    dsn: str
    fail_over: FailOver
    database: Database
    credentials: Credentials
    key_pairs: KeyPairs
    idempotency_keys: IdempotencyKeys
    authority: Authority
    installation_id: UUID
    tracer: Tracer = NO_TRACES


@frozen(kw_only=True)
class RackLayer:
    """The layer that reaches hosts: racks, their links and calls through them."""

    heartbeat: Heartbeat
    links: LiveLinks
    racks: Racks
    rpc_clients: RpcClients
    admission: Admission
    reach: RackReach
    calls: HostCalls
    address_calls: AddressCalls
    guard: AccessGuard
    host_access: HostAccessReader


@frozen(kw_only=True)
class ImageLayer:
    """The catalogue of images, uploads to it, and the tasks that check and remove images."""

    images: Images
    content: ContentReads
    image_uploads: Uploads
    image_imports: Imports
    tasks: ImageTasks
    exports: Exports
    export_files: ExportFiles
    export_tasks: ExportTasks


@frozen(kw_only=True)
class MachineLayer:
    """The rooms that act on hosts and machines."""

    operations: Operations
    groups: Groups
    hosts: Hosts
    clusters: Clusters
    trust: HostTrust
    compose_stages: ComposeStages
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
    bulk_changes: BulkChanges
    registrations: MaasRegistrations
    hardware_requests: HardwareRequests
    deployments: Deployments
    content: RackContent
    host_images: HostImages
    adoption: Adoption
    refresher: Refresher


@frozen(kw_only=True)
class AccountLayer:
    """Accounts, permissions, request limits, the audit trail and events."""

    accounts: Accounts
    logins: Logins
    sessions: Sessions
    users: Users
    limits: RequestLimits
    audit: Audit
    events: Events
    event_tail: EventTail
    event_streams: EventStreams


class BackgroundTask(Protocol):
    """Work of an extension while the region runs."""

    def start(self) -> None: ...

    async def stop(self) -> None: ...


@frozen(kw_only=True)
class Components:
    """All components that start and stop with the region.

    `https` is None for plain HTTP, `metrics_listener` and `audit_export` if the settings name no address for them.
    """

    database: Database
    notifications: Notifications
    changes_of_operations: SeenChanges
    primary: PrimaryMonitor
    schema_version: SchemaVersionMonitor
    housekeeping: Housekeeping
    audit_export: AuditExport | None
    heartbeat: Heartbeat
    https: HttpsCertificate | None
    limits: RequestLimits
    metrics: RegionMetrics
    metrics_listener: HttpListener | None
    changes: ChangeFeed
    event_tail: EventTail
    engine: Engine
    schedule: RefreshSchedule
    link_supervisor: LinkSupervisor
    image_tasks: ImageTasks
    export_tasks: ExportTasks
    listener: Listener
    addresses: AdvertisedAddresses
    services: Services
    usage_records: UsageRecords
    of_extensions: tuple[BackgroundTask, ...]
    tracer: Tracer
