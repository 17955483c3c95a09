"""Region, rack and PostgreSQL as processes of their own, to be killed and started again."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from attrs import define, field

from common.errors import InnkeeperError, LinkLost
from development import postgres
from innkeeper.http import Api, Body, api_url
from rackd.drivers.simulated.pace import Call
from regiond.db.pool import connect
from regiond.ledger.check import check
from regiond.service import API_KEY_FILE
from tests.holding import hold
from tests.ports import free_port
from tests.waiting import eventually

NO_PREFIX: tuple[str, ...] = ()
NOTHING: Mapping[str, str] = {}


@define(kw_only=True)
class Daemons:
    """`rack_prefix` is put before the rack's command: a namespace to enter, say. `settings` are of all daemons."""

    folder: Path
    server_folder: Path
    rack_prefix: tuple[str, ...] = NO_PREFIX
    settings: Mapping[str, str] = NOTHING
    http_port: int = field(factory=free_port)
    rpc_port: int = field(factory=free_port)
    dsn: str = ""
    running: dict[str, subprocess.Popen[bytes]] = field(factory=dict)

    @property
    def api(self) -> Api:
        key = (self.folder / "state" / API_KEY_FILE).read_text().strip()
        return Api(api_url(f"http://127.0.0.1:{self.http_port}/MAAS/"), key)

    async def start(self) -> None:
        """PostgreSQL, a region, and a rack that has joined and is linked."""
        self.start_postgres()
        await self.start_daemons()

    async def start_daemons(self) -> None:
        """A region on the database `dsn`, and a rack that has joined and is linked."""
        (self.folder / "simulated").mkdir()
        await self.start_region()
        token = (await self.api.send("POST", "racks/", query=[("op", "token")])).json()["token"]
        joining = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "rackd", "join", token, env=self.environment()
        )
        assert await joining.wait() == 0
        await self.start_rack()

    def start_postgres(self) -> None:
        self.dsn = postgres.start(self.server_folder, settings=postgres.DURABLE)

    async def start_region(self) -> None:
        self._spawn("region", (sys.executable, "-m", "regiond", "run"))
        await eventually(self.region_is_ready)

    async def start_rack(self) -> None:
        await self._spawn_rack("rack", self.rack_prefix)
        await eventually(self.rack_is_linked)

    async def start_second_region(self) -> None:
        """Equal to the first, on ports of its own; from now on it is the one that is asked."""
        self.http_port, self.rpc_port = free_port(), free_port()
        self._spawn("region-2", (sys.executable, "-m", "regiond", "run"))
        await eventually(self.region_is_ready)

    async def start_second_rack(self) -> None:
        """With an identity of its own, linked to the region that is asked."""
        await self.start_another_rack("second")

    async def start_another_rack(self, name: str, prefix: tuple[str, ...] = NO_PREFIX) -> None:
        """It joins when it is new; the process goes by `rack-NAME`. `prefix` as `rack_prefix`."""
        own = {"INNKEEPER_STATE": str(self.rack_state(name))}
        if not self.rack_state(name).exists():
            token = (await self.api.send("POST", "racks/", query=[("op", "token")])).json()["token"]
            joining = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "rackd", "join", "--name", name, token, env=self.environment() | own
            )
            assert await joining.wait() == 0
        await self._spawn_rack(f"rack-{name}", prefix, own)

        async def is_linked() -> bool:
            racks = (await self.api.get("racks/")).json()
            return any(rack["name"] == name and rack["connected"] for rack in racks)

        await eventually(is_linked)

    def rack_state(self, name: str) -> Path:
        """Where the rack of that name keeps who it is."""
        return self.folder / f"rack-{name}"

    def kill(self, name: str) -> None:
        """-9: it gets no chance to say goodbye."""
        if name == "postgres":
            pid = postgres.running_pid(self.server_folder)
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            return
        process = self.running.pop(name)
        process.kill()
        process.wait(30)

    async def start_again(self, name: str) -> None:
        if name == "postgres":
            self.start_postgres()
        elif name == "region":
            await self.start_region()
        else:
            await self.start_rack()

    def stop(self) -> None:
        for name in tuple(self.running):
            self.kill(name)

    async def region_is_ready(self) -> bool:
        process = self.running["region"]
        assert process.poll() is None, (self.folder / "region.log").read_text()[-4000:]
        try:
            await Api(f"http://127.0.0.1:{self.http_port}/", None).get("healthz/ready")
        except InnkeeperError:
            return False
        return True

    async def rack_is_linked(self) -> bool:
        racks = (await self.api.get("racks/")).json()
        return bool(racks and racks[0]["connected"])

    async def add_host(self, **fields: str) -> int:
        answer = await self.api.send("POST", "vm-hosts/", body=Body(fields=list(fields.items())))
        return int(answer.json()["id"])

    async def begin_compose(self, host_id: int, **fields: Any) -> int:
        """The id of an operation that goes on by itself."""
        answer = await self.api.send(
            "POST",
            f"vm-hosts/{host_id}/",
            query=[("op", "compose")],
            body=Body(fields=[(name, str(value)) for name, value in fields.items()]),
            headers={"Prefer": "respond-async"},
        )
        return int(answer.json()["id"])

    async def compose(self, host_id: int, **fields: Any) -> Any:
        """As clients do it: the answer comes when the machine is there."""
        body = Body(fields=[(name, str(value)) for name, value in fields.items()])
        return (await self.api.send("POST", f"vm-hosts/{host_id}/", query=[("op", "compose")], body=body)).json()

    async def get(self, path: str) -> Any:
        """None while nobody answers: something has just been killed."""
        try:
            return (await self.api.get(path)).json()
        except (LinkLost, InnkeeperError):
            return None

    async def ended(self, operation_id: int, *, deadline_s: float = 90.0) -> str:
        """The state in which the operation ended."""

        async def state() -> str | None:
            operation = await self.get(f"operations/{operation_id}/")
            found = operation["state"] if operation else None
            return found if found in ("succeeded", "failed", "cancelled") else None

        return str(await eventually(state, deadline_s=deadline_s))

    def held(self, name: str, *calls: Call) -> AbstractContextManager[None]:
        """The simulated host answers none of these calls, or none at all, for as long as this lasts."""
        return hold(self.folder / "simulated", name, *calls)

    def has_begun(self, what: str, rack: str = "rack") -> bool:
        """Whether a thread of the rack is about this work, or was."""
        return f'"what": "{what}"' in (self.folder / f"{rack}.log").read_text()

    async def ledger_faults(self) -> list[str]:
        db = await connect(self.dsn, application_name="test")
        try:
            return await check(db)
        finally:
            await db.close()

    async def _spawn_rack(self, name: str, prefix: tuple[str, ...], own: Mapping[str, str] = NOTHING) -> None:
        """Returns when it has a link of its own: what the region says may still be about the one that was killed."""
        log = self.folder / f"{name}.log"
        before = links_made(log)
        self._spawn(name, (*prefix, sys.executable, "-m", "rackd", "run"), own)
        await eventually(lambda: links_made(log) > before)

    def _spawn(self, name: str, argv: tuple[str, ...], own: Mapping[str, str] = NOTHING) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self.running[name] = subprocess.Popen(
                argv, env=self.environment() | dict(own), stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )

    def environment(self) -> dict[str, str]:
        """Of every process that is started here."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("INNKEEPER_")}
        return kept | {
            "INNKEEPER_DATABASE": self.dsn,
            "INNKEEPER_STATE": str(self.folder / "state"),
            "INNKEEPER_HTTP_PORT": str(self.http_port),
            "INNKEEPER_RPC_PORT": str(self.rpc_port),
            "INNKEEPER_SIMULATED_HOSTS": str(self.folder / "simulated"),
            "INNKEEPER_RECONCILER_MENDS": "false",  # no mend may hide a fault
            **{f"INNKEEPER_{key.upper()}": value for key, value in self.settings.items()},
        }


def links_made(rack_log: Path) -> int:
    """How often the rack with that log has had a link."""
    return rack_log.read_text().count('"event": "region_linked"') if rack_log.exists() else 0
