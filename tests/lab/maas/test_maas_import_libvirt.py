"""The import from MAAS on real libvirt: domains that MAAS composed go on running, and are machines like others then."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4
from xml.etree import ElementTree as ET

import pytest
from attrs import frozen

from common.maas.inventory import Disk, Host, Machine
from rackd.drivers.libvirt.definitions.domain_xml import volume_xml
from tests.deployment.deployment import Deployment
from tests.integration.maas.test_maas_import import apply, begin, decided, plan, states
from tests.lab.maas.maas_vms import ALLOCATED, DEPLOYED, OWNER, READY, maas_inventory, maas_machine, started
from tests.lab.servers.lab_host import LabHost, definition
from tests.lab.servers.libvirt_network import lab_network

pytestmark = pytest.mark.database
MIB = 1024 * 1024
DISK_BYTES = 16 * MIB
_METADATA = re.compile(r"\n? *<metadata>.*?</metadata>|\n? *<metadata/>", re.DOTALL)


@frozen
class MaasDomains:
    """The VM host of a MAAS, whose machines' names begin with the prefix of the lab's."""

    lab: LabHost
    network: str


@pytest.fixture
def maas(lab_host: LabHost) -> Iterator[MaasDomains]:
    with lab_network(lab_host.connection) as network:
        yield MaasDomains(lab_host, network.name)


def compose(maas: MaasDomains, name: str, *, disks: int = 1, running: bool = False) -> tuple[str, str, list[str]]:
    """Makes a domain as MAAS composes it. Returns its UUID, its NIC's MAC address, and the names of its volumes."""
    lab = maas.lab
    domain = ET.Element("domain", type="qemu")  # the lab has no KVM
    ET.SubElement(domain, "name").text = f"{lab.prefix}{name}"
    ET.SubElement(domain, "uuid").text = str(uuid4())
    ET.SubElement(domain, "memory", unit="MiB").text = "64"
    ET.SubElement(domain, "vcpu").text = "1"
    system = ET.SubElement(domain, "os")
    ET.SubElement(system, "type").text = "hvm"
    for device in ("network", "hd"):
        ET.SubElement(system, "boot", dev=device)
    features = ET.SubElement(domain, "features")
    for feature in ("acpi", "apic"):
        ET.SubElement(features, feature)
    ET.SubElement(domain, "clock", offset="utc")
    ET.SubElement(domain, "on_poweroff").text = "destroy"
    for event in ("on_reboot", "on_crash"):
        ET.SubElement(domain, event).text = "restart"
    power = ET.SubElement(domain, "pm")
    for kind in ("suspend-to-mem", "suspend-to-disk"):
        ET.SubElement(power, kind, enabled="no")
    devices = ET.SubElement(domain, "devices")
    ET.SubElement(devices, "controller", type="virtio-serial", index="0")
    serial = ET.SubElement(devices, "serial", type="pty")
    log = lab.pool_folder.with_name(f"{name}-serial0.log")  # in MAAS in /var/log/libvirt/qemu
    ET.SubElement(serial, "log", file=str(log), append="off")
    ET.SubElement(serial, "target", port="0")
    mac = "52:54:00:" + ":".join(re.findall("..", uuid4().hex[:6]))
    nic = ET.SubElement(devices, "interface", type="network")
    ET.SubElement(nic, "mac", address=mac)
    ET.SubElement(nic, "source", network=maas.network)
    ET.SubElement(nic, "model", type="virtio")
    volumes = []
    for letter in "abc"[:disks]:
        volume = str(uuid4())
        path = lab.pool.createXML(volume_xml(volume, DISK_BYTES, "dir")).path()
        disk = ET.SubElement(devices, "disk", type="file", device="disk")
        ET.SubElement(disk, "driver", name="qemu", type="raw")
        ET.SubElement(disk, "source", file=path)
        ET.SubElement(disk, "target", dev=f"vd{letter}", bus="virtio")
        ET.SubElement(disk, "serial").text = volume
        volumes.append(volume)
    defined = lab.connection.defineXML(ET.tostring(domain, encoding="unicode"))
    defined.setAutostart(1)
    if running:
        defined.create()
    return str(defined.UUIDString()), mac, volumes


def untouched(lab: LabHost, name: str) -> dict[str, Any]:
    """What an import may not change: all of the domain but its metadata, and its process with its start."""
    domain = lab.domain(f"{lab.prefix}{name}")
    found: dict[str, Any] = {"definition": _METADATA.sub("", definition(domain)), "autostart": domain.autostart()}
    if domain.isActive():
        pid = int(Path(f"/run/libvirt/qemu/{lab.prefix}{name}.pid").read_text())
        found |= {"live": _METADATA.sub("", domain.XMLDesc()), "pid": pid, "started": started(pid)}
    return found


