"""The components of a region, grouped by layer."""

from __future__ import annotations

from typing import Protocol
from uuid import UUID

from attrs import frozen

from common.process.http_listener import HttpListener
from common.tracing.spans import NO_TRACES, Tracer
from regiond.api.services import AccountServices, ImageServices, MachineServices, RackServices, Services
from regiond.audit.export.service import AuditExport
from regiond.credentials.key_pairs import KeyPairs
from regiond.credentials.service import Credentials
from regiond.db.listener import Notifications
from regiond.db.pool import Database
from regiond.db.primary_monitor import PrimaryMonitor
from regiond.db.schema_version import SchemaVersionMonitor
from regiond.events.changes import ChangeFeed
from regiond.events.tail import EventTail
from regiond.exports.upkeep import ExportTasks
from regiond.exports.writing import ExportFiles
from regiond.hosts.discovery.refresh import Refresher
from regiond.hosts.discovery.schedule import RefreshSchedule
from regiond.hosts.host_access import HostAccessReader
from regiond.hosts.trust.service import HostTrust
from regiond.housekeeping.service import Housekeeping
from regiond.https.service import HttpsCertificate
from regiond.images.content_reads import ContentReads
from regiond.images.tasks import ImageTasks
from regiond.machines.arrivals.compose.model import MaasRegistrations
from regiond.machines.arrivals.compose.stages import ComposeStages
from regiond.machines.bulk.changes import BulkChanges
from regiond.machines.hardware.requests import HardwareRequests
from regiond.metrics.service import RegionMetrics
from regiond.operations.engine import Engine
from regiond.operations.idempotency.service import IdempotencyKeys
from regiond.operations.own_operations import OwnOperations
from regiond.operations.seen_changes import SeenChanges
from regiond.process.advertised_addresses import AdvertisedAddresses
from regiond.racks.calls.access_guard import AccessGuard
from regiond.racks.calls.address_calls import AddressCalls
from regiond.racks.calls.host_calls import HostCalls
from regiond.racks.calls.live_links import LiveLinks
from regiond.racks.enrolment.admission import Admission
from regiond.racks.enrolment.authority import Authority
from regiond.racks.enrolment.listener import Listener
from regiond.racks.rack_content import RackContent
from regiond.racks.reach.heartbeat import Heartbeat
from regiond.racks.reach.link_supervisor import LinkSupervisor
from regiond.racks.reach.service import RackReach
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
class RackLayer(RackServices):
    """The layer that reaches hosts: racks, their links and calls through them."""

    heartbeat: Heartbeat
    links: LiveLinks
    admission: Admission
    reach: RackReach
    calls: HostCalls
    address_calls: AddressCalls
    guard: AccessGuard
    host_access: HostAccessReader


@frozen(kw_only=True)
class ImageLayer(ImageServices):
    """The catalogue of images, uploads to it, and the tasks that check and remove images."""

    content: ContentReads
    tasks: ImageTasks
    export_files: ExportFiles
    export_tasks: ExportTasks


@frozen(kw_only=True)
class MachineLayer(MachineServices):
    """The rooms that act on hosts and machines."""

    trust: HostTrust
    compose_stages: ComposeStages
    own_operations: OwnOperations
    bulk_changes: BulkChanges
    registrations: MaasRegistrations
    hardware_requests: HardwareRequests
    content: RackContent
    refresher: Refresher


@frozen(kw_only=True)
class AccountLayer(AccountServices):
    """Accounts, permissions, request limits, the audit trail and events."""

    limits: RequestLimits
    event_tail: EventTail


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
