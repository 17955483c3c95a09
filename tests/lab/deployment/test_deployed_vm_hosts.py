"""Real guests become VM hosts when they are deployed, and VMs are composed on them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

from common.errors import InnkeeperError
from tests.deployment.deployment import Deployment
from tests.deployment.in_process import deployed
from tests.lab.servers.lab_host import LabHost
from tests.lab.servers.libvirt_network import SUBNET, LabNetwork, lab_network
from tests.lab.support.deployed_guest import GuestBridge, deploy, guest_bridge
from tests.lab.support.deployed_host import add_libvirt
from tests.lab.support.guest_image import BOOT_S, SshKey, becomes, upload_image
from tests.support.waiting import eventually

TWO_BOOTS_S = 2 * BOOT_S
SHIM = Path(__file__).parents[1] / "shim"
# LXD offers VMs only with KVM, which the lab's machines do not have: the guest gets the lab's own shims.
LXD_WITHOUT_KVM = f"""#!/bin/sh
set -e
[ -e /dev/kvm ] || mknod /dev/kvm c 10 232
cat >/usr/local/sbin/modprobe <<'END_OF_SHIM'
{(SHIM / "modprobe").read_text()}
END_OF_SHIM
cat >/usr/local/sbin/qemu-system-x86_64 <<'END_OF_SHIM'
{(SHIM / "qemu-system-x86_64").read_text()}
END_OF_SHIM
chmod 755 /usr/local/sbin/*
# At its start LXD waits ten seconds for an answer of QEMU; if none comes, as on a busy machine, it offers no VMs.
export HOME=/root
for try in 1 2 3 4 5 6; do
  systemctl restart lxd
  if lxc info | grep -q '^ *driver: .*qemu'; then exit 0; fi
done
exit 1
"""


@pytest.fixture
def network(lab_host: LabHost) -> Iterator[LabNetwork]:
    with lab_network(lab_host.connection) as network:
        yield network


@pytest.fixture
def bridge() -> Iterator[GuestBridge]:
    with guest_bridge("10.254.13") as bridge:
        yield bridge


async def host_on(innkeeper: Deployment, system_id: str) -> Any:
    """The VM host on the machine, once it has been discovered; None before."""
    found = [host for host in await innkeeper.get("vm-hosts/") if host["host"]["system_id"] == system_id]
    return found[0] if found and found[0]["total"]["cores"] else None


async def discovered(innkeeper: Deployment, system_id: str) -> Any:
    """Returns the VM host on the machine. Fails with all that the region says of its hosts."""
    try:
        return await eventually(lambda: host_on(innkeeper, system_id), deadline_s=BOOT_S, every_s=1.0)
    except AssertionError as error:
        hosts, events = await innkeeper.get("vm-hosts/"), await innkeeper.get("events/", op="query")
        raise AssertionError(f"{error}\n{json.dumps([hosts, events], indent=1)}") from error


@frozen(kw_only=True)
class Server:
    """A machine that becomes a VM host: `field` asks for it."""

    field: str
    kind: str
    address: str
    user_data: bytes = b"#!/bin/sh\ntrue\n"


async def check_vm_host(innkeeper: Deployment, key: SshKey, machine: Any, server: Server, lab_host: LabHost) -> None:
    """The machine becomes a VM host, which has a VM of its own; the host is removed, then the machine is released."""
    name, system_id = machine["hostname"], machine["system_id"]
    path, inner_name = f"machines/{system_id}/", f"inner-{server.kind}"
    await deploy(
        innkeeper, machine, lambda: lab_host.console(name),
        user_data=server.user_data, deadline_s=TWO_BOOTS_S, **{server.field: True},
    )  # fmt: skip
    host = await discovered(innkeeper, system_id)
    assert (host["name"], host["type"]) == (name, server.kind)
    assert (host["zone"]["name"], host["pool"]["name"]) == (machine["zone"]["name"], machine["pool"]["name"])
    # Each of these may take longer than a request waits: the hypervisor runs under emulation.
    composing = await innkeeper.begin_compose(host["id"], hostname=inner_name, cores=1, memory=1024, storage="1")
    assert await innkeeper.ended(composing, deadline_s=BOOT_S) == "succeeded"
    inner = (await innkeeper.get(f"operations/{composing}/"))["system_id"]
    listed = await key.run(server.address, "sudo virsh list --all --name; sudo lxc list -cn --format csv")
    assert listed.split() == [inner_name]

    with pytest.raises(InnkeeperError, match=f"VM host {name}"):
        await innkeeper.post(path, op="release")
    with pytest.raises(InnkeeperError, match=f"VM host {name}"):
        await innkeeper.delete(path)
    for removed in (f"machines/{inner}/", f"vm-hosts/{host['id']}/"):
        removal = await innkeeper.begin(removed, method="DELETE")
        assert await innkeeper.ended(removal, deadline_s=BOOT_S) == "succeeded"
    await innkeeper.begin(path, op="release")
    await becomes(innkeeper, system_id, "Ready", lambda: lab_host.console(name))
    await innkeeper.delete(path)


async def test_deployed_machines_become_vm_hosts(
    tmp_path: Path, database_url: str, lab_host: LabHost, network: LabNetwork, bridge: GuestBridge
) -> None:
    key = SshKey(tmp_path)
    servers = (
        Server(field="install_kvm", kind="virsh", address=bridge.address(20)),
        Server(
            field="register_vmhost", kind="lxd", address=bridge.address(21), user_data=LXD_WITHOUT_KVM.encode()
        ),
    )  # fmt: skip
    async with deployed(tmp_path, database_url, guest_url=bridge.guest_url) as innkeeper:
        await bridge.start_rack(innkeeper)
        await innkeeper.post("account/prefs/sshkeys/", key=key.public)
        await upload_image(innkeeper, packages="hypervisors")  # the guests need no network of the world to install them
        outer = await add_libvirt(innkeeper, lab_host)
        machines = [
            await bridge.compose(
                innkeeper, outer, f"{lab_host.prefix}{server.kind}", dhcp_subnet=f"{SUBNET}.0/24", memory_mib=2048,
                root_gb=6, address=server.address,
            )
            for server in servers
        ]  # fmt: skip
        async with asyncio.TaskGroup() as boots:  # at the same time: they take minutes
            for machine, server in zip(machines, servers, strict=True):
                boots.create_task(check_vm_host(innkeeper, key, machine, server, lab_host))
