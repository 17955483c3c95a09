"""Incus servers and clusters of the lab: as those of LXD, with another client and in other folders."""

from __future__ import annotations

import atexit
import os
import subprocess
from functools import cache
from pathlib import Path

from tests.lab.servers.lxd_server import CLUSTER_MEMBERS, SLOT, WORKER, LxdServer, run_lab
from tests.lab.servers.needs import LAB_DIR

LAB = Path(__file__).parents[1] / "incus"
PROGRAMS = Path(os.environ.get("INCUS_LAB_ROOT", "/opt/incus-lab"))
VERSIONS = ("6", "7")  # 6.0 and 7.0, the releases with long-term support
_FIRST_PORT = {"6": 19000, "7": 19100}
_FIRST_PORT_OF_CLUSTER = {"6": 19200, "7": 19300}
_FIRST_PORTS_OF_PAIR = {"6": (19400, 19500), "7": (19600, 19700)}
_INSTALL_S = 1800.0  # 880 MB of packages
FOLDERS = {"INCUS_LAB": str(LAB_DIR)}


def why_no_incus(version: str) -> str | None:
    """Why a server of this version cannot run here."""
    if os.geteuid() != 0:
        return "requires root, which starts the lab's Incus"
    if not (PROGRAMS / version / "versions").exists():
        return f"requires Incus {version}.0: ./dev lab incus install {version}"
    return None


def install_incus() -> str | None:
    """Installs both versions if they are missing. Returns why they cannot be installed, or None."""
    if not any(map(why_no_incus, VERSIONS)):
        return None
    command = [str(LAB), "install", VERSIONS[-1]]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_INSTALL_S)
    except subprocess.TimeoutExpired:
        return f"{' '.join(command)} did not end within {_INSTALL_S:.0f} s"
    said = "\n".join((done.stderr.strip() or done.stdout.strip()).splitlines()[-5:])
    return None if done.returncode == 0 else f"{' '.join(command)}: {said}"


class IncusServer(LxdServer):
    """A running server, or a member of a running cluster."""

    product = "Incus"
    command = "incus"
    kind = "incus"
    client = ("env", f"INCUS_LAB={LAB_DIR}", str(LAB), "client")
    start_command = ("env", f"INCUS_LAB={LAB_DIR}", str(LAB), "start")
    add_certificate = "add-certificate"
    named = ()
    least_memory = "128MiB"  # the firmware resets a smaller one again and again

    def process_of(self, instance: str) -> Path:
        return Path("/proc", (self.state_folder / "run" / instance / "qemu.pid").read_text().strip())


@cache
def incus_server(version: str) -> IncusServer:
    """A server of this version. Starts it if necessary; then it ends with this process."""
    return _server(f"ikinc{version}{WORKER}", _FIRST_PORT[version] + SLOT, version)


def _server(name: str, port: int, version: str) -> IncusServer:
    if not (LAB_DIR / f"incus-{name}.pid").exists():
        atexit.register(run_lab, str(LAB), "stop", name, **FOLDERS)
    run_lab(str(LAB), "up", name, str(port), version, **FOLDERS)
    return IncusServer(name, f"127.0.0.1:{port}")


@cache
def incus_pair(version: str) -> tuple[IncusServer, IncusServer]:
    """Two more servers of this version, whose trust stores the tests may change."""
    first, second = (
        _server(f"ikinct{version}{n}{WORKER}", _FIRST_PORTS_OF_PAIR[version][n] + SLOT, version) for n in (0, 1)
    )
    return first, second


@cache
def incus_cluster(version: str) -> tuple[IncusServer, ...]:
    """The members of a cluster of this version. Starts them if necessary; then they end with this process."""
    cluster, port = f"ikinccl{version}{WORKER}", _FIRST_PORT_OF_CLUSTER[version] + SLOT
    names = tuple(f"{cluster}{number}" for number in range(1, CLUSTER_MEMBERS + 1))
    if not (LAB_DIR / f"incus-{names[0]}.pid").exists():
        atexit.register(run_lab, str(LAB), "stop", *names, **FOLDERS)
    run_lab(str(LAB), "up-cluster", cluster, str(CLUSTER_MEMBERS), str(port), version, **FOLDERS)
    return tuple(IncusServer(name, f"127.0.0.{number + 1}:{port}", member=name) for number, name in enumerate(names, 1))


def bridge_of_cluster(version: str) -> str:
    """The bridge, without a managed network, that all members of the cluster have."""
    return f"incbr{_FIRST_PORT_OF_CLUSTER[version] + SLOT}"


def join_cluster(members: tuple[LxdServer, ...]) -> IncusServer:
    """Starts one more member of that cluster. `leave_cluster` removes it."""
    cluster, number = members[0].name.removesuffix("1"), len(members) + 1
    port = members[0].address.rpartition(":")[2]
    atexit.register(run_lab, str(LAB), "stop", f"{cluster}{number}", **FOLDERS)
    run_lab(str(LAB), "join", cluster, str(number), port, **FOLDERS)
    name = f"{cluster}{number}"
    return IncusServer(name, f"127.0.0.{number + 1}:{port}", member=name)


def leave_cluster(first: LxdServer, member: LxdServer) -> None:
    """Removes a member that has no instance, and its state."""
    first.lxc("cluster", "remove", member.name, "--force", "--yes")
    run_lab(str(LAB), "stop", member.name, **FOLDERS)
