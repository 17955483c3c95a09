"""An LXD server of the lab as its administrator sees it: over its own unix socket, beside what Innkeeper does."""

from __future__ import annotations

import atexit
import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from attrs import evolve

from common.values import DriverType, HostAccess
from rackd.drivers.lxd.opening import LxdOpening
from tests.lab.key_pair import KeyPair
from tests.lab.needs import LAB_DIR

LAB = Path(__file__).parent / "lab"
SERVER, SERVER_PORT = "iksrv", 18461
CLUSTER, CLUSTER_PORT, CLUSTER_MEMBERS = "ikcl", 18471, 2
START_S = 120.0


def why_no_lxd() -> str | None:
    if os.geteuid() != 0:
        return "needs root: the lab's LXD is started by root"
    if shutil.which("lxd") is None:
        return "needs LXD: tests/lab/lab install-lxd"
    return None


class LxdServer:
    """A running server, or a member of a running cluster. `lxc` is an administrator's hands."""

    def __init__(self, name: str, address: str, *, member: str | None = None) -> None:
        self.name, self.address, self.member = name, address, member

    def lxc(self, *arguments: str, given: str | None = None) -> str:
        command = [str(LAB), "lxc", self.name, *arguments]
        done = subprocess.run(command, input=given or "", capture_output=True, text=True, check=False, timeout=120)
        if done.returncode != 0:
            raise AssertionError(f"lxc {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    def ask(self, path: str, *, method: str = "GET", body: Mapping[str, Any] | None = None) -> Any:
        """The metadata of an answer; changes are waited for."""
        data = () if body is None else ("-d", json.dumps(body))
        said = self.lxc("query", "--wait", "-X", method, *data, path).strip()
        return json.loads(said) if said else None

    def access(
        self, pair: KeyPair, *, project: str = "default", pinned: str | None = None, installation: UUID | None = None
    ) -> HostAccess:
        """What the region gives a rack; the server's certificate is pinned as it is unless another is given."""
        access = HostAccess(
            host_id=1,
            driver=DriverType.LXD,
            address=self.address,
            project=project,
            member=self.member,
            installation_id=installation or uuid4(),
            credentials={"certificate": pair.certificate_pem, "key": pair.key_pem},
        )
        material = pinned or LxdOpening().identify(access).material
        return evolve(access, pinned=material)

    @contextmanager
    def trusting(self, pair: KeyPair, *options: str) -> Iterator[None]:
        """The server trusts this pair for as long as this lasts."""
        self.add_trust(pair, *options)
        try:
            yield
        finally:
            self.remove_trust(pair)

    def add_trust(self, pair: KeyPair, *options: str) -> None:
        path = LAB_DIR / f"{uuid4().hex}.crt"
        path.write_text(pair.certificate_pem)
        try:
            self.lxc("config", "trust", "add", str(path), *options)
        finally:
            path.unlink()

    def remove_trust(self, pair: KeyPair) -> None:
        if pair.fingerprint in self.trusted():
            self.ask(f"/1.0/certificates/{pair.fingerprint}", method="DELETE")

    def trusted(self) -> set[str]:
        return {str(url).rpartition("/")[2] for url in self.ask("/1.0/certificates")}

    def token(self, name: str) -> str:
        return self.lxc("config", "trust", "add", "--name", name, "-q").strip().splitlines()[-1]

    def restart(self) -> None:
        """kill -9, and started again; its VMs run on."""
        subprocess.run([str(LAB), "restart-lxd", self.name], check=True, capture_output=True, timeout=START_S)

    def instances(self, prefix: str) -> set[tuple[str, str]]:
        """(project, name) of all whose name starts with `prefix`."""
        found = self.ask("/1.0/instances?recursion=1&all-projects=true")
        return {(one["project"], one["name"]) for one in found if one["name"].startswith(prefix)}

    def sweep(self, prefix: str, *, volumes: str = "ik-") -> None:
        """Remove instances whose name starts with `prefix`, and volumes that start with it or are a machine's."""
        for project, name in self.instances(prefix):
            self.lxc("delete", "--force", "--project", project, name)
        for pool in self.ask("/1.0/storage-pools?recursion=1"):
            where = f"/1.0/storage-pools/{pool['name']}/volumes"
            for volume in self.ask(f"{where}?recursion=1&all-projects=true"):
                if (
                    volume["type"] == "custom"
                    and volume["name"].startswith((prefix, volumes))
                    and not volume["used_by"]
                ):
                    target = "" if volume["location"] in {"", "none"} else f"&target={volume['location']}"
                    url = f"{where}/custom/{volume['name']}?project={volume['project']}{target}"
                    self.ask(url, method="DELETE")


@cache
def lab_server() -> LxdServer:
    """The lab's one LXD server, started when it is not there; then it ends with this process."""
    _up(("up-lxd", SERVER, str(SERVER_PORT)), (SERVER,))
    return LxdServer(SERVER, f"127.0.0.1:{SERVER_PORT}")


@cache
def lab_cluster() -> tuple[LxdServer, ...]:
    """The members of the lab's cluster, started when they are not there; then they end with this process."""
    names = tuple(f"{CLUSTER}{number}" for number in range(1, CLUSTER_MEMBERS + 1))
    _up(("up-cluster", CLUSTER, str(CLUSTER_MEMBERS), str(CLUSTER_PORT)), names)
    return tuple(
        LxdServer(name, f"127.0.0.{number + 1}:{CLUSTER_PORT}", member=name) for number, name in enumerate(names, 1)
    )


def _up(command: tuple[str, ...], names: tuple[str, ...]) -> None:
    there = (LAB_DIR / f"lxd-{names[0]}.pid").exists()
    done = subprocess.run([str(LAB), *command], capture_output=True, text=True, check=False, timeout=START_S)
    if not there:
        atexit.register(subprocess.run, [str(LAB), "stop-lxd", *names], capture_output=True, timeout=START_S)
    if done.returncode != 0:
        raise AssertionError(f"lab {' '.join(command)}: {done.stdout}{done.stderr}")
