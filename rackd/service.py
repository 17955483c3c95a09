"""Builds the rack's components and runs them."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from functools import partial

import structlog

from common.installed_drivers import installed_drivers
from common.process.logging import configure_logging
from common.process.metrics_site import metrics_listener
from common.process.settings_reload import SettingsReload
from common.process.systemd_notify import ServiceManager
from common.rpc.link import Link
from common.rpc.session import Limits
from common.rpc.traced_calls import TracedCalls
from common.tracing.export import open_tracer
from common.values import DriverType
from rackd import identity as identities
from rackd.commands import HostCommands
from rackd.console_commands import ConsoleCommands
from rackd.deployment_commands import DeploymentCommands
from rackd.drivers.contract import DriverSetup
from rackd.drivers.installed import InstalledDriver
from rackd.drivers.registry import DriverRegistry
from rackd.event_watch import EventWatcher
from rackd.executor import Executor
from rackd.fenced_calls import FencedCalls
from rackd.fencing_tokens import FencingTokens
from rackd.identity import Identity
from rackd.rack_metrics import RackMetrics
from rackd.region_content import RegionContent
from rackd.region_link import Environment, RegionLinks
from rackd.reports.guest_reports import GuestReports
from rackd.reports.report_listener import report_listener
from rackd.settings import LOGGED_AS, RackSettings
from rackd.usage.commands import UsageCommands
from rackd.usage.guest_metrics import GuestMetrics
from rackd.usage.history import Histories
from rackd.usage.sampler import UsageSampler

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

STOP_GRACE_S = 3.0


def make_drivers(settings: RackSettings, reports: GuestReports) -> DriverRegistry:
    """Returns the installed drivers that `settings` enables. `reports` receives the reports of simulated guests."""
    setup = DriverSetup(
        simulated_hosts=settings.simulated_hosts,
        report_boot=reports.report_from_thread,
        user_data=reports.user_data_from_thread,
    )
    absent: dict[DriverType, str] = {}
    if settings.simulated_hosts is None:
        absent[DriverType.SIMULATED] = "the setting simulated_hosts is not set"
    found = {kind: InstalledDriver(entry, setup) for kind, entry in installed_drivers().items() if kind not in absent}
    return DriverRegistry(found, absent=absent)


class RackService:
    """A rack that has joined a region."""

    def __init__(
        self,
        settings: RackSettings,
        identity: Identity,
        manager: ServiceManager,
        *,
        drivers: DriverRegistry | None = None,
        environment: Environment | None = None,
        read: Callable[[], RackSettings] | None = None,
    ) -> None:
        """`drivers` replaces those that `settings` enables.

        `read` reads the settings again at a reload, and raises BadSettings; without it, they stay as they are.
        """
        self._reload = SettingsReload(
            settings, read=read or (lambda: settings), apply=self._apply, manager=manager, status=lambda: self.status
        )
        self._tracer = open_tracer(settings.traces, service="rackd", instance=identity.name)
        self._reports = GuestReports(lambda: self._links.links)
        drivers = drivers or make_drivers(settings, self._reports)
        self._manager = manager
        self._metrics = RackMetrics()
        self._executor = Executor(
            drivers.open, max_calls=settings.max_calls, max_hung_calls=settings.max_hung_calls,
            observe=self._metrics.driver_calls.observe,
        )  # fmt: skip
        fenced = FencedCalls(self._executor, FencingTokens())
        watcher = EventWatcher(self._executor)
        commands = HostCommands(executor=self._executor, drivers=drivers, fenced=fenced, event_watcher=watcher)
        histories = Histories()
        self._sampler = UsageSampler(
            self._executor, lambda: watcher.watched, histories, every_s=settings.usage_interval_s
        )
        deployment = DeploymentCommands(fenced, RegionContent(lambda: self._links.links))
        self._links = RegionLinks(
            identity,
            {
                **commands.handlers(),
                **deployment.handlers(),
                **ConsoleCommands(self._executor).handlers(),
                **UsageCommands(histories).handlers(),
            },
            save=partial(identities.save, settings.identity_folder),
            on_link=self._links_changed,
            on_lost=self._links_changed,
            limits=Limits.with_idle_timeout(settings.link_idle_timeout_s),
            observer=TracedCalls(self._tracer, self._metrics.calls),
            environment=environment,
        )
        self._types = drivers.types
        self._metrics.add_state(self._executor, self._links, drivers.types)
        if settings.metrics_guests:
            GuestMetrics(self._metrics.registry, histories)
        self._metrics_listener = metrics_listener(
            self._metrics.registry,
            host=settings.metrics_host,
            port=settings.metrics_port,
            prepare=self._metrics.prepare,
        )
        self._listener = (
            None
            if settings.report_port == 0
            else report_listener(settings.report_host, settings.report_port, self._reports)
        )

    @property
    def status(self) -> str:
        """One line for `systemctl status`."""
        identity = self._links.identity
        return f"Rack {identity.name}: linked to {self._links.connected} of {len(identity.addresses)} regions."

    @property
    def report_port(self) -> int | None:
        """The port on which guests report; None without such a setting."""
        return None if self._listener is None else self._listener.port

    @property
    def metrics_port(self) -> int | None:
        """The port of the metrics; None without such a setting."""
        return None if self._metrics_listener is None else self._metrics_listener.port

    @property
    def links(self) -> tuple[Link, ...]:
        """The open links to regions."""
        return self._links.links

    async def serve(self) -> None:
        """Runs until cancelled. Reports ready at once: restarting the rack does not help if a region is down."""
        watchdog = asyncio.create_task(self._manager.keep_alive(), name="watchdog")
        self._reports.bind()
        listeners = [one for one in (self._listener, self._metrics_listener) if one is not None]
        for listener in listeners:
            listener.start()
        self._metrics.start()
        self._links.start()
        self._sampler.start()
        identity = self._links.identity
        log.info("rack_started", rack=identity.name, rack_id=identity.rack_id, drivers=self._types)
        self._manager.ready(self.status)
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, self._reload.reload)
        try:
            await asyncio.Event().wait()
        finally:
            loop.remove_signal_handler(signal.SIGHUP)
            self._manager.stopping()
            for listener in listeners:
                await listener.stop()
            await self._sampler.stop()
            await self._links.stop()
            await self._executor.stop(grace_s=STOP_GRACE_S)
            await self._metrics.stop()
            await self._tracer.stop()
            watchdog.cancel()
            await asyncio.gather(watchdog, return_exceptions=True)
            log.info("rack_stopped", rack=identity.name)

    def _apply(self, settings: RackSettings, changed: frozenset[str]) -> None:
        if "log_level" in changed:
            configure_logging(level=settings.log_level, process={**LOGGED_AS, "rack": self._links.identity.name})

    async def _links_changed(self, _: Link) -> None:
        self._manager.status(self._reload.status)
