"""Real libvirt: what others wrote in a definition stays byte for byte through every change that Innkeeper makes."""

from __future__ import annotations

import re

import libvirt
from attrs import evolve

from common.boot import BootDevice, BootOnce
from common.guests.sizes import GuestSize
from common.values import NicKind, PowerAction
from tests.contract.support.guest_samples import nic
from tests.contract.support.libvirt_fixtures import QemuFixture
from tests.lab.support.libvirt_specs import small_spec

OTHERS = """<libosinfo:libosinfo xmlns:libosinfo="http://libosinfo.org/xmlns/libvirt/domain/1.0">
  <libosinfo:os id="http://debian.org/debian/12"/></libosinfo:libosinfo>
<cockpit_machines:data xmlns:cockpit_machines="https://github.com/cockpit-project/cockpit"><!-- why -->
  <cockpit_machines:has_install_phase>false</cockpit_machines:has_install_phase></cockpit_machines:data>
<a:b xmlns:a="urn:a" xmlns:z="urn:z" z:second="2" first="1"><![CDATA[<raw & text>]]><plain xmlns="urn:p"/></a:b>"""
NAMESPACE = "xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'"
COMMAND = """<qemu:commandline><qemu:arg value="-name"/>
  <qemu:arg value="odd,debug-threads=on"/><qemu:env name="X" value="1"/></qemu:commandline>"""


def of_others(xml: str) -> list[str]:
    """The declarations of namespaces, the metadata without our marker, and the arguments of QEMU."""
    (metadata,) = re.findall("<metadata[^>]*>(.*)</metadata>", xml, re.DOTALL)
    without = re.sub("<innkeeper:marker[^>]*(?:/>|>.*?</innkeeper:marker>)", "", metadata, flags=re.DOTALL)
    declared = re.findall("xmlns:qemu='[^']*'", xml[: xml.index(">")])
    return [*declared, without, *re.findall("<qemu:commandline>.*</qemu:commandline>", xml, re.DOTALL)]


def test_every_change_keeps_what_others_wrote(qemu: QemuFixture) -> None:
    spec = small_spec(qemu, "odd")
    qemu.driver.compose(spec)
    domain = qemu.administrator.lookupByName(spec.name)
    xml = domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
    xml = re.sub("<metadata[^>]*>", lambda found: found[0] + OTHERS, xml).replace("</domain>", f"{COMMAND}</domain>")
    qemu.administrator.defineXML(xml.replace("<domain ", f"<domain {NAMESPACE} "))
    before = of_others(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))
    assert [("libosinfo:os" in part, "qemu:arg" in part) for part in before[1:]] == [(True, False), (False, True)]

    def check(*, live: bool = False) -> None:
        assert of_others(domain.XMLDesc(0 if live else libvirt.VIR_DOMAIN_XML_INACTIVE)) == before

    driver, size, other = qemu.driver, GuestSize(cores=2, memory_mib=192), nic(4, NicKind.USER)
    driver.resize(spec.ref, size)
    check()
    driver.attach_nic(spec.ref, other)
    check()
    driver.set_boot_order(spec.ref, (BootDevice.NETWORK, BootDevice.DISK))
    check()
    driver.detach_nic(spec.ref, other.mac_address)
    check()
    disk = evolve(spec.disks[0], volume=qemu.volume(spec.marker, 1), serial=qemu.serial(spec.marker, 1))
    driver.attach_disk(spec.ref, disk, 1, create=True)
    check()
    driver.detach_disk(spec.ref, disk.pool_id, disk.volume)
    check()
    driver.undeploy(spec)
    check()
    once = BootOnce(order=(BootDevice.DISK,), key="once")
    driver.power(spec.ref, PowerAction.ON, grace_s=0.1, boot_once=once)
    check()
    check(live=True)
