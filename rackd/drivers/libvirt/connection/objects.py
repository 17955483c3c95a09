"""Typed wrappers of libvirt's domains, storage pools, networks and volumes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, ClassVar, Protocol, TypeVar

import libvirt

from common.errors import DriverFailed, NotFound
from rackd.drivers.libvirt.connection.console_stream import LibvirtConsole
from rackd.drivers.libvirt.connection.domain_screen import DomainScreen
from rackd.drivers.libvirt.connection.test_driver import DomainStats
from rackd.drivers.libvirt.xml import attribute, parse, text_at

T = TypeVar("T")

_STREAMED_BYTES = 64 * 1024
_AT_HOLE = -3  # what recvFlags returns


class Connection(Protocol):
    """The part of a connection that its wrappers use."""

    is_test: bool
    connection: Any

    def call(self, what: str, function: Callable[..., T], *arguments: object) -> T: ...

    def stats_of(self, domain: Any) -> DomainStats: ...


class _Wrapper:
    """An object of libvirt, whose errors name it as `noun` and its name."""

    noun: ClassVar[str]

    def __init__(self, client: Connection, handle: Any) -> None:
        self._client, self._handle = client, handle
        self.name: str = handle.name()

    def _call(self, what: str, function: Callable[..., T], *arguments: object) -> T:
        return self._client.call(f"{what} the {self.noun} {self.name}", function, *arguments)


class Domain(_Wrapper):
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
        if self._call("read the state of", self._handle.isActive):
            flags |= libvirt.VIR_DOMAIN_AFFECT_LIVE
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
        self._call("start", self._client.connection.createXML, xml, 0)

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

    def discard_saved_memory(self) -> None:
        """The next start is a boot, after virsh managedsave too. Idempotent."""
        if self.has_saved_memory():
            self._call("discard the saved memory of", self._handle.managedSaveRemove)

    def undefine(self) -> None:
        """Undefines the domain and deletes its NVRAM, saved memory, snapshot and checkpoint metadata."""
        everything = (
            libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
            | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
            | libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
        )
        if self._client.is_test:  # accepts no other flags
            flags = libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
        else:
            flags = everything | libvirt.VIR_DOMAIN_UNDEFINE_NVRAM
        self._call("undefine", self._handle.undefineFlags, flags)


class Pool(_Wrapper):
    noun = "storage pool"

    def xml(self) -> str:
        return str(self._call("read", self._handle.XMLDesc))

    def refresh(self) -> None:
        self._call("refresh", self._handle.refresh)

    def volume(self, name: str) -> Volume | None:
        try:
            return Volume(
                self._client, self._call(f"find the volume {name} in", self._handle.storageVolLookupByName, name)
            )
        except NotFound:
            return None

    def volume_definitions(self) -> Iterable[tuple[str, str]]:
        """Yields name and XML of each volume, in one call per volume and one more."""
        for volume in self._call("list the volumes of", self._handle.listAllVolumes):
            with suppress(NotFound):  # removed since it was listed
                yield volume.name(), str(self._call(f"read the volume {volume.name()} in", volume.XMLDesc))

    def volume_names(self) -> tuple[str, ...]:
        # Not `listVolumes`, which asks for their number first: libvirt refreshes a pool some time after each upload,
        # and if it finds other files meanwhile, as many names are missing.
        listed = self._call("list the volumes of", self._handle.listAllVolumes)
        return tuple(volume.name() for volume in listed)

    def create(self, xml: str, name: str) -> Volume:
        return Volume(self._client, self._call(f"create the volume {name} in", self._handle.createXML, xml))

    def clone(self, xml: str, name: str, source: Volume) -> Volume:
        """Creates a volume with the content of `source`, converted to the format in `xml`.

        Its capacity can be that of `source`, although `xml` has a larger one.
        """
        create = self._handle.createXMLFrom
        return Volume(self._client, self._call(f"create the volume {name} in", create, xml, source.handle))


class Network(_Wrapper):
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


class Volume(_Wrapper):
    noun = "volume"

    def __init__(self, client: Connection, handle: Any) -> None:
        super().__init__(client, handle)
        self.handle = handle  # the library's own object

    def format(self) -> str:
        """Returns the format that libvirt found by its content, "" for a block device."""
        tree = parse(str(self._call("read", self.handle.XMLDesc)), f"the volume {self.name}")
        return "" if tree.get("type") == "block" else attribute(tree, "target/format", "type")

    def path(self) -> str:
        return str(self._call("find the path of", self.handle.path))

    def written_at(self) -> str:
        """Returns the time of its last change as the host has it; "" for a block device."""
        tree = parse(str(self._call("read", self.handle.XMLDesc)), f"the volume {self.name}")
        return "" if tree.get("type") == "block" else text_at(tree, "target/timestamps/mtime")

    def capacity_bytes(self) -> int:
        return int(self._call("read", self.handle.info)[1])

    def length_bytes(self) -> int:
        """Returns how much can be read of it. Its capacity can be what its content says."""
        flag = libvirt.VIR_STORAGE_VOL_GET_PHYSICAL
        return int(self._call("read", self.handle.infoFlags, flag)[2])

    def allocation_bytes(self) -> int:
        """Returns how much space it takes in its pool."""
        return int(self._call("read", self.handle.info)[2])

    def resize(self, size_bytes: int) -> None:
        self._call("resize", self.handle.resize, size_bytes)

    def wipe(self) -> None:
        """Overwrites its content with zeros, on the host; takes as long as the host's storage needs for its size."""
        self._call("overwrite", self.handle.wipe)

    def head(self, size_bytes: int) -> bytes:
        """Returns the first bytes of the volume; fewer only if it has no more."""
        return self.read(0, size_bytes)

    def read(self, offset: int, size_bytes: int) -> bytes:
        """Returns bytes from `offset`; fewer than `size_bytes` only if it has no more."""
        stream = self._call("read", self.handle.connect().newStream)
        found = b""
        try:
            self._call("read", self.handle.download, stream, offset, size_bytes, 0)
            while len(found) < size_bytes and (part := self._call("read", stream.recv, size_bytes - len(found))):
                found += part
            self._call("read", stream.finish)
        except BaseException:
            with suppress(libvirt.libvirtError):
                stream.abort()
            raise
        return found

    def next_data(self, start: int, end: int, most_bytes: int) -> tuple[int, bytes]:
        """Returns where the next data of a file are, from `start` on, and the data up to the next hole.

        Both end at `end`: without data, it is where they would be.
        """
        flags = libvirt.VIR_STORAGE_VOL_DOWNLOAD_SPARSE_STREAM
        stream = self._call("read", self.handle.connect().newStream)
        offset, found = start, b""
        try:
            self._call("read", self.handle.download, stream, start, end - start, flags)
            while len(found) < most_bytes and offset + len(found) < end:
                wanted = min(most_bytes, end - offset) - len(found)
                part = self._call("read", stream.recvFlags, wanted, libvirt.VIR_STREAM_RECV_STOP_AT_HOLE)
                if part == _AT_HOLE:
                    if found:
                        break
                    offset += self._call("read", stream.recvHole)
                elif part:
                    found += part
                else:
                    break
        finally:  # what follows is not wanted, so the stream is not finished
            with suppress(libvirt.libvirtError):
                stream.abort()
        return (offset, found) if found else (end, b"")

    def write(self, content: bytes, *, offset: int = 0) -> None:
        self.fill((content,), len(content), offset=offset)

    def fill(self, parts: Iterable[bytes], size_bytes: int, *, offset: int = 0, holes: bool = False) -> None:
        """Uploads `parts`, which have `size_bytes` together. With `holes`, zeros take no space in the volume.

        Raises what reading `parts` raises; the volume then has some of them.
        """
        flags = libvirt.VIR_STORAGE_VOL_UPLOAD_SPARSE_STREAM if holes else 0
        stream = self._call("write", self.handle.connect().newStream)
        try:
            self._call("write", self.handle.upload, stream, offset, size_bytes, flags)
            for part in parts:
                for start in range(0, len(part), _STREAMED_BYTES):
                    self._send(stream, part[start : start + _STREAMED_BYTES], holes=holes)
            self._call("write", stream.finish)
        except BaseException:
            with suppress(libvirt.libvirtError):  # the stream may have ended; the original error is raised
                stream.abort()
            raise

    def _send(self, stream: Any, content: bytes, *, holes: bool) -> None:
        if holes and not content.strip(b"\0"):
            self._call("write", stream.sendHole, len(content))
            return
        while content:
            content = content[self._call("write", stream.send, content) :]

    def delete(self) -> None:
        """Raises NotFound if it no longer exists."""
        self._call("delete", self.handle.delete)
