"""Runs PostgreSQL, region and racks as processes; each can be killed with SIGKILL and started again."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attrs import define, field

from common.errors import InnkeeperError
from development import postgres
from innkeeper.http import Api, api_url
from regiond.db.pool import Database
from tests.deployment.deployment import Deployment
from tests.deployment.runner import POSTGRES, RACK, REGION
from tests.support.administrators import API_KEY_FILE, write_first_key
from tests.support.ports import free_port
from tests.support.waiting import eventually

NO_PREFIX: tuple[str, ...] = ()
NO_SETTINGS: Mapping[str, str] = {}
SECOND_REGION = "region-2"
_DEFAULTS = {
    "metrics_host": "",
    "usage_interval_s": "0",  # nothing comes between the calls of a test
    "reconciler_auto_repair": "false",  # no repair may hide a bug
}
_KNOWN = """
from attrs import fields
from rackd.settings import RackSettings
try:
    from regiond.process.settings import RegionSettings
except ImportError:  # release 1.0.0
    from regiond.settings import RegionSettings
print(*(one.name for kind in (RackSettings, RegionSettings) for one in fields(kind)))
"""
_HOST_CALL = re.compile(r'\{[^{}]*"host_call_started"[^{}]*\}')


@define(kw_only=True)
class Processes:
    """One region, its racks and a PostgreSQL in `server_folder`.

    `region_build` and `rack_build` are folders with their packages, by default this checkout. `rack_prefix` is put
    before a rack's command, for example to enter a namespace. All daemons get `settings`, and `_DEFAULTS` as far as
    their build knows them. Each process logs to `NAME.log` in `folder`.
    """

    folder: Path
    server_folder: Path
    rack_prefix: tuple[str, ...] = NO_PREFIX
    settings: Mapping[str, str] = NO_SETTINGS
    region_build: Path | None = None
    rack_build: Path | None = None
    http_port: int = field(factory=free_port)
    rpc_port: int = field(factory=free_port)
    dsn: str = ""
    running: dict[str, subprocess.Popen[bytes]] = field(factory=dict)
    _prefixes: dict[str, tuple[str, ...]] = field(factory=dict)

    @property
    def api(self) -> Api:
        return Api(api_url(f"http://127.0.0.1:{self.http_port}/MAAS/"), self.api_key)

    @property
    def api_key(self) -> str:
        return (self.folder / "state" / API_KEY_FILE).read_text().strip()

    def start_postgres(self) -> None:
        self.dsn = postgres.start(self.server_folder, settings=postgres.DURABLE)

    async def start_region(self) -> None:
        await self._start_region(REGION)

    async def start_second_region(self) -> None:
        """Starts another region on its own ports; from now on `api` is its API and new racks connect to it."""
        self.http_port, self.rpc_port = free_port(), free_port()
        await self._start_region(SECOND_REGION)

    async def upgrade_region(self, name: str, build: Path, *, http_port: int, rpc_port: int) -> None:
        """Starts the region that was stopped again, with the packages in `build`; from now on `api` is its API."""
        self.http_port, self.rpc_port = http_port, rpc_port
        await self._start_region(name, build=build)

    async def _start_region(
        self, name: str, own: Mapping[str, str] = NO_SETTINGS, *, build: Path | None = None
    ) -> None:
        (self.folder / "simulated").mkdir(exist_ok=True)
        environment = await self._environment_of(build or self.region_build)
        command = (sys.executable, "-P", "-m", "regiond", "run")
        self._spawn(name, command, {**environment, **self.region_environment(), **own})
        await eventually(self.region_is_ready)
        if not (self.folder / "state" / API_KEY_FILE).exists():
            database = await Database.open(self.dsn, min_size=1, max_size=1)
            try:
                await write_first_key(database, self.folder / "state")
            finally:
                await database.close()

    async def start_rack(self, name: str = RACK, *, prefix: tuple[str, ...] | None = None) -> None:
        """`prefix` replaces `rack_prefix` for this rack, also when it is started again."""
        if prefix is not None:
            self._prefixes[name] = prefix
        environment = await self._environment_of(self.rack_build)
        environment["INNKEEPER_STATE"] = str(self.rack_state(name))
        if not self.rack_state(name).exists():
            token = (await self.api.send("POST", "racks/", query=[("op", "token")])).json()["token"]
            joining = await asyncio.create_subprocess_exec(
                *self._rack_command(name),
                "join",
                "--name",
                name,
                "-",
                env=environment,
                stdin=subprocess.PIPE,
            )
            await joining.communicate(f"{token}\n".encode())
            assert joining.returncode == 0
        before = self.links_made(name)
        self._spawn(name, (*self._rack_command(name), "run"), environment)
        # The region may still report the link of the process that was killed.
        await eventually(lambda: self.links_made(name) > before)
        await eventually(lambda: self.is_linked(name))

    def _rack_command(self, name: str) -> tuple[str, ...]:
        return (*self._prefixes.get(name, self.rack_prefix), sys.executable, "-P", "-m", "rackd")

    def rack_state(self, name: str = RACK) -> Path:
        """The folder with the rack's identity."""
        return self.folder / f"rack-{name}"

    def links_made(self, name: str = RACK) -> int:
        """How many links the rack has opened."""
        log = self.log(name)
        return log.read_text().count('"event": "region_linked"') if log.exists() else 0

    def log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def has_begun(self, what: str, rack: str = RACK) -> bool:
        """Whether the rack has started this work on a host."""
        return f'"what": "{what}"' in self.log(rack).read_text()

    def host_calls_for(self, after: int, rack: str = RACK) -> list[str]:
        """The calls that the rack started on hosts for operations newer than `after`."""
        # Not by lines: a rack that was killed while it logged leaves a line without its end.
        events = [json.loads(text) for text in _HOST_CALL.findall(self.log(rack).read_text())]
        return [event["what"] for event in events if event["operation"] > after]

    async def stop_rack(self, name: str = RACK) -> None:
        self._end(name, signal.SIGTERM)

        async def is_gone() -> bool:
            return not await self.is_linked(name)

        await eventually(is_gone)

    def kill(self, daemon: str) -> None:
        if daemon == POSTGRES:
            pid = postgres.running_pid(self.server_folder)
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
        else:
            self._end(daemon, signal.SIGKILL)

    async def restart(self, daemon: str) -> None:
        if daemon == POSTGRES:
            self.start_postgres()
        elif daemon == REGION:
            await self.start_region()
        else:
            await self.start_rack(daemon)

    async def stop(self) -> None:
        self.kill_all()

    def kill_all(self) -> None:
        """Kills every process but PostgreSQL."""
        for name in tuple(self.running):
            self.kill(name)

    async def region_is_ready(self) -> bool:
        for name, process in self.running.items():
            assert not name.startswith(REGION) or process.poll() is None, self.log(name).read_text()[-4000:]
        try:
            await Api(f"http://127.0.0.1:{self.http_port}/", None).get("healthz/ready")
        except InnkeeperError:
            return False
        return True

    async def is_linked(self, name: str = RACK) -> bool:
        try:
            racks = (await self.api.get("racks/")).json()
        except InnkeeperError:
            return False
        return any(rack["name"] == name and rack["connected"] for rack in racks)

    def region_environment(self) -> dict[str, str]:
        """What the regions' environment has besides that of every process."""
        return {}

    def environment(self) -> dict[str, str]:
        """The environment of every process started here."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("INNKEEPER_")}
        return inherited | {
            "INNKEEPER_DATABASE": self.dsn,
            "INNKEEPER_STATE": str(self.folder / "state"),
            "INNKEEPER_HTTP_PORT": str(self.http_port),
            "INNKEEPER_RPC_PORT": str(self.rpc_port),
            "INNKEEPER_SIMULATED_HOSTS": str(self.folder / "simulated"),
            **{_variable(key): value for key, value in (_DEFAULTS | dict(self.settings)).items()},
        }

    async def _environment_of(self, build: Path | None) -> dict[str, str]:
        """The environment of a daemon of the build: a release refuses to start with a variable that it does not know.

        What a test sets is for the build to know: only those of `_DEFAULTS` are left out.
        """
        environment = self.environment()
        if build is None:
            return environment
        environment["PYTHONPATH"] = str(build)
        known = await _known_settings(environment)
        for key in _DEFAULTS.keys() - self.settings.keys() - known:
            del environment[_variable(key)]
        return environment

    def _spawn(self, name: str, argv: tuple[str, ...], environment: Mapping[str, str]) -> None:
        with self.log(name).open("ab") as log:
            self.running[name] = subprocess.Popen(
                argv, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )

    def _end(self, name: str, by: signal.Signals) -> None:
        process = self.running.pop(name)
        process.send_signal(by)
        process.wait(30)


def _variable(key: str) -> str:
    return f"INNKEEPER_{key.upper()}"


async def _known_settings(environment: Mapping[str, str]) -> set[str]:
    """Returns the keys of the settings of region and rack in the packages of this environment."""
    asking = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-c", _KNOWN, env=environment, stdout=subprocess.PIPE
    )
    printed, _ = await asking.communicate()
    assert asking.returncode == 0
    return set(printed.decode().split())


def as_processes(folder: Path, server_folder: Path, **more: Any) -> Deployment:
    """A deployment of which nothing is started. Call `kill_all` at the end; the server is the caller's to stop."""
    return Deployment(runner=Processes(folder=folder, server_folder=server_folder, **more))


@contextmanager
def temporary_deployment(prefix: str, **more: Any) -> Iterator[Deployment]:
    """As `as_processes`, in a new folder. At the end the processes and PostgreSQL end and the folder is removed."""
    with tempfile.TemporaryDirectory(prefix=prefix) as made:
        deployment = as_processes(Path(made), Path(made) / "server", **more)
        try:
            yield deployment
        finally:
            deployment.processes.kill_all()
            postgres.stop(deployment.processes.server_folder)
