"""./dev run, whole: PostgreSQL, region, rack and this machine's libvirt, in processes of their own."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from attrs import field, frozen

from development import processes
from tests.lab.needs import why_no_libvirt
from tests.ports import free_port
from tests.waiting import eventually, settle

CHECKOUT = Path(__file__).resolve().parents[2]
ADDRESS = "qemu:///system"
UP = "Ctrl-C stops all that was started here"
START_S = 110.0

pytestmark = [pytest.mark.lab, pytest.mark.skipif(why_no_libvirt() is not None, reason=why_no_libvirt() or "")]


@frozen(kw_only=True)
class Place:
    """A state folder and ports of its own; several runs may use it, one after the other."""

    state: Path
    ports: tuple[int, int] = field(factory=lambda: (free_port(), free_port()))

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("INNKEEPER_")}
        return {
            **kept,
            "INNKEEPER_STATE": str(self.state),
            "INNKEEPER_HTTP_PORT": str(self.ports[0]),
            "INNKEEPER_RPC_PORT": str(self.ports[1]),
        }

    @property
    def said(self) -> str:
        path = self.state.with_suffix(".out")
        return path.read_text() if path.exists() else ""

    async def begin(self) -> asyncio.subprocess.Process:
        with self.state.with_suffix(".out").open("wb") as output:
            return await asyncio.create_subprocess_exec(
                CHECKOUT / "dev", "run", env=self.environment, stdout=output, stderr=output, start_new_session=True
            )

    async def start(self) -> asyncio.subprocess.Process:
        run = await self.begin()
        await eventually(lambda: UP in self.said or run.returncode is not None, deadline_s=START_S)
        assert run.returncode is None, self.said
        return run

    async def refused(self) -> str:
        run = await self.begin()
        async with asyncio.timeout(START_S):
            assert await run.wait() == 1, self.said
        return self.said

    def pid(self, name: str) -> int | None:
        process = processes.remembered(self.state / f"pids/{name}.pid")
        return process.pid if process else None

    def left(self) -> list[str]:
        """What still runs for this state, except the VM."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                environment = (folder / "environ").read_bytes().decode(errors="replace")
            except OSError:
                continue  # it ended while we looked
            if f"INNKEEPER_STATE={self.state}\0" in environment or f"-D {self.state}/" in command:
                found.append(command)
        return found

    def guests(self) -> list[str]:
        return re.findall(r"^  VM       (\S+) \(", self.said, flags=re.MULTILINE)

    def remove_guests(self) -> None:
        for name in virsh("list", "--all", "--name").split():
            if mark_of(name) == self.installation():
                subprocess.run(["virsh", "-c", ADDRESS, "destroy", name], capture_output=True, check=False)
                virsh("undefine", name, "--remove-all-storage")

    def installation(self) -> str:
        identity: dict[str, str] = json.loads((self.state / "rackd/identity.json").read_text())
        return identity["installation_id"]

    def innkeeper(self, command: str) -> str:
        home = {"XDG_CONFIG_HOME": str(self.state / "config"), "PATH": f"{CHECKOUT}/.venv/bin:{os.environ['PATH']}"}
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            env={**self.environment, **home},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


def _readme() -> str:
    return (CHECKOUT / "README.md").read_text()


def virsh(*command: str) -> str:
    return subprocess.run(
        ["virsh", "-c", ADDRESS, *command], capture_output=True, text=True, check=True, timeout=60
    ).stdout


def mark_of(name: str) -> str | None:
    """The installation that the domain's mark names. None also for a domain of others that has gone meanwhile."""
    try:
        definition = ET.fromstring(virsh("dumpxml", name))  # noqa: S314 - from our own libvirtd
    except subprocess.CalledProcessError:
        return None
    mark = definition.find("metadata/{*}mark")
    return None if mark is None else mark.get("installation")


async def stop(run: asyncio.subprocess.Process, number: signal.Signals = signal.SIGTERM) -> None:
    if run.returncode is None:
        run.send_signal(number)
        async with asyncio.timeout(60):
            await run.wait()


@pytest.fixture(scope="module", autouse=True)
def network_as_before() -> Iterator[None]:
    """A run leaves the network on for the VM that stays; here the VM goes."""
    before = virsh("net-list", "--name").split()
    yield
    for name in set(virsh("net-list", "--name").split()) - set(before):
        virsh("net-destroy", name)


