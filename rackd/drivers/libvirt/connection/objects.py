"""Typed wrappers of libvirt's domains and networks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import libvirt

from common.errors import DriverFailed
from rackd.drivers.libvirt.connection.console_stream import LibvirtConsole
from rackd.drivers.libvirt.connection.domain_screen import DomainScreen
from rackd.drivers.libvirt.connection.named_object import Connection, NamedObject
from rackd.drivers.libvirt.connection.test_driver import DomainStats
from rackd.drivers.libvirt.kept_xml import restored


class Domain(NamedObject):
    """One domain. Any method raises NotFound if it no longer exists."""

    noun = "guest"

    def __init__(self, client: Connection, handle: Any) -> None:
        super().__init__(client, handle)
        self.uuid: str = handle.UUIDString()

    def xml(self) -> str:
        return str(self._call("read", self._handle.XMLDesc))

    def definition(self) -> str:
        """Returns the persistent XML, effective at the next start; of a transient domain the live XML."""
        return str(self._call("read", self._handle.XMLDesc, libvirt.VIR_DOMAIN_XML_INACTIVE))

    def whole_definition(self) -> str:
        """Returns the persistent XML with its passwords, to define the domain again."""
        flags = libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE
        return str(self._call("read", self._handle.XMLDesc, flags))

    def is_persistent(self) -> bool:
        return bool(self._call("check the persistence of", self._handle.isPersistent))

    def set_marker(self, element: str | None, namespace: str) -> None:
        """Writes or (None) removes the metadata element of `namespace`, in the live and the persistent XML."""
        flags = libvirt.VIR_DOMAIN_AFFECT_CONFIG
        if self.is_active():
            flags |= libvirt.VIR_DOMAIN_AFFECT_LIVE
        self._set_metadata(element, namespace, flags)

    def set_marker_in(self, element: str, namespace: str, *, live: bool) -> None:
        """Writes the metadata element of `namespace` in the live or in the persistent XML only."""
        flags = libvirt.VIR_DOMAIN_AFFECT_LIVE if live else libvirt.VIR_DOMAIN_AFFECT_CONFIG
        self._set_metadata(element, namespace, flags)

    def _set_metadata(self, element: str | None, namespace: str, flags: int) -> None:
        arguments = (libvirt.VIR_DOMAIN_METADATA_ELEMENT, element, "innkeeper", namespace, flags)
        self._call("change the metadata of", self._handle.setMetadata, *arguments)

    def state(self) -> int:
        return int(self._call("read the state of", self._handle.state)[0])

    def stats(self) -> DomainStats:
        return self._client.stats_of(self._handle)

    def open_console(self) -> LibvirtConsole:
        return LibvirtConsole(self._client, self._handle)

    def screen(self) -> DomainScreen:
        return DomainScreen(self._client, self._handle)

    def agent_addresses(self, *, within_s: int) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """Returns MAC address and IP addresses of each interface of the guest, as its agent reports them.

        Raises DriverFailed if the agent does not answer in time.
        """
        self._call("limit the wait for the agent of", self._handle.agentSetResponseTimeout, within_s)
        source = libvirt.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_AGENT
        found = self._call("ask the agent of", self._handle.interfaceAddresses, source)
        return tuple(
            (str(one["hwaddr"]), tuple(str(address["addr"]) for address in one["addrs"] or ()))
            for one in found.values()
            if one["hwaddr"]
        )

    def autostart(self) -> bool:
        """Returns whether libvirt starts the domain with the host."""
        return bool(self._call("read autostart of", self._handle.autostart))

    def set_autostart(self, *, on: bool) -> None:
        """Idempotent."""
        if self.autostart() is not on:
            self._call("set autostart of", self._handle.setAutostart, int(on))

    def set_live_cores(self, cores: int) -> None:
        """Switches cores of a running domain on or off, up to the maximum that it started with."""
        flags = libvirt.VIR_DOMAIN_AFFECT_LIVE
        self._call("change the number of cores of", self._handle.setVcpusFlags, cores, flags)

    def is_active(self) -> bool:
        """Returns whether the host runs it, also while it is paused."""
        return bool(self._call("read the state of", self._handle.isActive))

    def attach_live(self, device: str, *, persistent: bool) -> None:
        """Gives a running domain a device; with `persistent` also its definition, and neither if one is refused."""
        flags = libvirt.VIR_DOMAIN_AFFECT_LIVE | (libvirt.VIR_DOMAIN_AFFECT_CONFIG if persistent else 0)
        self._call("attach a device to", self._handle.attachDeviceFlags, device, flags)

    def update_live(self, device: str) -> None:
        """Changes a device of a running domain and of its definition, in neither if one is refused."""
        flags = libvirt.VIR_DOMAIN_AFFECT_LIVE | libvirt.VIR_DOMAIN_AFFECT_CONFIG
        self._call("change a device of", self._handle.updateDeviceFlags, device, flags)

    def request_memory(self, device: str) -> None:
        """Asks a running domain to fill its memory device as far as `device` says. Its system does that later."""
        flags = libvirt.VIR_DOMAIN_AFFECT_LIVE
        self._call("change the memory of", self._handle.updateDeviceFlags, device, flags)

    def detach_live(self, device: str) -> None:
        """Asks a running domain for a device. Its system may give it back later, or never."""
        flags = libvirt.VIR_DOMAIN_AFFECT_LIVE
        self._call("detach a device from", self._handle.detachDeviceFlags, device, flags)

    def change_live(self, device: str) -> None:
        """Changes a device of a running domain, such as the medium in a drive that its system has locked."""
        flags = libvirt.VIR_DOMAIN_DEVICE_MODIFY_LIVE | libvirt.VIR_DOMAIN_DEVICE_MODIFY_FORCE
        self._call("change a device of", self._handle.updateDeviceFlags, device, flags)

    def grow_live(self, device: str, size_bytes: int) -> None:
        """Gives the disk of a running domain another size, with its volume."""
        flags = libvirt.VIR_DOMAIN_BLOCK_RESIZE_BYTES
        self._call(f"resize the disk {device} of", self._handle.blockResize, device, size_bytes, flags)

    def copy_block(self, device: str, target: str) -> None:
        """Begins to copy a disk of a running domain to the existing volume of `target`, an XML of a disk.

        Without the flag of transient jobs, libvirt refuses that for every domain that has a definition.
        """
        flags = libvirt.VIR_DOMAIN_BLOCK_COPY_REUSE_EXT | libvirt.VIR_DOMAIN_BLOCK_COPY_TRANSIENT_JOB
        self._call(f"copy the disk {device} of", self._handle.blockCopy, device, target, {}, flags)

    def block_job(self, device: str) -> tuple[int, int]:
        """Returns what the job of the disk has done, and all that it does, in bytes; zeros without a job."""
        try:
            found = self._call(f"read the block job of {device} of", self._handle.blockJobInfo, device)
        except DriverFailed:
            if self.is_active():
                raise
            return 0, 0
        return (found.get("cur", 0), found.get("end", 0)) if found else (0, 0)

    def end_block_job(self, device: str, *, pivot: bool) -> None:
        """Ends the job: with `pivot` the domain uses the copy, without it the copy is abandoned. Waits for that."""
        flags = libvirt.VIR_DOMAIN_BLOCK_JOB_ABORT_PIVOT if pivot else 0
        self._call(f"end the block job of {device} of", self._handle.blockJobAbort, device, flags)

    def set_live_memory(self, kib: int) -> None:
        """Sets the balloon of a running domain."""
        self._call("change the memory of", self._handle.setMemoryFlags, kib, libvirt.VIR_DOMAIN_AFFECT_LIVE)

    def start(self) -> None:
        self._call("start", self._handle.create)

    def start_as(self, xml: str) -> None:
        """Starts the domain, which is off, with another XML. Its persistent XML stays, and is that of later starts."""
        self._call("start", self._client.connection.createXML, restored(xml), 0)

    def resume(self) -> None:
        self._call("resume", self._handle.resume)

    def wake_up(self) -> None:
        self._call("wake up", self._handle.pMWakeup)

    def shut_down(self) -> None:
        self._call("shut down", self._handle.shutdown)

    def destroy(self) -> None:
        self._call("switch off", self._handle.destroy)

    def has_saved_memory(self) -> bool:
        """Returns whether the next start restores the domain as it ran, with its devices, after virsh managedsave."""
        return bool(self._call("read the saved memory of", self._handle.hasManagedSaveImage))

    def saved_definition(self) -> str:
        """Returns the XML that the next start restores. Raises NotFound or DriverFailed without saved memory."""
        return str(self._call("read the saved memory of", self._handle.managedSaveGetXMLDesc))

    def discard_saved_memory(self) -> None:
        """The next start is a boot, after virsh managedsave too. Idempotent."""
        if self.has_saved_memory():
            self._call("discard the saved memory of", self._handle.managedSaveRemove)

    def snapshots(self) -> tuple[tuple[str, str], ...]:
        """Returns name and XML of each of its snapshots."""
        listed = self._call("list the snapshots of", self._handle.listAllSnapshots)
        return tuple((one.getName(), str(self._call("read a snapshot of", one.getXMLDesc))) for one in listed)

    def checkpoint_names(self) -> tuple[str, ...]:
        return tuple(one.getName() for one in self._call("list the checkpoints of", self._handle.listAllCheckpoints))

    def undefine(self, *, keep_variables: bool = False) -> None:
        """Undefines the domain and deletes its NVRAM, saved memory, snapshot and checkpoint metadata.

        With `keep_variables` its NVRAM stays.
        """
        everything = (
            libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
            | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
            | libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
        )
        if self._client.is_test:  # accepts no other flags
            flags = libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
        else:
            keep, delete = libvirt.VIR_DOMAIN_UNDEFINE_KEEP_NVRAM, libvirt.VIR_DOMAIN_UNDEFINE_NVRAM
            flags = everything | (keep if keep_variables else delete)
        self._call("undefine", self._handle.undefineFlags, flags)


class Network(NamedObject):
    """A network that libvirt manages. Its live and its persistent configuration change separately."""

    noun = "network"

    def xml(self) -> str:
        """Returns the live XML; of an inactive network the persistent XML."""
        return str(self._call("read", self._handle.XMLDesc))

    def leases(self) -> tuple[tuple[str, str], ...]:
        """Returns MAC address and IP address of each lease that has not expired. Raises Unsupported, such as for the
        test driver.
        """
        listed = self._call("read the leases of", self._handle.DHCPLeases)
        return tuple((str(one["mac"]), str(one["ipaddr"])) for one in listed if one.get("mac") and one.get("ipaddr"))

    def states(self) -> Iterable[tuple[int, str]]:
        """Yields the live and the persistent configuration, if present: the flag that changes it, and its XML."""
        if self._call("read the state of", self._handle.isActive):
            yield libvirt.VIR_NETWORK_UPDATE_AFFECT_LIVE, self.xml()
        if self._call("check the persistence of", self._handle.isPersistent):
            inactive = 0 if self._client.is_test else libvirt.VIR_NETWORK_XML_INACTIVE
            definition = str(self._call("read", self._handle.XMLDesc, inactive))
            yield libvirt.VIR_NETWORK_UPDATE_AFFECT_CONFIG, definition

    def add_host(self, element: str, *, address_index: int, state: int) -> None:
        """Adds a DHCP host entry to the `<ip>` element of that index."""
        self._update(libvirt.VIR_NETWORK_UPDATE_COMMAND_ADD_LAST, element, address_index, state)

    def remove_host(self, element: str, *, address_index: int, state: int) -> None:
        self._update(libvirt.VIR_NETWORK_UPDATE_COMMAND_DELETE, element, address_index, state)

    def _update(self, command: int, element: str, address_index: int, state: int) -> None:
        section = libvirt.VIR_NETWORK_SECTION_IP_DHCP_HOST
        self._call("change the DHCP hosts of", self._handle.update, command, section, address_index, element, state)
