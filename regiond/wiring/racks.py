"""Builds the layer that reaches hosts: racks, their links and calls, and the listener for links."""

from __future__ import annotations

import os
import socket

from common.release import running_release
from common.rpc.call_observer import CallObserver
from common.rpc.session import Limits
from common.rpc.tokens import JoinToken, encode_token
from regiond.clients.rpc import RpcCommands
from regiond.db.migration_files import packaged
from regiond.hosts.discovery.lost_hosts import LostHosts
from regiond.hosts.host_access import HostAccessReader
from regiond.hosts.trust.exposed_credentials import ExposedCredentials
from regiond.process.advertised_addresses import AdvertisedAddresses
from regiond.process.settings import RegionSettings
from regiond.racks.calls.access_guard import AccessGuard
from regiond.racks.calls.address_calls import AddressCalls
from regiond.racks.calls.host_calls import HostCalls
from regiond.racks.calls.live_links import LiveLinks
from regiond.racks.enrolment.admission import Admission
from regiond.racks.enrolment.listener import Listener, ListenerCallbacks
from regiond.racks.enrolment.rpc_clients import RpcClients
from regiond.racks.reach.heartbeat import Heartbeat, pid_scope
from regiond.racks.reach.link_supervisor import LinkSupervisor
from regiond.racks.reach.service import RackReach
from regiond.racks.service import Racks
from regiond.wiring.components import RackLayer, Storage


def wire_racks(settings: RegionSettings, storage: Storage, addresses: AdvertisedAddresses) -> RackLayer:
    database, authority = storage.database, storage.authority

    def token_text(secret: str) -> str:
        token = JoinToken(addresses=(addresses.rpc(),), authority_fingerprint=authority.fingerprint, secret=secret)
        return encode_token(token)

    heartbeat = Heartbeat(
        database, hostname=pid_scope(), pid=os.getpid(), rpc_address=addresses.rpc_if_listening,
        api_url=addresses.public_url, release=running_release(), schema_number=packaged()[-1].number,
    )  # fmt: skip
    links, exposure = LiveLinks(), ExposedCredentials(storage.credentials)
    racks = Racks(database, authority, heartbeat.region_id, token_text=token_text, exposure=exposure)
    clients, reach = RpcClients(database, authority), RackReach(database, heartbeat.region_id)
    host_access = HostAccessReader(
        database, storage.credentials, storage.key_pairs, installation_id=storage.installation_id
    )
    guard = AccessGuard(database)
    calls = HostCalls(
        links, reach, guard, host_access.read, LostHosts(database), link_idle_timeout_s=settings.link_idle_timeout_s
    )
    return RackLayer(
        heartbeat=heartbeat,
        links=links,
        racks=racks,
        rpc_clients=clients,
        admission=Admission(database, clients),
        reach=reach,
        calls=calls,
        address_calls=AddressCalls(links, reach, guard, host_access.read),
        guard=guard,
        host_access=host_access,
    )


def wire_listener(
    settings: RegionSettings,
    storage: Storage,
    rack_layer: RackLayer,
    commands: RpcCommands,
    link_supervisor: LinkSupervisor,
    observer: CallObserver,
) -> Listener:
    hostname = socket.gethostname()
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
            observer=observer,
        ),
        limits=Limits.with_idle_timeout(settings.link_idle_timeout_s),
    )
