"""An LXD server of the lab, read and changed as its administrator does, over its Unix socket."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import cache
from ipaddress import IPv4Interface
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4
from zlib import crc32

from attrs import evolve

from common.values import DriverType, HostAccess
from rackd.drivers.lxd.factory import LxdDriverFactory
from rackd.drivers.lxd.inventory.image_copies import SHA256_PROPERTY
from rackd.drivers.lxd.inventory.ownership import MACHINE_KEY
from rackd.drivers.lxd.inventory.power_states import STOPPED
from tests.lab.servers.needs import LAB_DIR
from tests.lab.servers.qemu_monitor import ask_qemu
from tests.lab.servers.socket_api import ask, send_files
from tests.lab.support.key_pair import KeyPair

LAB = Path(__file__).parents[1] / "lab"
WORKER = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
SLOT = (crc32(str(LAB_DIR).encode()) + int(WORKER)) % 100  # each lab of a machine, and each worker, has its own ports
SERVER, SERVER_PORT = f"iksrv{WORKER}", 18400 + SLOT  # a worker's server ends with it
CLUSTER, CLUSTER_PORT, CLUSTER_MEMBERS = "ikcl", 18500 + SLOT, 3
CLUSTER_BRIDGE = f"ikbr{CLUSTER_PORT}"
BOOTING, BOOTING_PORT = "ikboot", 18800 + SLOT
CLIENTS, CLIENTS_PORT = "ikclients", 18900 + SLOT
PAIR = {"iktrust1": 18600 + SLOT, "iktrust2": 18700 + SLOT}
START_S = 120.0


def why_no_lxd() -> str | None:
    if os.geteuid() != 0:
        return "requires root, which starts the lab's LXD"
    if shutil.which("lxd") is None:
        return "requires LXD: tests/lab/lab install-lxd"
    return None


class LxdServer:
    """A running server, or a member of a running cluster."""

    product = "LXD"
    command = "lxc"  # of its client, in what Innkeeper tells people to run
    kind = "lxd"  # the beginning of the name of its folder
    client: tuple[str, ...] = (str(LAB), "lxc")  # its administrator's, before the name of the server
    start_command: tuple[str, ...] = (str(LAB), "start-lxd")
    add_certificate = "add"  # of `config trust`
    named: tuple[str, ...] = ("--name",)  # before the name of a client that gets a token
    least_memory = "64MiB"  # with which a VM stays on

    def __init__(self, name: str, address: str, *, member: str | None = None) -> None:
        self.name, self.address, self.member = name, address, member

    @property
    def own_folder(self) -> Path:
        """The daemon's state."""
        return LAB_DIR / f"{self.kind}-{self.name}"

    @property
    def state_folder(self) -> Path:
        """The state of the daemon that runs the guests: in a cluster, of the member."""
        return LAB_DIR / f"{self.kind}-{self.member or self.name}"

    def lxc(self, *arguments: str, given: str | None = None) -> str:
        """Runs the client of the server's product, and returns what it prints."""
        command = [*self.client, self.name, *arguments]
        done = subprocess.run(command, input=given or "", capture_output=True, text=True, check=False, timeout=120)
        if done.returncode != 0:
            raise AssertionError(f"lxc {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    def ask(self, path: str, *, method: str = "GET", body: Mapping[str, Any] | None = None) -> Any:
        """Returns the metadata of the response; waits for background operations, and returns them as they ended."""
        return ask(self.own_folder / "unix.socket", path, method=method, body=body)

    def send_files(self, path: str, files: Mapping[str, bytes]) -> Any:
        """Posts a form with the files, and returns the operation as it ended."""
        return send_files(self.own_folder / "unix.socket", path, files)

    def access(
        self, pair: KeyPair, *, project: str = "default", pinned: str | None = None, installation: UUID | None = None
    ) -> HostAccess:
        """The access that a region sends to a rack, with the server's certificate pinned unless `pinned` is given."""
        access = HostAccess(
            host_id=1,
            driver=DriverType.LXD,
            address=self.address,
            project=project,
            member=self.member,
            installation_id=installation or uuid4(),
            credentials={"certificate": pair.certificate_pem, "key": pair.key_pem},
        )
        material = pinned or LxdDriverFactory().identify(access).material
        return evolve(access, pinned=material)

    @contextmanager
    def trusting(self, pair: KeyPair, *options: str) -> Iterator[None]:
        """The server trusts this pair until the block ends."""
        self.add_trust(pair, *options)
        try:
            yield
        finally:
            self.remove_trust(pair)

    def add_trust(self, pair: KeyPair, *options: str) -> None:
        path = LAB_DIR / f"{uuid4().hex}.crt"
        path.write_text(pair.certificate_pem)
        try:
            self.lxc("config", "trust", self.add_certificate, str(path), *options)
        finally:
            path.unlink()

    def remove_trust(self, pair: KeyPair) -> None:
        self.distrust(self.trusted() & {pair.fingerprint})

    def trusted(self) -> set[str]:
        return {str(url).rpartition("/")[2] for url in self.ask("/1.0/certificates")}

    @contextmanager
    def restored(self, prefix: str) -> Iterator[None]:
        """Removes at the end what starts with `prefix`, and every certificate that the block added."""
        before = self.trusted()
        yield
        self.sweep(prefix)
        self.distrust(self.trusted() - before)

    def distrust(self, fingerprints: Iterable[str]) -> None:
        for fingerprint in fingerprints:
            self.ask(f"/1.0/certificates/{fingerprint}", method="DELETE")

    def token(self, name: str) -> str:
        return self.lxc("config", "trust", "add", *self.named, name, "-q").strip().splitlines()[-1]

    @property
    def _pid(self) -> int:
        return int(self.own_folder.with_suffix(".pid").read_text())

    def kill(self) -> None:
        """Kills LXD with SIGKILL; its VMs continue. Returns when the process has ended."""
        os.kill(self._pid, signal.SIGKILL)
        stat = Path(f"/proc/{self._pid}/stat")
        with suppress(FileNotFoundError, ProcessLookupError):  # it may end between these calls
            while stat.read_text().rpartition(")")[2].split()[0] != "Z":
                os.sched_yield()

    def start(self) -> None:
        """Starts LXD after `kill`. Returns when it answers and, in a cluster, is in touch with the other members."""
        started_at = datetime.now(UTC).isoformat()
        run_lab(*self.start_command, self.name)
        ends_at = time.monotonic() + START_S
        while self.member and not self._is_back(started_at):
            assert time.monotonic() < ends_at, f"the other members do not find {self.name}"
            time.sleep(0.1)

    def _is_back(self, since: str) -> bool:
        """Returns whether this member has sent a heartbeat, and those that run forward requests to it.

        Before its heartbeat they may mark it offline: the last one is from before the kill, and they wait only 20 s.
        Incus refuses to forward requests to it until it has connected to it, with the heartbeat after that.
        """
        query = {"database": "global", "query": "select name, heartbeat from nodes"}
        heartbeats = dict(self.ask("/internal/sql", method="POST", body=query)["Results"][0]["rows"])
        if str(heartbeats.pop(self.member)) < since:
            return False
        for name in heartbeats:
            try:
                ask(LAB_DIR / f"{self.kind}-{name}" / "unix.socket", f"/1.0?target={self.member}")
            except OSError:
                continue  # it does not run
            except AssertionError:
                return False
        return True

    def restart(self) -> None:
        self.kill()
        self.start()

    @contextmanager
    def without_machines(self, folder: Path) -> Iterator[None]:
        """LXD runs without a working QEMU and offers no VMs. `folder` receives a broken QEMU."""
        broken = folder / "qemu-system-x86_64"
        broken.write_text("#!/bin/sh\nexit 1\n")
        broken.chmod(0o755)
        self.kill()
        run_lab(*self.start_command, self.name, LAB_FIRST=str(folder))
        try:
            yield
        finally:
            self.restart()

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """LXD accepts connections and does not answer."""
        os.kill(self._pid, signal.SIGSTOP)
        while not self._is_stopped():  # threads stop one after the other
            os.sched_yield()
        try:
            yield
        finally:
            os.kill(self._pid, signal.SIGCONT)

    @contextmanager
    def project(self, prefix: str) -> Iterator[str]:
        """A new project, removed with its contents."""
        name = f"{prefix}-{uuid4().hex[:6]}"
        self.lxc("project", "create", name)
        try:
            yield name
        finally:
            self.sweep("", project=name)
            self.lxc("project", "delete", name)

    @contextmanager
    def pool(self, driver: str, *options: str, size_mib: int = 512) -> Iterator[str]:
        """A new storage pool, on a loop device unless it is a folder; removed with its contents."""
        name = f"ikp-{driver}-{uuid4().hex[:6]}"
        size = () if driver == "dir" else (f"size={size_mib}MiB",)
        self.lxc("storage", "create", name, driver, *size, *options)
        try:
            yield name
        finally:
            for pool, volume in tuple(self._custom_volumes()):
                if pool == name:
                    self.lxc("storage", "volume", "delete", name, str(volume["name"]))
            self.lxc("storage", "delete", name)

    def _is_stopped(self) -> bool:
        threads = Path(f"/proc/{self._pid}/task").glob("*/stat")
        return all(stat.read_text().rpartition(")")[2].split()[0] == "T" for stat in threads)

    @property
    def managed_bridge(self) -> str:
        return next(str(one["name"]) for one in self.ask("/1.0/networks?recursion=1") if one["managed"])

    @property
    def managed_subnet(self) -> str:
        """The subnet of the managed bridge, as a network (`10.143.88.0/24`)."""
        own = IPv4Interface(self.ask(f"/1.0/networks/{self.managed_bridge}")["config"]["ipv4.address"])
        return str(own.network)

    def console(self, instance: str) -> str:
        """What the guest has written to its console, as far as LXD keeps it."""
        return self.lxc("console", instance, "--show-log")

    def folder_of(self, instance: str) -> Path:
        """The folder with the disk files of an instance in the default project."""
        return self.state_folder / "virtual-machines" / instance

    @property
    def custom_volumes(self) -> Path:
        """The folder with the custom volumes of the lab's storage pool."""
        return self.state_folder / "storage-pools" / "default" / "custom"

    def volume_files(self, pool: str, instance: str, volume: str) -> tuple[Path, Path]:
        """Where the root disk of an instance and a custom volume are, in a storage pool that has files."""
        folder = self.state_folder / "storage-pools" / pool
        return folder / "virtual-machines" / instance / "root.img", folder / "custom" / f"default_{volume}" / "root.img"

    def process_of(self, instance: str) -> Path:
        """The folder of the running QEMU below `/proc`."""
        pid = (self.own_folder / "logs" / instance / "qemu.pid").read_text()
        return Path("/proc", pid.strip())

    def devices_of(self, instance: str) -> str:
        """The device tree of the running QEMU (`info qtree`). Stops LXD meanwhile: it holds the only connection."""
        self.kill()
        try:
            return ask_qemu(self.own_folder / "logs" / instance / "qemu.monitor", "info qtree")
        finally:
            self.start()

    def make_many(self, prefix: str, project: str, numbers: Iterable[int]) -> None:
        """Creates small foreign instances named `prefix` and a number; in a cluster on this member."""
        target = f"&target={self.member}" if self.member else ""
        for number in numbers:
            body = {
                "name": f"{prefix}{number}",
                "type": "virtual-machine",
                "source": {"type": "none"},
                "profiles": [],
                "config": {"limits.cpu": "1", "limits.memory": self.least_memory},
                "devices": {"root": {"type": "disk", "path": "/", "pool": "default", "size": "16MiB"}},
            }
            self.ask(f"/1.0/instances?project={project}{target}", method="POST", body=body)

    def volumes(self) -> set[tuple[str, str]]:
        """(pool, name) of all custom volumes in all projects."""
        return {(pool, volume["name"]) for pool, volume in self._custom_volumes()}

    def _custom_volumes(self) -> Iterator[tuple[str, dict[str, Any]]]:
        for pool in self.ask("/1.0/storage-pools?recursion=1"):
            for volume in self.ask(f"/1.0/storage-pools/{pool['name']}/volumes?recursion=1&all-projects=true"):
                if volume["type"] == "custom":
                    yield pool["name"], volume

    def instances(self, prefix: str) -> set[tuple[str, str]]:
        """(project, name) of all instances whose name starts with `prefix`."""
        found = self.ask("/1.0/instances?recursion=1&all-projects=true")
        return {(one["project"], one["name"]) for one in found if one["name"].startswith(prefix)}

    def our_images(self) -> set[str]:
        """The fingerprints of the images that Innkeeper copied to the default project, or made there for an import."""
        listed = self.ask("/1.0/images?recursion=1")
        return {str(one["fingerprint"]) for one in listed if {SHA256_PROPERTY, MACHINE_KEY} & set(one["properties"])}

    def delete_our_images(self) -> None:
        for fingerprint in self.our_images():
            self.ask(f"/1.0/images/{fingerprint}", method="DELETE")

    def sweep(self, prefix: str, *, project: str | None = None) -> None:
        """Removes instances and volumes whose name starts with `prefix`, and unused volumes of machines."""
        for its_project, name in self.instances(prefix):
            if project in {None, its_project}:
                where = f"/1.0/instances/{name}"
                if self.ask(f"{where}?project={its_project}")["status_code"] != STOPPED:
                    stop = {"action": "stop", "force": True, "timeout": -1}
                    self.ask(f"{where}/state?project={its_project}", method="PUT", body=stop)
                self.ask(f"{where}?project={its_project}", method="DELETE")
        for pool, volume in self._custom_volumes():
            if (
                volume["name"].startswith((prefix, "ik-"))
                and not volume["used_by"]
                and project in {None, volume["project"]}
            ):
                target = "" if volume["location"] in {"", "none"} else f"&target={volume['location']}"
                url = f"/1.0/storage-pools/{pool}/volumes/custom/{volume['name']}?project={volume['project']}{target}"
                self.ask(url, method="DELETE")


@cache
def lab_server() -> LxdServer:
    """The lab's single LXD server. Starts it if necessary; then it ends with this process."""
    return _server(SERVER, SERVER_PORT)


@cache
def booting_server() -> LxdServer:
    """A server whose guests find their root disk; the others' do not, and end faster (`shim/qemu-system-x86_64`)."""
    _up(("up-lxd", BOOTING, str(BOOTING_PORT)), (BOOTING,), LAB_BOOTS="1")
    return LxdServer(BOOTING, f"127.0.0.1:{BOOTING_PORT}")


@cache
def clients_server() -> LxdServer:
    """A server for tests that run beside the other tests of the lab."""
    return _server(CLIENTS, CLIENTS_PORT)


@cache
def lab_pair() -> tuple[LxdServer, LxdServer]:
    """Two more servers, whose trust stores the tests may change."""
    first, second = (_server(name, port) for name, port in PAIR.items())
    return first, second


@cache
def lab_cluster() -> tuple[LxdServer, ...]:
    """The members of the lab's cluster. Starts them if necessary; then they end with this process."""
    names = tuple(f"{CLUSTER}{number}" for number in range(1, CLUSTER_MEMBERS + 1))
    _up(("up-cluster", CLUSTER, str(CLUSTER_MEMBERS), str(CLUSTER_PORT)), names)
    return tuple(
        LxdServer(name, f"127.0.0.{number + 1}:{CLUSTER_PORT}", member=name) for number, name in enumerate(names, 1)
    )


def _server(name: str, port: int) -> LxdServer:
    _up(("up-lxd", name, str(port)), (name,))
    return LxdServer(name, f"127.0.0.1:{port}")


def _up(command: tuple[str, ...], names: tuple[str, ...], **environment: str) -> None:
    if not (LAB_DIR / f"lxd-{names[0]}.pid").exists():
        atexit.register(run_lab, str(LAB), "stop-lxd", *names)
    run_lab(str(LAB), *command, **environment)


def run_lab(*command: str, **environment: str) -> None:
    """Runs a command of a lab's script, with these additions to the environment."""
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=START_S, env={**os.environ, **environment}
    )
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(command)}: {done.stdout}{done.stderr}")
