"""The firmware in a domain's definition: BIOS or UEFI. Pure."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from rackd.drivers.libvirt.definitions.metadata import keeps_uefi, note_firmware_variables
from rackd.drivers.libvirt.xml import Element, attribute


def has_uefi(domain: Element) -> bool:
    return attribute(domain, "os", "firmware") == "efi" or domain.find("os/loader[@type='pflash']") is not None


def has_secure_boot(domain: Element) -> bool:
    """Returns whether the firmware starts signed systems only."""
    return any(
        feature.get("name") == "secure-boot" and feature.get("enabled") == "yes"
        for feature in domain.iterfind("os/firmware/feature")
    ) or (attribute(domain, "os/loader", "secure") == "yes" and domain.find("os/firmware") is None)


def require_secure_boot(os: Element) -> None:
    """Makes libvirt choose a firmware that starts signed systems only, with the keys that it then needs."""
    os.set("firmware", "efi")
    firmware = ET.SubElement(os, "firmware")
    for name in ("enrolled-keys", "secure-boot"):
        ET.SubElement(firmware, "feature", enabled="yes", name=name)


def require_uefi(os: Element) -> None:
    """Makes libvirt choose a firmware that starts any system."""
    os.set("firmware", "efi")
    ET.SubElement(ET.SubElement(os, "firmware"), "feature", enabled="no", name="secure-boot")


def set_uefi(domain: Element) -> None:
    """Idempotent. libvirt chooses the firmware and the file of its variables.

    Never one that boots signed systems only: on the machine type q35 libvirt would prefer that.
    """
    os = domain.find("os")
    if os is not None and not has_uefi(domain):
        require_uefi(os)


def set_bios(domain: Element) -> None:
    """Idempotent. A domain that was composed with UEFI or Secure Boot keeps it.

    libvirt deletes the file of the UEFI variables only with a domain that has UEFI: it stays, and the metadata records
    it for the deletion of the guest.
    """
    os = domain.find("os")
    if os is None or not has_uefi(domain) or has_secure_boot(domain) or keeps_uefi(domain):
        return
    note_firmware_variables(domain)
    os.attrib.pop("firmware", None)
    for tag in ("firmware", "loader", "nvram"):
        for found in os.findall(tag):
            os.remove(found)
