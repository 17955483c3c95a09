"""Builds the rooms that act on hosts and machines, and the engine that runs their operations."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from regiond.clusters.member_check import MemberCheck
from regiond.clusters.service import Clusters, apply_membership
from regiond.db.pool import Db
from regiond.exports.reading import DiskParts
from regiond.groups.service import Groups
from regiond.hosts.changes.host_changes import HostChanges
from regiond.hosts.discovery.refresh import Refresher
from regiond.hosts.service import Hosts
from regiond.hosts.steps import RefreshHost, RemoveHost
from regiond.hosts.trust.host_removal import HostCertificates
from regiond.hosts.trust.rotation import RotateCredentials
from regiond.hosts.trust.service import HostTrust
from regiond.hosts.trust.trust_instructions import certificate_url
from regiond.hosts.views.host_condition import stale_after
from regiond.images.host_images import HostImages
from regiond.machines.arrivals.adoption.restoration import restore as restore_detached
from regiond.machines.arrivals.adoption.service import Adoption
from regiond.machines.arrivals.adoption.steps import AdoptGuest, ForgetMachine
from regiond.machines.arrivals.allocation.service import Allocator
from regiond.machines.arrivals.clones.service import Clones, Templates
from regiond.machines.arrivals.clones.steps import GuestCopies
from regiond.machines.arrivals.compose.model import ClaimOutcome
from regiond.machines.arrivals.compose.rescheduling import Rescheduler
from regiond.machines.arrivals.compose.service import Composer
from regiond.machines.arrivals.compose.stages import build_stages
from regiond.machines.arrivals.compose.steps import ComposeMachine
from regiond.machines.arrivals.transfer.import_steps import ImportedDisks
from regiond.machines.arrivals.transfer.imports import MachineImports
from regiond.machines.bulk.changes import BulkChanges
from regiond.machines.bulk.service import Bulk
from regiond.machines.bulk.steps import BulkSteps
from regiond.machines.core.guest_changes import MachineGuestChanges
from regiond.machines.core.nics.service import MachineNics
from regiond.machines.core.use_evidence import prove_uses
from regiond.machines.devices.service import Devices
from regiond.machines.hardware.change import HardwareTools
from regiond.machines.hardware.disks.kept import KeptDisks
from regiond.machines.hardware.disks.service import MachineDisks
from regiond.machines.hardware.hardware_kinds import HardwareChanges
from regiond.machines.hardware.requests import HardwareRequests
from regiond.machines.leaving.ownership.release import ReleaseMachine
from regiond.machines.leaving.ownership.release_requests import Releases
from regiond.machines.leaving.ownership.service import Ownership
from regiond.machines.leaving.removal.cleanup import CleanUp
from regiond.machines.leaving.removal.deletion import DeleteMachine
from regiond.machines.leaving.removal.host_removal import MachinesOfRemovedHost
from regiond.machines.leaving.removal.interrupted import settle_abandoned
from regiond.machines.power.actions import PowerMachine
from regiond.machines.power.wanted_power.service import WantedPowers
from regiond.machines.running.deployment.service import Deployments
from regiond.machines.running.deployment.steps import DeployMachine, DeploymentTools
from regiond.machines.service import Machines
from regiond.metrics.service import RegionMetrics
from regiond.operations import wait_store
from regiond.operations.engine import Engine
from regiond.operations.handler import OperationHandler
from regiond.operations.model import Operation
from regiond.operations.own_operations import OwnOperations
from regiond.operations.service import Operations
from regiond.process.advertised_addresses import AdvertisedAddresses
from regiond.process.settings import RegionSettings
from regiond.racks.rack_content import RackContent
from regiond.wiring.components import AccountLayer, ImageLayer, MachineLayer, RackLayer, Storage
from regiond.wiring.extension import Built, wire_registrations


def wire_machines(
    settings: RegionSettings,
    storage: Storage,
    rack_layer: RackLayer,
    images: ImageLayer,
    addresses: AdvertisedAddresses,
    metrics: RegionMetrics,
) -> MachineLayer:
    database, installation_id, calls = storage.database, storage.installation_id, rack_layer.calls
    own_operations, groups = OwnOperations(), Groups(database)
    operations = Operations(database, settle_abandoned=settle_abandoned, own_operations=own_operations)
    host_certificate_url = partial(_host_certificate_url, addresses)
    host_changes = HostChanges(
        database, groups, storage.credentials, calls, rack_layer.address_calls, storage.key_pairs,
        simulated_allowed=settings.simulated_hosts is not None,
    )  # fmt: skip
    hosts = Hosts(
        database, operations, storage.credentials, calls, storage.key_pairs, host_changes,
        certificate_url=host_certificate_url, stale_after=stale_after(settings.refresh_every_s),
    )  # fmt: skip
    trust = HostTrust(database, calls, storage.credentials, storage.key_pairs, certificate_url=host_certificate_url)
    requests = HardwareRequests(database, operations, calls)
    registrations = wire_registrations(storage, requests)
    stages = build_stages(
        database, hosts, groups, calls, installation_id=installation_id,
        strategy="pack" if settings.placement_strategy == "pack" else "spread",
        on_claim={one: metrics.claims.counter(one) for one in ClaimOutcome}, registrations=registrations,
        own_operations=own_operations,
    )  # fmt: skip
    templates = Templates(database, installation_id)
    composer = Composer(database, operations, calls, stages, templates)
    clones = Clones(database, composer, templates)
    allocation = Allocator(database, operations, hosts, groups, composer)
    deployments = Deployments(
        database, operations, images.images, storage.credentials, allocation,
        key_pairs=storage.key_pairs, installation_id=installation_id,
    )  # fmt: skip
    machines = Machines(database, operations, calls, installation_id=installation_id, own_operations=own_operations)
    ownership = Ownership(database, operations, groups, installation_id=installation_id)
    releases = Releases(database, operations, calls, installation_id=installation_id)
    hardware = HardwareChanges(
        HardwareTools(
            requests=requests, installation_id=installation_id, images=images.images, export_files=images.export_files
        )
    )
    bulk_changes = BulkChanges(database, hardware)
    return MachineLayer(
        operations=operations,
        groups=groups,
        hosts=hosts,
        clusters=Clusters(database, hosts, groups),
        trust=trust,
        compose_stages=stages,
        own_operations=own_operations,
        machines=machines,
        composer=composer,
        clones=clones,
        allocation=allocation,
        deployments=deployments,
        content=RackContent(images.content),
        host_images=HostImages(database=database, hosts=hosts, calls=calls),
        ownership=ownership,
        releases=releases,
        machine_nics=MachineNics(database),
        machine_disks=MachineDisks(database, operations, installation_id),
        hardware=hardware,
        kept_disks=KeptDisks(database, operations, calls),
        wanted_powers=WantedPowers(database, installation_id),
        machine_imports=MachineImports(
            database=database, operations=operations, composer=composer, hosts=hosts, exports=images.exports
        ),
        devices=Devices(database, groups),
        bulk=Bulk(database, operations, machines, releases, deployments, bulk_changes, clones, storage.credentials),
        bulk_changes=bulk_changes,
        registrations=registrations,
        hardware_requests=requests,
        adoption=Adoption(database, operations, hosts, calls, installation_id=installation_id),
        refresher=Refresher(
            database, calls, trust,
            machines=MachineGuestChanges(), clean_up=machines.clean_up, restore=restore_detached,
            check_members=MemberCheck(database, rack_layer.address_calls, limit=settings.max_cluster_members).check,
            on_facts=apply_membership, on_reachable=_host_is_back,
            observer=metrics.refreshes,
        ),
    )  # fmt: skip


async def _host_is_back(db: Db, host_id: int) -> None:
    await wait_store.wake_waiting(db, host_id)
    await prove_uses(db, host_id)


def _host_certificate_url(addresses: AdvertisedAddresses, host_name: str) -> str:
    return certificate_url(addresses.public_url(), host_name)


def wire_engine(
    settings: RegionSettings,
    storage: Storage,
    rack_layer: RackLayer,
    images: ImageLayer,
    machine_layer: MachineLayer,
    account_layer: AccountLayer,
    extensions: Iterable[Built],
    addresses: AdvertisedAddresses,
    metrics: RegionMetrics,
) -> Engine:
    calls, layer = rack_layer.calls, machine_layer
    handlers: tuple[OperationHandler, ...] = (
        ComposeMachine(
            calls,
            Rescheduler(storage.database, layer.compose_stages, calls, installation_id=storage.installation_id),
            GuestCopies(storage.database, calls),
            ImportedDisks(calls, DiskParts(database=storage.database, space=images.exports.space), layer.content),
            layer.registrations,
        ),
        PowerMachine(calls, grace_s=settings.power_off_grace_s),
        DeployMachine(
            DeploymentTools(
                database=storage.database,
                calls=calls,
                content=layer.content,
                hosts=layer.hosts,
                seal=storage.credentials,
                guest_url=addresses.guest_url,
                time_limit_s=60.0 * settings.deployment_minutes,
                grace_s=settings.power_off_grace_s,
            )
        ),
        ReleaseMachine(calls, storage.database, grace_s=settings.power_off_grace_s),
        DeleteMachine(calls, storage.database, layer.registrations.deleted),
        CleanUp(calls),
        RefreshHost(layer.refresher),
        RemoveHost(
            storage.database,
            MachinesOfRemovedHost(storage.database, installation_id=storage.installation_id),
            layer.clusters,
            layer.host_images,
            calls,
            HostCertificates(storage.database, calls),
        ),
        RotateCredentials(storage.database, calls, storage.credentials, storage.key_pairs),
        AdoptGuest(calls),
        ForgetMachine(calls),
        *layer.hardware.all,
        BulkSteps(
            storage.database,
            layer.machines,
            layer.releases,
            layer.deployments,
            layer.bulk_changes,
            layer.clones,
            storage.credentials,
            current_caller=account_layer.accounts.current_caller,
        ),
        *[one for built in extensions for one in built.handlers],
    )

    def ended(operation: Operation) -> None:
        metrics.operations.ended(operation)
        layer.operations.on_ended(operation)

    return Engine(
        storage.database,
        rack_layer.heartbeat.region_id,
        handlers,
        on_ended=ended,
        tracer=storage.tracer,
        own_operations=layer.own_operations,
    )
