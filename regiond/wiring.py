"""Builds the components of a region, one function per layer; the only module that imports all."""

from __future__ import annotations

import os
import socket
from contextlib import AsyncExitStack
from datetime import timedelta
from functools import partial

from common.private_files import make_usable_folder
from common.rpc.session import Limits
from common.rpc.tokens import JoinToken, encode_token
from regiond.accounts.logins import Logins
from regiond.accounts.passwords import Passwords
from regiond.accounts.service import Accounts, Grants
from regiond.accounts.sessions import SessionPeriods, Sessions
from regiond.accounts.ssh_keys import SshKeys
from regiond.accounts.users import Users
from regiond.advertised_addresses import AdvertisedAddresses
from regiond.api.services import Services
from regiond.audit.service import Audit
from regiond.client_rpc import RpcCommands
from regiond.clusters.member_check import MemberCheck
from regiond.clusters.service import Clusters, apply_membership
from regiond.components import Components, MachineLayer, RackLayer, Storage
from regiond.credentials.service import Credentials, KeyPairs, open_master_key
from regiond.db.listener import Notifications
from regiond.db.migrate import RELEASE, migrate, packaged
from regiond.db.pool import Database
from regiond.db.schema_version import SchemaVersionMonitor
from regiond.events.changes import ChangeFeed
from regiond.events.service import Events
from regiond.groups.service import Groups
from regiond.hosts.discovery.lost_hosts import LostHosts
from regiond.hosts.discovery.refresh import Refresher
from regiond.hosts.discovery.schedule import RefreshSchedule
from regiond.hosts.host_access import HostAccessReader
from regiond.hosts.host_changes import HostChanges
from regiond.hosts.service import Hosts
from regiond.hosts.steps import RefreshHost, RemoveHost
from regiond.hosts.trust.certificate_expiry import report_expiring_certificates
from regiond.hosts.trust.exposed_credentials import ExposedCredentials
from regiond.hosts.trust.host_removal import HostCertificates
from regiond.hosts.trust.rotation import RotateCredentials
from regiond.hosts.trust.service import HostTrust
from regiond.hosts.trust.trust_instructions import certificate_url
from regiond.housekeeping.clock_monitor import ClockMonitor
from regiond.housekeeping.retention import Retention, RetentionPeriods
from regiond.housekeeping.service import Housekeeping
from regiond.https.service import CertificateFiles, HttpsCertificate
from regiond.machines.adoption.restoration import restore as restore_detached
from regiond.machines.adoption.service import Adoption
from regiond.machines.adoption.steps import AdoptGuest, ForgetMachine
from regiond.machines.allocation.service import Allocator
from regiond.machines.cleanup import CleanUp
from regiond.machines.compose.rescheduling import Rescheduler
from regiond.machines.compose.service import Composer
from regiond.machines.compose.stages import build_stages
from regiond.machines.compose.steps import ComposeMachine
from regiond.machines.deletion import DeleteMachine
from regiond.machines.guest_changes import MachineGuestChanges
from regiond.machines.host_removal import MachinesOfRemovedHost
from regiond.machines.ownership import Ownership
from regiond.machines.service import Machines
from regiond.machines.steps import PowerMachine, ReleaseMachine
from regiond.networks.service import Networks
from regiond.operations import service as operation_service
from regiond.operations.engine import Engine
from regiond.operations.service import Operations
from regiond.quotas.service import Quotas
from regiond.racks.access_guard import AccessGuard
from regiond.racks.admission import Admission
from regiond.racks.heartbeat import Heartbeat, pid_scope
from regiond.racks.installation import open_authority
from regiond.racks.link_supervisor import LinkSupervisor
from regiond.racks.listener import Listener, ListenerCallbacks
from regiond.racks.live_links import LiveLinks
from regiond.racks.reach import RackReach
from regiond.racks.service import AddressCalls, HostCalls, Racks, RpcClients, read_installation_id
from regiond.reconciler.service import Reconciler
from regiond.request_limits import RequestLimits, RequestRates
from regiond.settings import RegionSettings