def host(lab: LabHost) -> Host:
    return Host(
        id="3", name="kvm-3", power_type="virsh", power_address="qemu:///system", zone="east", pool="web",
        cpu_over_commit_ratio=10, memory_over_commit_ratio=10, default_storage_pool=f"{lab.prefix}pool",
    )  # fmt: skip


def machine(system_id: str, hostname: str, instance: str, status: int, mac: str, *, disks: int = 1) -> Machine:
    """`instance` is the `power_id` in MAAS: a name or a UUID."""
    return maas_machine(
        system_id, instance, status, mac, host_id="3", hostname=hostname, attachment="network", memory_mib=64,
        disks=tuple(Disk(name=f"vd{'abc'[number]}", size_bytes=DISK_BYTES) for number in range(disks)),
    )  # fmt: skip


async def test_running_domains_go_over_and_are_machines_like_others(maas: MaasDomains, innkeeper: Deployment) -> None:
    lab_host = maas.lab
    shop, shop_mac, shop_volumes = compose(maas, "shop", disks=2, running=True)
    _, held_mac, held_volumes = compose(maas, "held", running=True)
    spare, spare_mac, spare_volumes = compose(maas, "spare")
    names = ("shop", "held", "spare")
    before = {name: untouched(lab_host, name) for name in names}
    files = lab_host.volumes()
    begun = await begin(
        innkeeper,
        maas_inventory(
            (host(lab_host),),
            (
                machine("abcde1", "shop", shop, DEPLOYED, shop_mac, disks=2),
                machine("abcde3", "held", f"{lab_host.prefix}held", ALLOCATED, held_mac),
                machine("abcde4", "spare", spare.upper(), READY, spare_mac),
            ),
        ),
    )
    document = await plan(innkeeper, begun)
    assert states(document, "machines") == dict.fromkeys(names, "new")
    operation = await apply(innkeeper, begun, decided(document))
    assert operation["state"] == "succeeded", operation["error"]

    for name in names:
        assert untouched(lab_host, name) == before[name], "the same process, since the same time"
        assert lab_host.marker(f"{lab_host.prefix}{name}") is not None
    assert lab_host.volumes() == files
    found = {one["hostname"]: one for one in await innkeeper.get("machines/")}
    shown = ("system_id", "status_name", "power_state", "owner")
    assert {name: tuple(one[key] for key in shown) for name, one in found.items()} == {
        "shop": ("abcde1", "Deployed", "on", OWNER),
        "held": ("abcde3", "Allocated", "on", OWNER),
        "spare": ("abcde4", "Ready", "off", None),
    }  # fmt: skip
    assert [one["mac_address"] for one in found["shop"]["interface_set"]] == [shop_mac]
    assert states(await plan(innkeeper, begun), "machines") == dict.fromkeys(names, "exists")
    (added,) = await innkeeper.get("vm-hosts/")
    for _ in range(2):  # libvirt's list of domains does not contain the markers
        await innkeeper.post(f"vm-hosts/{added['id']}/", op="refresh")
        listed = {one["hostname"]: one["status_name"] for one in await innkeeper.get("machines/")}
        assert listed == {"shop": "Deployed", "held": "Allocated", "spare": "Ready"}

    for system_id, name in (("abcde1", "shop"), ("abcde3", "held")):
        path = f"machines/{system_id}/"
        assert (await innkeeper.post(path, op="power_off", stop_mode="hard"))["power_state"] == "off"
        assert (await innkeeper.post(path, op="power_on"))["power_state"] == "on"
        assert untouched(lab_host, name)["pid"] != before[name]["pid"]
    released = await innkeeper.post("machines/abcde1/", op="release", force="true")
    assert (released["status_name"], released["owner"], released["power_state"]) == ("Ready", None, "off")
    await innkeeper.post(f"vm-hosts/{added['id']}/", op="refresh")
    taken = [await innkeeper.post("machines/", op="allocate", zone="east", pool="web", mem=64) for _ in range(2)]
    assert {one["system_id"] for one in taken} == {"abcde1", "abcde4"}, "chosen by constraints, none composed"

    for system_id in ("abcde1", "abcde3", "abcde4"):
        await innkeeper.delete(f"machines/{system_id}/")
    assert lab_host.names() == set()
    assert lab_host.volumes() == files, "what MAAS made is kept"
    kept = await innkeeper.get("kept-disks/")
    assert {one["volume"] for one in kept} == {*shop_volumes, *held_volumes, *spare_volumes}
    for one in kept:
        await innkeeper.delete(f"kept-disks/{one['id']}/")
    assert lab_host.volumes() == set()
