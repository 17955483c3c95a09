"""./dev run as a whole: PostgreSQL, region, rack and this machine's libvirt as real processes."""

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
from uuid import UUID
from xml.etree import ElementTree as ET

import pytest
from attrs import field, frozen

from development import processes
from tests.lab.servers.needs import why_no_libvirt
from tests.support.ports import free_port
from tests.support.waiting import eventually, settle

CHECKOUT = Path(__file__).resolve().parents[3]
ADDRESS = "qemu:///system"
UP = "Ctrl-C stops everything started here"
START_S = 200.0

pytestmark = [pytest.mark.lab, pytest.mark.skipif(why_no_libvirt() is not None, reason=why_no_libvirt() or "")]


@frozen(kw_only=True)
class DevRun:
    """A state folder and ports for consecutive runs of ./dev run."""

    state: Path
    ports: tuple[int, int] = field(factory=lambda: (free_port(), free_port()))

    @property
    def environment(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("INNKEEPER_")}
        return {
            **inherited,
            "PATH": f"{CHECKOUT}/.venv/bin:{os.environ['PATH']}",  # else it links `innkeeper` for every user
            "INNKEEPER_STATE": str(self.state),
            "INNKEEPER_HTTP_PORT": str(self.ports[0]),
            "INNKEEPER_RPC_PORT": str(self.ports[1]),
        }

    @property
    def output(self) -> str:
        path = self.state.with_suffix(".out")
        return path.read_text() if path.exists() else ""

    async def launch(self) -> asyncio.subprocess.Process:
        with self.state.with_suffix(".out").open("wb") as log:
            return await asyncio.create_subprocess_exec(
                CHECKOUT / "dev", "run", env=self.environment, stdout=log, stderr=log, start_new_session=True
            )

    async def start(self) -> asyncio.subprocess.Process:
        run = await self.launch()
        await eventually(lambda: UP in self.output or run.returncode is not None, deadline_s=START_S)
        assert run.returncode is None, self.output
        return run

    async def rejected(self) -> str:
        run = await self.launch()
        async with asyncio.timeout(START_S):
            assert await run.wait() == 1, self.output
        return self.output

    def pid(self, name: str) -> int | None:
        process = processes.recorded(self.state / f"pids/{name}.pid")
        return process.pid if process else None

    def leftovers(self) -> list[str]:
        """Returns the command lines of the processes that still run for this state, except the VM."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                environment = (folder / "environ").read_bytes().decode(errors="replace")
            except OSError:
                continue  # it exited meanwhile
            if f"INNKEEPER_STATE={self.state}\0" in environment or f"-D {self.state}/" in command:
                found.append(command)
        return found

    def guests(self) -> list[str]:
        return re.findall(r"^  VM       (\S+) \(", self.output, flags=re.MULTILINE)

    def guest(self) -> str:
        """The name of the first VM, which the output says."""
        names = self.guests()
        assert len(names) == 1, self.output  # it has the reason why there is none
        return names[0]

    def remove_guests(self) -> None:
        for name in virsh("list", "--all", "--name").split():
            if marker_of(name) == self.installation():
                subprocess.run(["virsh", "-c", ADDRESS, "destroy", name], capture_output=True, check=False)
                virsh("undefine", name, "--remove-all-storage")
        for pool in virsh("pool-list", "--name").split():
            for volume in virsh("vol-list", pool).split():
                if volume.startswith(f"ik-{UUID(self.installation()).hex}-"):  # a console's log is no disk of the VM
                    virsh("vol-delete", volume, "--pool", pool)

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


def marker_of(name: str) -> str | None:
    """Returns the installation id in the domain's ownership marker; None without a marker or a domain."""
    try:
        definition = ET.fromstring(virsh("dumpxml", name))  # noqa: S314  # from the local libvirtd
    except subprocess.CalledProcessError:
        return None
    marker = definition.find("metadata/{*}marker")
    return None if marker is None else marker.get("installation")


async def stop(run: asyncio.subprocess.Process, number: signal.Signals = signal.SIGTERM) -> None:
    if run.returncode is None:
        run.send_signal(number)
        async with asyncio.timeout(60):
            await run.wait()


@pytest.fixture(scope="module", autouse=True)
def network_as_before() -> Iterator[None]:
    """Stops the network that a run leaves active for its VM."""
    before = virsh("net-list", "--name").split()
    yield
    for name in set(virsh("net-list", "--name").split()) - set(before):
        virsh("net-destroy", name)


async def test_a_stopped_or_killed_run_leaves_the_vm_and_the_next_finds_it(tmp_path: Path) -> None:
    dev_run = DevRun(state=tmp_path / "state")
    run = await dev_run.start()
    try:
        name = dev_run.guest()
        await stop(run, signal.SIGINT)
        assert run.returncode == 0
        assert dev_run.leftovers() == []
        assert name in virsh("list", "--name").split()

        run = await dev_run.start()
        assert (dev_run.guests(), "found, power on" in dev_run.output) == ([name], True)
        os.killpg(run.pid, signal.SIGKILL)
        await run.wait()
        assert name in virsh("list", "--name").split()

        run = await dev_run.start()
        assert dev_run.guests() == [name]
        assert [guest for guest in virsh("list", "--all", "--name").split() if marker_of(guest) == marker_of(name)] == [
            name
        ]
    finally:
        try:
            dev_run.remove_guests()
        finally:
            await stop(run)
    assert dev_run.leftovers() == []


