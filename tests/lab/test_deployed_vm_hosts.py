"""A real guest becomes a VM host when it is deployed, and a VM is composed on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from common.errors import InnkeeperError
from tests.deployment.deployment import Deployment
from tests.deployment.in_process import deployed
from tests.lab.deployed_guest import GuestBridge, deploy, guest_bridge
from tests.lab.deployed_host import add_libvirt
from tests.lab.guest_image import BOOT_S, SshKey, becomes, upload_image
from tests.lab.lab_host import LabHost
from tests.lab.libvirt_network import SUBNET, LabNetwork, lab_network
from tests.waiting import eventually

SHIM = Path(__file__).parent / "shim"
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
systemctl restart lxd
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


@pytest.mark.deadline(2 * BOOT_S)
@pytest.mark.parametrize(
    ("field", "kind", "user_data"),
    [("install_kvm", "virsh", b"#!/bin/sh\ntrue\n"), ("register_vmhost", "lxd", LXD_WITHOUT_KVM.encode())],
)
async def test_a_deployed_machine_becomes_a_vm_host(
    tmp_path: Path, database_url: str, lab_host: LabHost, network: LabNetwork, bridge: GuestBridge, field: str,
    kind: str, user_data: bytes,
) -> None:  # fmt: skip
    key = SshKey(tmp_path)
    async with deployed(tmp_path, database_url, guest_url=bridge.guest_url) as innkeeper:
        await bridge.start_rack(innkeeper)
        await innkeeper.post("account/prefs/sshkeys/", key=key.public)
        await upload_image(innkeeper, packages="hypervisors")  # the guest needs no network of the world to install them
        outer, name = await add_libvirt(innkeeper, lab_host), f"{lab_host.prefix}outer"
        machine = await bridge.compose(innkeeper, outer, name, dhcp_subnet=f"{SUBNET}.0/24", memory_mib=2048, root_gb=6)
        path, system_id = f"machines/{machine['system_id']}/", machine["system_id"]

        await deploy(innkeeper, machine, lambda: lab_host.console(name), user_data=user_data, **{field: True})
        host = await eventually(lambda: host_on(innkeeper, system_id), deadline_s=60)
        assert (host["name"], host["type"]) == (name, kind)
        assert (host["zone"]["name"], host["pool"]["name"]) == (machine["zone"]["name"], machine["pool"]["name"])
        inner = await innkeeper.compose(host["id"], hostname="inner", cores=1, memory=1024, storage="1")
        listed = await key.run(bridge.guest_address, "sudo virsh list --all --name; sudo lxc list -cn --format csv")
        assert listed.split() == ["inner"]

        with pytest.raises(InnkeeperError, match=f"VM host {name}"):
            await innkeeper.post(path, op="release")
        with pytest.raises(InnkeeperError, match=f"VM host {name}"):
            await innkeeper.delete(path)
        await innkeeper.delete(f"machines/{inner['system_id']}/")
        await innkeeper.delete(f"vm-hosts/{host['id']}/")
        await innkeeper.post(path, op="release")
        await becomes(innkeeper, system_id, "Ready", lambda: lab_host.console(name))
        await innkeeper.delete(path)