async def wire(settings: RegionSettings, running: AsyncExitStack) -> Components:
    """Builds all components; `running` closes the database. Raises what prevents the region from starting."""
    settings.check()
    return wire_components(settings, await _open_storage(settings, running))


def wire_components(settings: RegionSettings, storage: Storage) -> Components:
    """Builds all components on storage that is open."""
    addresses = AdvertisedAddresses(settings)
    rack_layer = _wire_racks(storage, addresses)
    machine_layer = _wire_machines(settings, storage, rack_layer, addresses)
    return _wire_region(settings, storage, rack_layer, machine_layer, addresses)


async def _open_storage(settings: RegionSettings, running: AsyncExitStack) -> Storage:
    dsn = settings.required_database
    make_usable_folder(settings.state)
    master_key = open_master_key(settings.state, os.environ)
    credentials = Credentials(master_key)
    await migrate(dsn)
    database = await Database.open(dsn)
    running.push_async_callback(database.close)
    async with database.transaction() as db:
        await credentials.check(db)
        authority = await open_authority(db, settings.state)
        installation_id = await read_installation_id(db)
    return Storage(
        dsn=dsn,
        database=database,
        credentials=credentials,
        key_pairs=KeyPairs(master_key, installation_id=installation_id, server_name=socket.gethostname()),
        authority=authority,
        installation_id=installation_id,
    )


def _wire_racks(storage: Storage, addresses: AdvertisedAddresses) -> RackLayer:
    database, authority = storage.database, storage.authority

    def token_text(secret: str) -> str:
        token = JoinToken(addresses=(addresses.rpc(),), authority_fingerprint=authority.fingerprint, secret=secret)
        return encode_token(token)

    heartbeat = Heartbeat(
        database, hostname=pid_scope(), pid=os.getpid(), rpc_address=addresses.rpc_if_listening,
        api_url=addresses.public_url, release=RELEASE, schema_number=packaged()[-1].number,
    )  # fmt: skip
    links, exposure = LiveLinks(), ExposedCredentials(storage.credentials)
    racks = Racks(database, authority, heartbeat.region_id, token_text=token_text, exposure=exposure)
    clients, reach = RpcClients(database, authority), RackReach(database, heartbeat.region_id)
    host_access = HostAccessReader(
        database, storage.credentials, storage.key_pairs, installation_id=storage.installation_id
    )
    guard = AccessGuard(database)
    calls = HostCalls(links, reach, guard, host_access.read, LostHosts(database))
    return RackLayer(
        heartbeat=heartbeat,
        links=links,
        racks=racks,
        clients=clients,
        admission=Admission(database, clients),
        reach=reach,
        calls=calls,
        address_calls=AddressCalls(links, reach, guard, host_access.read),
        guard=guard,
        host_access=host_access,
    )


def _wire_machines(
    settings: RegionSettings, storage: Storage, rack_layer: RackLayer, addresses: AdvertisedAddresses
) -> MachineLayer:
    database, installation_id, calls = storage.database, storage.installation_id, rack_layer.calls
    operations, groups = Operations(database), Groups(database)

    def host_certificate_url(host_name: str) -> str:
        return certificate_url(addresses.public_url(), host_name)

    host_changes = HostChanges(
        database, groups, storage.credentials, calls, rack_layer.address_calls, storage.key_pairs,
        simulated_allowed=settings.simulated_hosts is not None,
    )  # fmt: skip
    hosts = Hosts(
        database, operations, storage.credentials, calls, storage.key_pairs, host_changes,
        certificate_url=host_certificate_url,
    )  # fmt: skip
    trust = HostTrust(database, calls, storage.credentials, storage.key_pairs, certificate_url=host_certificate_url)
    stages = build_stages(
        database, hosts, groups, calls, installation_id=installation_id,
        strategy="pack" if settings.placement_strategy == "pack" else "spread",
    )  # fmt: skip
    composer = Composer(database, operations, calls, stages)
    machines = Machines(database, operations, calls, composer, installation_id=installation_id)
    return MachineLayer(
        operations=operations,
        groups=groups,
        hosts=hosts,
        clusters=Clusters(database, hosts, groups),
        trust=trust,
        compose_stages=stages,
        machines=machines,
        allocation=Allocator(database, operations, hosts, groups, composer),
        ownership=Ownership(database, operations, groups, calls, installation_id=installation_id),
        adoption=Adoption(database, operations, hosts, calls, installation_id=installation_id),
        refresher=Refresher(
            database, calls, trust,
            machines=MachineGuestChanges(), clean_up=machines.clean_up, restore=restore_detached,
            check_members=MemberCheck(database, rack_layer.address_calls, limit=settings.max_cluster_members).check,
            on_facts=apply_membership, on_reachable=operation_service.wake_waiting,
        ),
    )  # fmt: skip


