"""Builds the components of a region, layer by layer."""

from __future__ import annotations

from contextlib import AsyncExitStack
from datetime import timedelta
from functools import partial
from typing import Any

from attrs import AttrsInstance, fields

from common.process.metrics_site import metrics_listener
from common.rpc.traced_calls import TracedCalls
from regiond.accounts.grants import Grants
from regiond.accounts.lists import Lists
from regiond.accounts.ssh_keys import SshKeys
from regiond.api.services import Services
from regiond.clients.rpc import RpcCommands
from regiond.db.listener import Notifications
from regiond.db.pool import Database
from regiond.db.primary_monitor import PrimaryMonitor
from regiond.db.schema_version import SchemaVersionMonitor
from regiond.dns.service import Dns
from regiond.events.changes import ChangeFeed
from regiond.events.service import Events
from regiond.files.service import Files
from regiond.hosts.discovery.schedule import RefreshSchedule
from regiond.hosts.trust.certificate_expiry import read_expiry_of_servers, report_expiring_certificates
from regiond.housekeeping.clock_monitor import ClockMonitor
from regiond.housekeeping.retention import Retention, RetentionPeriods
from regiond.housekeeping.service import Housekeeping
from regiond.https.certificate_files import CertificateFiles
from regiond.https.service import HttpsCertificate
from regiond.machines.running.console.service import Consoles
from regiond.machines.running.deployment.image_copies import ImageCopyCollection
from regiond.metrics.service import RegionMetrics
from regiond.networks.service import Networks
from regiond.operations import wait_store
from regiond.operations.seen_changes import SeenChanges
from regiond.process.advertised_addresses import AdvertisedAddresses
from regiond.process.extensions import check_installed
from regiond.process.settings import RegionSettings
from regiond.quotas.service import Quotas
from regiond.racks.calls.usage_calls import UsageCalls
from regiond.racks.reach.link_supervisor import LinkSupervisor
from regiond.reconciler.service import Reconciler
from regiond.recovery.fail_over import Evidence
from regiond.tags.service import Tags
from regiond.usage.records import UsageRecords
from regiond.usage.service import Usages
from regiond.wiring.accounts import wire_accounts, wire_audit_export
from regiond.wiring.attention import wire_attention
from regiond.wiring.components import AccountLayer, Components, ImageLayer, MachineLayer, RackLayer, Storage
from regiond.wiring.extension import Layers, region_extensions
from regiond.wiring.images import wire_images
from regiond.wiring.machines import wire_engine, wire_machines
from regiond.wiring.metrics import wire_metrics
from regiond.wiring.racks import wire_listener, wire_racks
from regiond.wiring.storage import open_storage


async def wire(settings: RegionSettings, running: AsyncExitStack) -> Components:
    """Builds all components; `running` closes the database. Raises the error that prevents the region from starting."""
    settings.check()
    check_installed()
    return wire_components(settings, await open_storage(settings, running))


def wire_components(settings: RegionSettings, storage: Storage) -> Components:
    """Builds all components on open storage."""
    database, addresses = storage.database, AdvertisedAddresses(settings)
    https = _https(settings, database)
    metrics = wire_metrics(settings, storage, https)
    racks = wire_racks(settings, storage, addresses)
    images = wire_images(settings, database)
    machines = wire_machines(settings, storage, racks, images, addresses, metrics)
    accounts = wire_accounts(settings, database, storage.credentials)
    layers = Layers(
        settings=settings, storage=storage, racks=racks, machines=machines, accounts=accounts, addresses=addresses
    )
    built = [one.wire(layers) for one in region_extensions()]
    schedule = RefreshSchedule(
        database, machines.refresher, every_s=settings.refresh_every_s, region_id=racks.heartbeat.region_id
    )
    link_supervisor = LinkSupervisor(
        racks.links, racks.heartbeat, racks.reach, racks.calls, racks.guard,
        hosts=machines.hosts.supervised_hosts, access_of=racks.host_access.read,
        changes=machines.machines, refreshes=schedule, wake_waiting=partial(_wake_waiting, database),
    )  # fmt: skip
    usage_calls = UsageCalls(racks.links, lambda: link_supervisor.watching)
    usages = Usages(usage_calls, longer_history_url=settings.usage_history_url)
    services = _wire_services(
        settings, storage, racks, machines, accounts, images, https, metrics, usages,
        tuple(one.services for one in built),
    )  # fmt: skip
    commands = RpcCommands(services, machines.content, accounts.limits)
    observer = TracedCalls(storage.tracer, metrics.calls)
    listener = wire_listener(settings, storage, racks, commands, link_supervisor, observer)
    metrics.state.quotas_nearly_used = services.attention.quotas_nearly_used
    metrics.state.roles_of_links = lambda: (link.peer.role for link in listener.links)
    notifications, changes = Notifications(storage.dsn, history=storage.fail_over.history), SeenChanges()
    storage.fail_over.evidence = Evidence(notifications=notifications, changes=changes, audit=accounts.audit)
    return Components(
        database=database,
        notifications=notifications,
        changes_of_operations=changes,
        primary=PrimaryMonitor(storage.dsn, database, storage.fail_over.history, on_newer=notifications.drop),
        schema_version=SchemaVersionMonitor(database),
        housekeeping=_wire_housekeeping(settings, database, accounts, https),
        audit_export=wire_audit_export(settings, database, accounts, racks.heartbeat.region_id),
        heartbeat=racks.heartbeat,
        https=https,
        limits=accounts.limits,
        metrics=metrics,
        metrics_listener=metrics_listener(
            metrics.registry, host=settings.metrics_host, port=settings.metrics_port, prepare=metrics.refresh
        ),
        changes=ChangeFeed(),
        event_tail=accounts.event_tail,
        engine=wire_engine(settings, storage, racks, images, machines, accounts, built, addresses, metrics),
        schedule=schedule,
        link_supervisor=link_supervisor,
        image_tasks=images.tasks,
        export_tasks=images.export_tasks,
        listener=listener,
        addresses=addresses,
        services=services,
        usage_records=UsageRecords(database, usage_calls),
        of_extensions=tuple(task for one in built for task in one.tasks),
        tracer=storage.tracer,
    )


