"""The hosts of the cases: a simulated one, which is no network away from its rack, and a libvirt one over SSH."""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from attrs import frozen

from rackd.drivers.simulated.fault_injection import Call
from tests.deployment.deployment import Deployment
from tests.faults.network.cases import Action
from tests.faults.network.site import Link, Site
from tests.lab.servers.lab_host import LabHost
from tests.lab.servers.own_libvirtd import OwnLibvirtd
from tests.lab.servers.own_sshd import OwnSshd

NAME = "sim"
_HELD: dict[Action, Call] = {
    Action.COMPOSE: "create volume", Action.POWER: "power", Action.DELETE: "remove guest",
}  # fmt: skip

_COMPOSING = "select from operation where kind = 'compose' and attempt > 0 and lease_owner is not null"


@frozen(kw_only=True)
class SimulatedGuests:
    deployment: Deployment
    id: int

    @classmethod
    async def add(cls, deployment: Deployment) -> SimulatedGuests:
        address = f"simulated:{NAME}?cores=8&memory_mib=16384"
        return cls(
            deployment=deployment, id=await deployment.add_host(type="simulated", power_address=address, name=NAME)
        )

    def names(self) -> list[str]:
        return self.deployment.simulated_guests(NAME)

    def volumes(self) -> list[str]:
        return self.deployment.simulated(NAME).volume_names()

    def is_on(self, name: str) -> bool:
        return self.deployment.simulated(NAME).guests()[name].power == "on"

    @contextmanager
    def in_the_middle_of(self, action: Action) -> Iterator[Callable[[], Awaitable[bool]]]:
        host = self.deployment.simulated(NAME)

        async def is_begun() -> bool:
            return host.is_holding()

        with host.hold(_HELD[action]):
            yield is_begun


@frozen(kw_only=True)
class LibvirtGuests:
    deployment: Deployment
    daemon: OwnLibvirtd
    lab_host: LabHost
    id: int

    @classmethod
    async def add(cls, deployment: Deployment, daemon: OwnLibvirtd, sshd: OwnSshd, lab_host: LabHost) -> LibvirtGuests:
        host = await deployment.post("vm-hosts/", type="virsh", power_address=sshd.address, name="far")
        path = f"vm-hosts/{host['id']}/"
        sshd.let_in((await deployment.get(path, op="parameters"))["ssh_public_key"])
        await deployment.post(path, op="refresh")
        await deployment.put(path, cpu_over_commit_ratio=10, memory_over_commit_ratio=10)
        return cls(deployment=deployment, daemon=daemon, lab_host=lab_host, id=int(host["id"]))

    def names(self) -> list[str]:
        return [domain.name() for domain in self.lab_host.connection.listAllDomains()]

    def volumes(self) -> list[str]:
        return sorted(self.lab_host.volumes())

    def is_on(self, name: str) -> bool:
        return self.lab_host.is_running(name)

    @contextmanager
    def in_the_middle_of(self, action: Action) -> Iterator[Callable[[], Awaitable[bool]]]:
        """Libvirt stands still, so that the call waits for its first answer. Nothing else holds it: it takes 20 ms."""
        log = self.deployment.processes.log("rack")
        before = log.read_text().count("host_call_started")

        async def is_begun() -> bool:
            if action is Action.COMPOSE:  # the rack reads what there is before it says that it has begun
                return bool(await self.deployment.fetch(_COMPOSING))
            return log.read_text().count("host_call_started") > before

        self.daemon.send(signal.SIGSTOP)
        try:
            yield is_begun
        finally:
            self.daemon.send(signal.SIGCONT)


@contextmanager
def libvirt_server(folder: Path, site: Site) -> Iterator[tuple[OwnLibvirtd, OwnSshd, LabHost]]:
    """A libvirtd and an sshd of their own in the host's namespace."""
    daemon = OwnLibvirtd(folder)
    entering = (*site.host.entering, *daemon.entering)
    sshd = OwnSshd(folder, host=str(site.wires[Link.HOST].server.address), entering=entering)
    with site.host.entered():
        daemon.start()
        sshd.start()
    try:
        lab_host = LabHost(folder, uri=daemon.uri)
        try:
            yield daemon, sshd, lab_host
        finally:
            lab_host.close()
    finally:
        sshd.stop()
        daemon.close()