def _wire_engine(
    settings: RegionSettings, storage: Storage, rack_layer: RackLayer, machine_layer: MachineLayer
) -> Engine:
    calls, layer = rack_layer.calls, machine_layer
    handlers = (
        ComposeMachine(
            calls, Rescheduler(storage.database, layer.compose_stages, calls, installation_id=storage.installation_id)
        ),
        PowerMachine(calls, grace_s=settings.power_off_grace_s),
        ReleaseMachine(calls),
        DeleteMachine(calls),
        CleanUp(calls),
        RefreshHost(layer.refresher),
        RemoveHost(
            MachinesOfRemovedHost(storage.database, installation_id=storage.installation_id),
            layer.clusters,
            calls,
            HostCertificates(storage.database, calls),
        ),
        RotateCredentials(storage.database, calls, storage.credentials, storage.key_pairs),
        AdoptGuest(calls),
        ForgetMachine(calls),
    )
    return Engine(storage.database, rack_layer.heartbeat.region_id, handlers)


def _wire_listener(
    settings: RegionSettings,
    storage: Storage,
    rack_layer: RackLayer,
    machine_layer: MachineLayer,
    link_supervisor: LinkSupervisor,
    limits: RequestLimits,
    audit: Audit,
) -> Listener:
    hostname = socket.gethostname()
    commands = RpcCommands(
        rack_layer.racks,
        rack_layer.clients,
        machine_layer.hosts,
        machine_layer.machines,
        machine_layer.operations,
        audit,
        limits,
    )
    return Listener(
        host=settings.rpc_host,
        port=settings.rpc_port,
        tls=storage.authority.region_tls(str(rack_layer.heartbeat.region_id), hostname),
        name=hostname,
        callbacks=ListenerCallbacks(
            handlers=commands.handlers(),
            admit=rack_layer.admission.admit,
            on_connect=link_supervisor.on_connect,
            on_disconnect=link_supervisor.on_disconnect,
            on_event=link_supervisor.on_event,
        ),
        limits=Limits.with_idle_timeout(settings.link_idle_timeout_s),
    )


def _wire_region(
    settings: RegionSettings,
    storage: Storage,
    rack_layer: RackLayer,
    machine_layer: MachineLayer,
    addresses: AdvertisedAddresses,
) -> Components:
    database = storage.database
    schedule = RefreshSchedule(
        database, machine_layer.refresher, every_s=settings.refresh_every_s, region_id=rack_layer.heartbeat.region_id
    )
    link_supervisor = LinkSupervisor(
        rack_layer.links, rack_layer.heartbeat, rack_layer.reach, rack_layer.calls, rack_layer.guard,
        hosts=machine_layer.hosts.supervised_hosts, access_of=rack_layer.host_access.read,
        changes=machine_layer.machines, refreshes=schedule, wake_waiting=partial(_wake_waiting, database),
    )  # fmt: skip
    accounts = Accounts(database, record_event=Events.record)
    passwords = Passwords(min_length=settings.password_min_length)
    exempt = settings.networks("rate_limit_exempt")
    logins = Logins(database, accounts, passwords, record_event=Events.record, exempt=exempt)
    periods = SessionPeriods(
        idle=timedelta(minutes=settings.session_idle_minutes), lifetime=timedelta(hours=settings.session_hours)
    )
    sessions = Sessions(database, logins, record_event=Events.record, periods=periods)
    limits, https = _limits(settings), _https(settings, database)
    events = Events(database, retention=timedelta(days=settings.keep_events_days))
    audit = Audit(database, retention=timedelta(days=settings.keep_audit_days))
    reconciler = Reconciler(database, auto_repair=settings.reconciler_auto_repair)
    return Components(
        database=database,
        notifications=Notifications(storage.dsn),
        schema_version=SchemaVersionMonitor(database),
        housekeeping=_wire_housekeeping(settings, database, accounts, events, audit, https),
        heartbeat=rack_layer.heartbeat,
        accounts=accounts,
        logins=logins,
        sessions=sessions,
        https=https,
        limits=limits,
        events=events,
        changes=ChangeFeed(),
        operations=machine_layer.operations,
        engine=_wire_engine(settings, storage, rack_layer, machine_layer),
        schedule=schedule,
        link_supervisor=link_supervisor,
        reconciler=reconciler,
        listener=_wire_listener(settings, storage, rack_layer, machine_layer, link_supervisor, limits, audit),
        addresses=addresses,
        services=_wire_services(
            settings,
            database,
            rack_layer,
            machine_layer,
            accounts,
            passwords,
            logins,
            sessions,
            audit,
            events,
            reconciler,
        ),
    )