def _wire_housekeeping(
    settings: RegionSettings, database: Database, accounts: AccountLayer, https: HttpsCertificate | None
) -> Housekeeping:
    async def report_expiry() -> None:
        await report_expiring_certificates(database)
        await read_expiry_of_servers(database)
        if https is not None:
            await https.report_expiry()

    return Housekeeping(
        ClockMonitor(database, refresh_every_s=settings.refresh_every_s),
        Retention(database, retention_periods(settings)),
        write_key_use=accounts.accounts.write_key_use,
        write_repeated=accounts.audit.write_repeated,
        prune_events=accounts.events.prune,
        prune_audit=accounts.audit.prune,
        report_expiry=report_expiry,
        collect_image_copies=ImageCopyCollection(database, settings.keep_image_copies_days).collect,
    )


def retention_periods(settings: RegionSettings) -> RetentionPeriods:
    return RetentionPeriods(
        operations=timedelta(days=settings.keep_operations_days),
        idempotency_keys=timedelta(days=settings.keep_idempotency_keys_days),
    )


def certificate_files(settings: RegionSettings) -> CertificateFiles | None:
    """Returns the files of the HTTPS certificate; None for plain HTTP."""
    if settings.tls_certificate is None or settings.tls_key is None:
        return None
    return CertificateFiles(certificate=settings.tls_certificate, key=settings.tls_key)


def _https(settings: RegionSettings, database: Database) -> HttpsCertificate | None:
    files = certificate_files(settings)
    return None if files is None else HttpsCertificate(files, database)


def _wire_services(
    settings: RegionSettings,
    storage: Storage,
    racks: RackLayer,
    machines: MachineLayer,
    accounts: AccountLayer,
    images: ImageLayer,
    https: HttpsCertificate | None,
    metrics: RegionMetrics,
    usages: Usages,
    of_extensions: tuple[object, ...],
) -> Services:
    database, still = storage.database, accounts.accounts.still
    quotas = Quotas(database, machines.groups)
    return Services(
        **_services_of(storage, racks, machines, accounts, images),
        consoles=Consoles(database, racks.calls, installation_id=storage.installation_id, still=still),
        usages=usages,
        ssh_keys=SshKeys(database, record_event=Events.record),
        lists=Lists(database),
        files=Files(database),
        tags=Tags(database),
        networks=Networks(database),
        dns=Dns(database),
        reconciler=Reconciler(database, auto_repair=settings.reconciler_auto_repair, on_check=metrics.checks.ended),
        grants=Grants(database, record_event=Events.record, on_change=accounts.accounts.forget_cached),
        quotas=quotas,
        attention=wire_attention(settings, database, quotas, https),
        of_extensions=of_extensions,
    )


def _services_of(*layers: AttrsInstance) -> dict[str, Any]:
    """Returns the attributes of the layers that are services, by name."""
    found = {one.name: getattr(layer, one.name) for layer in layers for one in fields(type(layer))}
    return {one.name: found[one.name] for one in fields(Services) if one.name in found}


async def _wake_waiting(database: Database) -> None:
    async with database.connection() as db:
        await wait_store.wake_waiting(db)