async def test_a_run_starts_with_a_vm_that_virsh_stopped_or_undefined(tmp_path: Path) -> None:
    dev_run = DevRun(state=tmp_path / "state")
    run = await dev_run.start()
    try:
        name = dev_run.guest()
        virsh("destroy", name)
        await stop(run)
        run = await dev_run.start()
        assert "found, power off" in dev_run.output
        assert name not in virsh("list", "--name").split()

        virsh("undefine", name, "--remove-all-storage")
        await stop(run)
        run = await dev_run.start()
        assert f"{name} (" in dev_run.output
        assert "libvirt has no such domain any more" in dev_run.output
    finally:
        try:
            dev_run.remove_guests()
        finally:
            await stop(run)


async def test_a_region_killed_while_the_first_vm_is_added_delays_it(tmp_path: Path) -> None:
    dev_run = DevRun(state=tmp_path / "state")
    run = await dev_run.launch()
    try:
        adding = "Adding this machine's libvirt"
        await eventually(lambda: adding in dev_run.output or run.returncode is not None, deadline_s=START_S)
        assert run.returncode is None, dev_run.output
        region = dev_run.pid("regiond")
        assert region is not None
        os.kill(region, signal.SIGKILL)
        await eventually(lambda: UP in dev_run.output or run.returncode is not None, deadline_s=START_S)
        assert run.returncode is None, dev_run.output
        assert "Waiting until the region is available again." in dev_run.output
        name = dev_run.guest()
        assert name in virsh("list", "--name").split()
    finally:
        try:
            dev_run.remove_guests()
        finally:
            await stop(run)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevRun]:
    """One run, shared by the tests that do not end it."""
    dev_run = DevRun(state=tmp_path_factory.mktemp("dev-run") / "state")
    run = settle(dev_run.start())
    try:
        dev_run.innkeeper(
            f"innkeeper login admin http://127.0.0.1:{dev_run.ports[0]}/MAAS @{dev_run.state}/admin.apikey"
        )
        dev_run.innkeeper("innkeeper admin vm-host update 1 cpu_over_commit_ratio=10")  # the first VM may use all cores
        yield dev_run
        dev_run.remove_guests()
    finally:
        settle(stop(run))


def test_a_first_run_leaves_a_running_vm_with_our_marker(running: DevRun) -> None:
    name = running.guest()
    assert name in virsh("list", "--name").split()
    assert marker_of(name) == running.installation()
    assert "composed and started, power on" in running.output


def test_only_its_owner_can_read_the_administrator_key(running: DevRun) -> None:
    assert (running.state / "admin.apikey").stat().st_mode & 0o777 == 0o600


def test_the_printed_next_commands_work(running: DevRun) -> None:
    commands = re.findall(r"^  (virsh .*|\S+/innkeeper .*)$", running.output, flags=re.MULTILINE)
    # On a machine whose cores are taken it also prints an update, to a smaller ratio than the fixture's.
    outputs = [running.innkeeper(command) for command in commands if " vm-host update " not in command]
    assert len(outputs) == 4
    assert running.guest() in outputs[0]
    assert '"name": "local"' in outputs[2]
    system_id = json.loads(outputs[3])["system_id"]
    running.innkeeper(f"innkeeper admin machine delete {system_id}")


def test_the_command_line_prints_storage_pools_of_the_host(running: DevRun) -> None:
    table = running.innkeeper(
        """innkeeper admin vm-host read 1 | jq -r '(["NAME","TYPE","PATH","TOTAL","USED","AVAIL"] """
        """| (., map(length*"-"))), (.storage_pools[] """
        """| [.name, .type, .path, .total, .used, .available]) | @tsv' | column -t"""
    )
    head, line, *pools = [row.split() for row in table.splitlines()]
    assert (head, line[0]) == (["NAME", "TYPE", "PATH", "TOTAL", "USED", "AVAIL"], "----")
    assert {pool[0] for pool in pools} >= set(virsh("pool-list", "--name").split())


def test_the_program_in_the_readme_composes_a_vm(running: DevRun) -> None:
    running.innkeeper(f"cd {running.state} && innkeeper client issue robot")
    (program,) = re.findall(r"```python\n(.*?)```", _readme(), flags=re.DOTALL)
    (running.state / "robot.py").write_text(program.replace("127.0.0.1:5250", f"127.0.0.1:{running.ports[1]}"))
    output = running.innkeeper(f"cd {running.state} && python -P robot.py")
    composed = re.fullmatch(r"Composed (\w+)\.\n", output)
    assert composed, output
    running.innkeeper(f"innkeeper admin machine delete {composed[1]}")


def test_the_simulated_host_in_the_readme_is_added(running: DevRun) -> None:
    (command,) = re.findall(r"(innkeeper vm-hosts create type=simulated .*?)```", _readme(), flags=re.DOTALL)
    host = json.loads(running.innkeeper(command))
    assert host["total"] == {"cores": 4, "memory": 12288, "local_storage": 100_000_000_000}


async def test_a_killed_daemon_is_restarted(running: DevRun) -> None:
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

    await eventually(ready)
    assert "regiond was killed by signal 9; restarting it in 1 s." in running.output


async def test_a_second_run_on_the_same_state_is_rejected(running: DevRun) -> None:
    other = DevRun(state=running.state.with_name("second"), ports=running.ports)
    assert f"port {running.ports[0]} is not free" in await other.rejected()
    run = await asyncio.create_subprocess_exec(
        CHECKOUT / "dev", "run", env=running.environment, stderr=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    _, errors = await run.communicate()
    assert run.returncode == 1
    assert re.fullmatch(r"\./dev run: another \./dev run \(process \d+\) uses .*\n", errors.decode())