def _wire_housekeeping(
    settings: RegionSettings,
    database: Database,
    accounts: Accounts,
    events: Events,
    audit: Audit,
    https: HttpsCertificate | None,
) -> Housekeeping:
    async def report_expiry() -> None:
        await report_expiring_certificates(database)
        if https is not None:
            await https.report_expiry()

    periods = RetentionPeriods(
        operations=timedelta(days=settings.keep_operations_days),
        idempotency_keys=timedelta(days=settings.keep_idempotency_keys_days),
    )
    return Housekeeping(
        ClockMonitor(database, refresh_every_s=settings.refresh_every_s),
        Retention(database, periods),
        write_key_use=accounts.write_key_use,
        write_repeated=audit.write_repeated,
        prune_events=events.prune,
        prune_audit=audit.prune,
        report_expiry=report_expiry,
    )


def certificate_files(settings: RegionSettings) -> CertificateFiles | None:
    """None for plain HTTP."""
    if settings.tls_certificate is None or settings.tls_key is None:
        return None
    return CertificateFiles(certificate=settings.tls_certificate, key=settings.tls_key)


def _https(settings: RegionSettings, database: Database) -> HttpsCertificate | None:
    files = certificate_files(settings)
    return None if files is None else HttpsCertificate(files, database)


def _limits(settings: RegionSettings) -> RequestLimits:
    rates = RequestRates(
        requests_per_s=settings.requests_per_s,
        expensive_requests_per_s=settings.expensive_requests_per_s,
        anonymous_requests_per_s=settings.anonymous_requests_per_s,
    )
    return RequestLimits(rates, exempt=settings.networks("rate_limit_exempt"))


def _wire_services(
    settings: RegionSettings,
    database: Database,
    rack_layer: RackLayer,
    machine_layer: MachineLayer,
    accounts: Accounts,
    passwords: Passwords,
    logins: Logins,
    sessions: Sessions,
    audit: Audit,
    events: Events,
    reconciler: Reconciler,
) -> Services:
    layer = machine_layer
    return Services(
        hosts=layer.hosts,
        clusters=layer.clusters,
        machines=layer.machines,
        allocation=layer.allocation,
        ownership=layer.ownership,
        adoption=layer.adoption,
        operations=layer.operations,
        accounts=accounts,
        logins=logins,
        sessions=sessions,
        users=Users(database, accounts, passwords, record_event=Events.record),
        ssh_keys=SshKeys(database, record_event=Events.record),
        groups=layer.groups,
        racks=rack_layer.racks,
        rpc_clients=rack_layer.clients,
        audit=audit,
        events=events,
        networks=Networks(database),
        reconciler=reconciler,
        grants=Grants(database, record_event=Events.record, on_change=accounts.forget_cached),
        quotas=Quotas(database, layer.groups),
    )


async def _wake_waiting(database: Database) -> None:
    async with database.connection() as db:
        await operation_service.wake_waiting(db)
