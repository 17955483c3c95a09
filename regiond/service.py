"""The only place where the parts of the region are put together: made in order, started in order, stopped backwards."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.metadata import version
from uuid import UUID

import structlog
from attrs import frozen
from twisted.internet.error import CannotListenError

from common.bridge import from_deferred
from common.daemon import keep_for_good
from common.errors import BadSettings, DatabaseUnavailable
from common.private_files import make_usable_folder, write_private
from common.rpc.peers import Peer, Role
from common.rpc.session import Limits
from common.rpc.tokens import JoinToken, encode_token
from common.systemd_notify import ServiceManager
from common.values import HostAccess
from regiond.accounts.service import Accounts
from regiond.api.endpoint import SiteInfo
from regiond.api.services import Services
from regiond.api.site import make_site
from regiond.attending import Attendance
from regiond.clocks.service import ClockWatch
from regiond.clusters.service import Clusters
from regiond.clusters.service import take_in as take_in_member
from regiond.credentials.key_pairs import KeyPairs
from regiond.credentials.master_key import open_master_key
from regiond.credentials.service import Credentials
from regiond.db.listener import Notifications
from regiond.db.migrate import MIGRATED_CHANNEL, migrate
from regiond.db.pool import Database
from regiond.db.release import ReleaseWatch
from regiond.events.service import Events
from regiond.groups.service import Groups
from regiond.hosts.refresh import Refresher
from regiond.hosts.rotation import RotateCredentials
from regiond.hosts.schedule import RefreshSchedule
from regiond.hosts.service import Hosts
from regiond.hosts.steps import RefreshHost, RemoveHost
from regiond.hosts.trust import Trust
from regiond.hosts.trust_text import certificate_url
from regiond.installation import open_authority
from regiond.machines.adopting import Adoption
from regiond.machines.adoption_steps import AdoptGuest, ForgetMachine
from regiond.machines.allocating import Allocator
from regiond.machines.compose_steps import ComposeMachine
from regiond.machines.composing import Composer
from regiond.machines.forgotten import restore as restore_forgotten
from regiond.machines.keeping import Keeping
from regiond.machines.moving import Mover
from regiond.machines.release_steps import ReleaseMachine
from regiond.machines.service import Machines
from regiond.machines.steps import CleanUpGuest, DeleteMachine, PowerMachine
from regiond.networks.service import Networks
from regiond.operations import lease_store
from regiond.operations import store as operation_store
from regiond.operations.engine import Engine
from regiond.operations.service import Operations
from regiond.racks import store as rack_store
from regiond.racks.authority import Authority
from regiond.racks.calls import HostCalls
from regiond.racks.links import LiveLinks
from regiond.racks.listener import Listener, Reception
from regiond.racks.presence import Presence, this_machine
from regiond.racks.service import Racks
from regiond.reconciler.service import Reconciler
from regiond.rpc import RpcCommands
from regiond.settings import RegionSettings
from regiond.upkeep import prune_events, watch_expiry

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

API_KEY_FILE = "admin.apikey"
CLOSE_DEADLINE_S = 10.0


@frozen(kw_only=True)
class Parts:
    """Everything that lives as long as the region, made but not started."""

    database: Database
    notifications: Notifications
    release: ReleaseWatch
    clocks: ClockWatch
    presence: Presence
    accounts: Accounts
    events: Events
    operations: Operations
    engine: Engine
    schedule: RefreshSchedule
    attendance: Attendance
    reconciler: Reconciler
    listener: Listener
    rpc_address: Callable[[], str]
    services: Services


@frozen(kw_only=True)
class Region:
    """A region that has started, and where it can be reached."""

    parts: Parts
    api_url: str
    rpc_port: int


class RegionService:
    """One region process."""

    def __init__(self, settings: RegionSettings, manager: ServiceManager) -> None:
        self._settings = settings
        self._manager = manager
        self._http_port = settings.http_port

    async def serve(self) -> None:
        """Until cancelled: then it takes no more work and hands back its leases. Raises what kept it from starting, and
        BadSettings when a newer release has migrated the database meanwhile."""
        async with self.running() as region:
            watchdog = asyncio.create_task(self._manager.keep_alive())
            keep_for_good()
            log.info("region_started", api=region.api_url, rpc_port=region.rpc_port, version=version("innkeeper"))
            self._manager.ready(f"Serving {region.api_url}, racks on port {region.rpc_port}.")
            try:
                await region.parts.release.outdated()
            finally:
                watchdog.cancel()
                self._manager.stopping()
                log.info("region_stopping", operations=region.parts.engine.running)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Region]:
        """Everything started, for as long as the block lasts."""
        async with AsyncExitStack() as started:
            parts = await self._make(started)
            port = await self._start(parts, started)
            api_url = f"http://{self._settings.http_host}:{port}/MAAS/"
            yield Region(parts=parts, api_url=api_url, rpc_port=parts.listener.port)

    async def _make(self, running: AsyncExitStack) -> Parts:
        settings = self._settings
        settings.check()
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
            installation_id: UUID = await rack_store.installation_id(db)
        key_pairs = KeyPairs(master_key, installation_id=installation_id, server_name=socket.gethostname())
        return self._put_together(dsn, database, credentials, key_pairs, authority, installation_id)

    def _put_together(
        self,
        dsn: str,
        database: Database,
        credentials: Credentials,
        key_pairs: KeyPairs,
        authority: Authority,
        installation_id: UUID,
    ) -> Parts:
        settings = self._settings
        hostname = socket.gethostname()
        links, operations, groups = LiveLinks(), Operations(database), Groups(database)

        def rpc_address() -> str:
            return settings.rpc_address or f"{settings.rpc_host}:{listener.port or settings.rpc_port}"

        def told_address() -> str | None:
            return rpc_address() if listener.port else None

        presence = Presence(database, hostname=this_machine(), pid=os.getpid(), rpc_address=told_address)

        def token_text(secret: str) -> str:
            token = JoinToken(addresses=(rpc_address(),), authority_fingerprint=authority.fingerprint, secret=secret)
            return encode_token(token)

        racks = Racks(database, authority, presence, token_text=token_text)

        async def access_of(host_id: int) -> HostAccess:
            return await hosts.access(host_id)

        calls = HostCalls(links, racks, access_of)

        def host_certificate_url(host_name: str) -> str:
            return certificate_url(self._public_url(), host_name)

        hosts = Hosts(
            database, operations, groups, credentials, calls, key_pairs,
            installation_id=installation_id, simulated_allowed=settings.simulated_hosts is not None,
            certificate_url=host_certificate_url,
        )  # fmt: skip
        composer = Composer(
            database, operations, hosts, groups, calls, installation_id=installation_id,
            strategy="pack" if settings.placement_strategy == "pack" else "spread",
        )  # fmt: skip
        machines = Machines(database, operations, calls, composer, installation_id=installation_id)
        allocation = Allocator(database, operations, hosts, groups, composer)
        keeping = Keeping(database, operations, groups, calls, installation_id=installation_id)
        adoption = Adoption(database, operations, hosts, calls, installation_id=installation_id)

        trust = Trust(database, calls, credentials, key_pairs, certificate_url=host_certificate_url)
        refresher = Refresher(
            database, calls, machines.clean_up, operation_store.wake_waiting, take_in_member, trust,
            restore=restore_forgotten,
        )  # fmt: skip
        schedule = RefreshSchedule(database, refresher, every_s=settings.refresh_every_s)
        attendance = Attendance(database, links, racks, hosts, machines, calls, schedule)
        clusters = Clusters(database, hosts, groups)
        works = (
            ComposeMachine(calls, Mover(composer, installation_id=installation_id)),
            PowerMachine(calls, grace_s=settings.power_off_grace_s), ReleaseMachine(calls), DeleteMachine(calls),
            CleanUpGuest(calls), RefreshHost(refresher),
            RemoveHost(machines, clusters, calls), RotateCredentials(database, calls, credentials, key_pairs),
            AdoptGuest(calls), ForgetMachine(calls),
        )  # fmt: skip
        listener = Listener(
            host=settings.rpc_host,
            port=settings.rpc_port,
            tls=authority.region_tls(str(presence.region_id), hostname),
            name=hostname,
            reception=Reception(
                handlers=RpcCommands(racks, hosts, machines, operations).handlers(),
                admit=racks.admit,
                on_link=attendance.arrived,
                on_lost=attendance.left,
                on_event=attendance.told,
            ),
            limits=Limits.of_silence(settings.link_silence_s),
        )
        accounts = Accounts(database)
        events, reconciler = Events(database), Reconciler(database, mends=settings.reconciler_mends)
        return Parts(
            database=database,
            notifications=Notifications(dsn),
            release=ReleaseWatch(database),
            clocks=ClockWatch(database, refresh_every_s=settings.refresh_every_s),
            presence=presence,
            accounts=accounts,
            events=events,
            operations=operations,
            engine=Engine(database, presence.region_id, works),
            schedule=schedule,
            attendance=attendance,
            reconciler=reconciler,
            listener=listener,
            rpc_address=rpc_address,
            services=Services(
                hosts=hosts,
                clusters=clusters,
                machines=machines,
                allocation=allocation,
                keeping=keeping,
                adoption=adoption,
                operations=operations,
                accounts=accounts,
                groups=groups,
                racks=racks,
                events=events,
                networks=Networks(database),
                reconciler=reconciler,
            ),
        )

    async def _start(self, parts: Parts, running: AsyncExitStack) -> int:
        """Start in order; the port of the API. What was started is stopped backwards, also when a later part fails."""
        await self._keep_first_key(parts.accounts)
        _listen_to_database(parts)
        await parts.notifications.start()
        running.push_async_callback(parts.notifications.stop)
        parts.release.start()
        running.push_async_callback(parts.release.stop)
        parts.clocks.start()
        running.push_async_callback(parts.clocks.stop)
        await parts.presence.start()
        running.push_async_callback(parts.presence.stop)
        for dead in await parts.presence.dead_neighbours():
            async with parts.database.connection() as db:
                await lease_store.hand_back(db, dead)
            await parts.presence.forget(dead)
        try:
            parts.listener.start()
            running.push_async_callback(parts.listener.stop)
            await parts.presence.beat()  # now with the address
            port = self._serve_api(parts, running)
        except CannotListenError as error:
            raise BadSettings(f"{error.interface}:{error.port} cannot be listened on: {error.socketError}") from error
        parts.attendance.start()
        running.push_async_callback(parts.attendance.stop)
        parts.schedule.start()
        running.push_async_callback(parts.schedule.stop)
        parts.engine.start()
        running.push_async_callback(parts.engine.stop)
        parts.reconciler.start()
        running.push_async_callback(parts.reconciler.stop)
        for work in (prune_events(parts.events), watch_expiry(parts.database)):
            running.callback(asyncio.create_task(work).cancel)
        return port

    def _serve_api(self, parts: Parts, running: AsyncExitStack) -> int:
        from twisted.internet import reactor  # noqa: PLC0415  # the entry module installs the reactor before

        async def not_ready() -> str | None:
            try:
                async with asyncio.timeout(5.0):
                    await parts.database.check_writable()
            except (DatabaseUnavailable, TimeoutError) as error:
                return str(error) or "The database does not answer."
            return parts.presence.trouble

        info = SiteInfo(
            simulated_hosts=self._settings.simulated_hosts is not None,
            not_ready=not_ready,
            rpc_address=parts.rpc_address,
        )
        site = make_site(parts.services, info)
        port = reactor.listenTCP(self._settings.http_port, site, backlog=512, interface=self._settings.http_host)  # type: ignore[arg-type]  # Klein's site is a factory in all but its type

        async def stop() -> None:
            stopped = port.stopListening()
            if stopped is not None:
                async with asyncio.timeout(CLOSE_DEADLINE_S):
                    await from_deferred(stopped)
                    await site.close()

        running.push_async_callback(stop)
        self._http_port = getattr(port.getHost(), "port", 0)
        return self._http_port

    def _public_url(self) -> str:
        """Scheme, host and port, as people are told them."""
        host = self._settings.http_host
        if host in ("", "0.0.0.0", "::"):  # noqa: S104  # compared, not bound
            host = socket.gethostname()
        given = self._settings.public_url
        return given.rstrip("/") if given else f"http://{f'[{host}]' if ':' in host else host}:{self._http_port}"

    async def _keep_first_key(self, accounts: Accounts) -> None:
        """At the very first start: an account `admin`, its key in a file that only we may read."""
        key = await accounts.ensure_admin()
        if key is not None:
            path = self._settings.state / API_KEY_FILE
            write_private(path, key + "\n")
            log.info("admin_made", key_file=str(path))


def _listen_to_database(parts: Parts) -> None:
    def operation_told(payload: str) -> None:
        number, state, *cancel = payload.split()
        parts.operations.told(int(number), state)
        if cancel:
            parts.engine.cancel_asked(int(number))
        parts.engine.wake()

    def drop(peer_id: str, role: Role, reason: str) -> None:
        parts.listener.drop(lambda peer: _is(peer, role, peer_id), reason)

    tasks: set[asyncio.Task[None]] = set()

    def resync() -> None:
        parts.operations.look_again()
        parts.engine.wake()
        task = asyncio.ensure_future(parts.listener.admit_again())
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    heard = parts.notifications
    heard.on("operation", operation_told)
    heard.on(rack_store.REMOVED_CHANNEL, lambda rack: drop(rack, Role.RACK, "The rack was removed from this region."))
    heard.on(rack_store.REVOKED_CHANNEL, lambda client: drop(client, Role.CLIENT, "The RPC client was revoked."))
    heard.on(MIGRATED_CHANNEL, lambda _: parts.release.look())
    heard.on_resync(resync)
    heard.on_resync(parts.release.look)


def _is(peer: Peer, role: Role, peer_id: str) -> bool:
    return peer.role is role and peer.id == peer_id
