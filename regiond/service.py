"""Starts the components of a region in order and stops them in reverse order."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import structlog
from attrs import frozen
from twisted.internet.error import CannotListenError
from twisted.protocols.tls import TLSMemoryBIOFactory

from common.errors import BadSettings
from common.process.daemon import freeze_gc
from common.process.deferreds import from_deferred
from common.process.open_connections import ConnectionLimits
from common.process.settings_reload import SettingsReload
from common.process.systemd_notify import ServiceManager
from common.release import running_release
from common.rpc.peers import Peer
from common.trust.certificates import Role
from regiond.accounts.local_access import LocalAccess
from regiond.api.declaration.endpoint import SiteInfo
from regiond.api.http.forwarding import ProxyHeaders, TrustedProxies
from regiond.api.http.site import ApiSite, SiteOptions, make_site
from regiond.db.migrate import MIGRATED_CHANNEL
from regiond.events.changes import CHANGED_CHANNEL
from regiond.events.tail import EVENT_CHANNEL
from regiond.operations import lease_store
from regiond.process.listening import listen
from regiond.process.settings import RegionSettings
from regiond.racks.enrolment.rpc_clients import REVOKED_CHANNEL
from regiond.racks.store import REMOVED_CHANNEL
from regiond.ui.pages import make_pages
from regiond.wiring.components import BackgroundTask, Components
from regiond.wiring.health import wire_health
from regiond.wiring.region import wire
from regiond.wiring.reload import apply_settings

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

ADMINISTRATOR_CHANNEL = "administrator_created"
CLOSE_DEADLINE_S = 10.0


@frozen(kw_only=True)
class Region:
    """A running region and its addresses."""

    components: Components
    api_url: str
    rpc_port: int


class RegionService:
    """One region process."""

    def __init__(
        self, settings: RegionSettings, manager: ServiceManager, *, read: Callable[[], RegionSettings] | None = None
    ) -> None:
        """`read` reads the settings again at a reload, and raises BadSettings; without it, they stay as they are."""
        self._settings = settings
        self._manager = manager
        self._read = read or (lambda: settings)
        self._is_stopping = False

    async def serve(self) -> None:
        """Runs the region until cancelled, then stops running operations and releases their leases.

        Raises the error that prevented the region from starting, and BadSettings once a newer release has migrated the
        database.
        """
        async with self.running() as region:
            watchdog = asyncio.create_task(self._manager.keep_alive())
            loop = asyncio.get_running_loop()
            status = f"Serving {region.api_url}, racks on port {region.rpc_port}."
            reload = SettingsReload(
                self._settings,
                read=self._read,
                apply=partial(apply_settings, region.components),
                manager=self._manager,
                status=lambda: status,
            )
            loop.add_signal_handler(signal.SIGHUP, reload.reload)
            freeze_gc()
            log.info("region_started", api=region.api_url, rpc_port=region.rpc_port, version=running_release())
            self._manager.ready(status)
            try:
                await region.components.schema_version.outdated()
            except (asyncio.CancelledError, BadSettings):
                # Also if the schema is newer: its answers say when to repeat the request, a closed port does not.
                await self._drain()
                raise
            finally:
                loop.remove_signal_handler(signal.SIGHUP)
                watchdog.cancel()
                self._manager.stopping()
                log.info("region_stopping", operations=region.components.engine.running)

    async def _drain(self) -> None:
        """Serves for a while, although load balancers learn that they should send requests elsewhere."""
        self._is_stopping = True
        if self._settings.drain_s > 0:
            self._manager.status("Stopping: still serves, until load balancers send requests elsewhere.")
            log.info("region_draining", drain_s=self._settings.drain_s)
            await asyncio.sleep(self._settings.drain_s)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Region]:
        """Yields the region with all components started; stops them at the end of the block."""
        async with AsyncExitStack() as running:
            components = await wire(self._settings, running)
            https = components.https
            fingerprint = str if https is None else lambda: https.current.fingerprint
            access = LocalAccess(components.services.accounts, self._settings.state, fingerprint)
            if https is not None:
                https.on_change(access.write)
            components.notifications.on(ADMINISTRATOR_CHANNEL, lambda _: access.wake())
            await self._start(components, running)
            api_url = f"{components.addresses.local_url()}/MAAS/"
            await access.start(f"{api_url}api/2.0/")
            running.push_async_callback(access.stop)
            yield Region(components=components, api_url=api_url, rpc_port=components.listener.port)

    async def _start(self, components: Components, running: AsyncExitStack) -> None:
        """Starts the components. If one fails to start, `running` stops those that have started."""
        running.push_async_callback(components.services.logins.stop)
        _connect_notifications(components)
        await components.notifications.start()
        running.push_async_callback(components.notifications.stop)
        components.primary.start()
        running.push_async_callback(components.primary.stop)
        components.event_tail.start()
        running.push_async_callback(components.event_tail.stop)
        components.schema_version.start()
        running.push_async_callback(components.schema_version.stop)
        if components.audit_export is not None:
            components.audit_export.start()
            running.push_async_callback(components.audit_export.stop)
        if components.https is not None:
            components.https.start()
            running.push_async_callback(components.https.stop)
        components.image_tasks.start()
        running.push_async_callback(components.image_tasks.stop)
        components.export_tasks.start()
        running.push_async_callback(components.export_tasks.stop)
        components.housekeeping.start()
        running.push_async_callback(components.housekeeping.stop)
        await components.heartbeat.start()
        running.push_async_callback(components.heartbeat.stop)
        await _release_stale_leases(components)
        components.metrics.start()
        running.push_async_callback(components.metrics.stop)
        if components.metrics_listener is not None:
            components.metrics_listener.start()
            running.push_async_callback(components.metrics_listener.stop)
        site = self._site(components)

        async def close_websockets() -> None:  # after the links, whose consoles they are
            async with asyncio.timeout(CLOSE_DEADLINE_S):
                await site.close_websockets()

        running.push_async_callback(close_websockets)
        try:
            components.listener.start()
            running.push_async_callback(components.listener.stop)
            components.addresses.rpc_port = components.listener.port
            await components.heartbeat.write()  # now with the address
            self._start_api(components, site, running)
        except CannotListenError as error:
            raise BadSettings(f"Cannot listen on {error.interface}:{error.port}: {error.socketError}") from error
        background: tuple[BackgroundTask, ...] = (
            components.link_supervisor, components.schedule, components.engine,
            components.services.reconciler, components.services.attention, components.services.wanted_powers,
            components.usage_records,
            *components.of_extensions,
        )  # fmt: skip
        for component in background:
            component.start()
            running.push_async_callback(component.stop)

    def _site(self, components: Components) -> ApiSite:
        info = SiteInfo(
            simulated_hosts=self._settings.simulated_hosts is not None,
            health=wire_health(components, is_stopping=lambda: self._is_stopping).check,
            rpc_address=components.addresses.rpc,
        )
        return make_site(
            components.services, info, options=_site_options(self._settings), limits=components.limits,
            observer=components.metrics.requests, tracer=components.tracer,
            pages=partial(
                make_pages, sessions=components.services.sessions, feed=components.changes, version=running_release()
            ),
        )  # fmt: skip

    def _start_api(self, components: Components, site: ApiSite, running: AsyncExitStack) -> None:
        factory = site if components.https is None else TLSMemoryBIOFactory(components.https, False, site)
        port = listen(factory, host=self._settings.http_host, port=self._settings.http_port)

        async def stop() -> None:
            components.changes.close()
            components.event_tail.close()
            stopped = port.stopListening()
            if stopped is not None:
                async with asyncio.timeout(CLOSE_DEADLINE_S):
                    await from_deferred(stopped)
                    await site.close()

        running.push_async_callback(stop)
        components.addresses.http_port = getattr(port.getHost(), "port", 0)


def _site_options(settings: RegionSettings) -> SiteOptions:
    proxies = settings.networks("trusted_proxies")
    return SiteOptions(
        connections=ConnectionLimits(
            total=settings.http_connections, per_address=settings.http_connections_per_address, proxies=proxies
        ),
        proxies=TrustedProxies(networks=proxies, headers=ProxyHeaders(settings.proxy_headers)),
        hsts_s=settings.hsts_s,
    )


async def _release_stale_leases(components: Components) -> None:
    """Releases the leases of dead region processes of this computer, so that their operations continue at once."""
    for dead in await components.heartbeat.stale_local_regions():
        async with components.database.connection() as db:
            await lease_store.release_leases(db, dead)
        if components.audit_export is not None:
            await components.audit_export.take_over(dead)
        await components.heartbeat.delete_region(dead)


def _connect_notifications(components: Components) -> None:
    notifications = components.notifications

    def on_operation(payload: str) -> None:  # `ID STATE` or `ID STATE cancel`, from a trigger
        number, state, *cancel = payload.split()
        components.changes_of_operations.on_state_changed(int(number), state)
        components.services.operations.on_state_changed(int(number), state)
        components.engine.on_changed(int(number), cancel_requested=bool(cancel))

    def drop(peer_id: str, role: Role, reason: str) -> None:
        def matches(peer: Peer) -> bool:
            return peer.role is role and peer.id == peer_id

        components.listener.drop(matches, reason)

    readmissions: set[asyncio.Task[None]] = set()

    def resync() -> None:
        components.services.operations.recheck()
        components.engine.wake()
        task = asyncio.ensure_future(components.listener.admit_again())
        readmissions.add(task)
        task.add_done_callback(readmissions.discard)

    notifications.on("operation", on_operation)
    notifications.on(REMOVED_CHANNEL, lambda rack: drop(rack, Role.RACK, "The rack was removed from this region."))
    notifications.on(
        REVOKED_CHANNEL,
        lambda client: drop(client, Role.CLIENT, "The RPC client was revoked or its account deactivated."),
    )
    notifications.on(CHANGED_CHANNEL, components.changes.receive)
    notifications.on_lost(components.changes.interrupt)
    notifications.on_resync(components.changes.resync)
    notifications.on(EVENT_CHANNEL, lambda _: components.event_tail.wake())
    notifications.on_resync(components.event_tail.wake)
    notifications.on(MIGRATED_CHANNEL, lambda _: components.schema_version.check())
    notifications.on_resync(resync)
    notifications.on_resync(components.schema_version.check)
    notifications.on_resync(components.heartbeat.wake)