@pytest.mark.deadline(400)
async def test_stopping_leaves_only_the_vm_and_the_next_run_finds_it_also_after_a_kill(tmp_path: Path) -> None:
    place = Place(state=tmp_path / "state")
    run = await place.start()
    try:
        (name,) = place.guests()
        await stop(run, signal.SIGINT)
        assert run.returncode == 0
        assert place.left() == []
        assert name in virsh("list", "--name").split()

        run = await place.start()
        assert (place.guests(), "found again, power on" in place.said) == ([name], True)
        run.kill()
        await run.wait()

        run = await place.start()
        assert place.guests() == [name]
        assert [guest for guest in virsh("list", "--all", "--name").split() if mark_of(guest) == mark_of(name)] == [
            name
        ]
    finally:
        try:
            place.remove_guests()
        finally:
            await stop(run)
    assert place.left() == []


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """One run for the tests that do not end it."""
    place = Place(state=tmp_path_factory.mktemp("dev-run") / "state")
    run = settle(place.start())
    try:
        place.innkeeper(f"innkeeper login admin http://127.0.0.1:{place.ports[0]}/MAAS @{place.state}/admin.apikey")
        place.innkeeper("innkeeper admin vm-host update 1 cpu_over_commit_ratio=10")  # the first VM may fill the cores
        yield place
        place.remove_guests()
    finally:
        settle(stop(run))


def test_a_first_run_ends_in_a_running_vm_with_our_mark(running: Place) -> None:
    (name,) = running.guests()
    assert name in virsh("list", "--name").split()
    assert mark_of(name) == running.installation()
    assert "composed and started, power on" in running.said


def test_the_administrators_key_is_readable_by_its_owner_alone(running: Place) -> None:
    assert (running.state / "admin.apikey").stat().st_mode & 0o777 == 0o600


def test_the_next_commands_work_as_they_are_printed(running: Place) -> None:
    commands = re.findall(r"^  (virsh .*|\S+/innkeeper .*)$", running.said, flags=re.MULTILINE)
    outputs = [running.innkeeper(command) for command in commands]
    assert len(outputs) == 4
    assert running.guests()[0] in outputs[0]
    assert '"name": "local"' in outputs[2]
    made = json.loads(outputs[3])["system_id"]
    running.innkeeper(f"innkeeper admin machine delete {made}")


def test_the_command_line_prints_the_hosts_storage_pools(running: Place) -> None:
    table = running.innkeeper(
        """innkeeper admin vm-host read 1 | jq -r '(["NAME","TYPE","PATH","TOTAL","USED","AVAIL"] """
        """| (., map(length*"-"))), (.storage_pools[] """
        """| [.name, .type, .path, .total, .used, .available]) | @tsv' | column -t"""
    )
    head, line, *pools = [row.split() for row in table.splitlines()]
    assert (head, line[0]) == (["NAME", "TYPE", "PATH", "TOTAL", "USED", "AVAIL"], "----")
    assert {pool[0] for pool in pools} >= set(virsh("pool-list", "--name").split())


def test_the_readmes_program_composes_a_vm_and_waits_for_it(running: Place) -> None:
    running.innkeeper(f"cd {running.state} && innkeeper client issue robot")
    (program,) = re.findall(r"```python\n(.*?)```", _readme(), flags=re.DOTALL)
    (running.state / "robot.py").write_text(program.replace("127.0.0.1:5250", f"127.0.0.1:{running.ports[1]}"))
    said = running.innkeeper(f"cd {running.state} && python -P robot.py")
    made = re.fullmatch(r"Composed (\w+)\.\n", said)
    assert made, said
    running.innkeeper(f"innkeeper admin machine delete {made[1]}")


def test_the_readmes_simulated_host_is_added(running: Place) -> None:
    (command,) = re.findall(r"innkeeper (admin vm-hosts create type=simulated .*?)```", _readme(), flags=re.DOTALL)
    host = json.loads(running.innkeeper(f"innkeeper {command}"))
    assert host["total"] == {"cores": 4, "memory": 12288, "local_storage": 100_000_000_000}


async def test_a_daemon_that_is_killed_is_started_again(running: Place) -> None:
    for name in ("regiond", "rackd"):
        first = running.pid(name)
        assert first is not None
        os.kill(first, signal.SIGKILL)
        await eventually(lambda name=name, first=first: running.pid(name) not in (None, first))  # type: ignore[misc]  # mypy cannot infer a lambda's defaults
    health = f"http://127.0.0.1:{running.ports[0]}/healthz/ready"

    async def ready() -> bool:
        try:
            await asyncio.to_thread(urllib.request.urlopen, health, timeout=5)
        except OSError:
            return False
        return True

    await eventually(ready, deadline_s=90.0)
    assert "regiond was ended by signal 9; starting it again in 1 s." in running.said


async def test_a_second_run_on_the_same_state_is_refused(running: Place) -> None:
    other = Place(state=running.state.with_name("second"), ports=running.ports)
    assert f"port {running.ports[0]} is not free" in await other.refused()
    run = await asyncio.create_subprocess_exec(
        CHECKOUT / "dev", "run", env=running.environment, stderr=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    _, said = await run.communicate()
    assert run.returncode == 1
    assert re.fullmatch(r"\./dev run: another \./dev run \(process \d+\) uses .*\n", said.decode())
