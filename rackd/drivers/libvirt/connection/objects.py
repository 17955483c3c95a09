"""Typed wrappers of libvirt's domains, storage pools, networks and volumes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Protocol, TypeVar

import libvirt

from common.errors import InnkeeperError, NotFound
from rackd.drivers.libvirt.connection.test_driver import DomainStats

T = TypeVar("T")

_STREAMED_BYTES = 64 * 1024


class Connection(Protocol):
    """What the wrappers need of the connection they belong to."""

    is_test: bool

    def call(self, what: str, function: Callable[..., T], *arguments: object) -> T: ...

    def stats_of(self, domain: Any) -> DomainStats: ...


class Domain:
    """One domain. Any method raises NotFound if it no longer exists."""

    def __init__(self, client: Connection, handle: Any) -> None:
        self._client, self._handle = client, handle
        self.name: str = handle.name()
        self.uuid: str = handle.UUIDString()

    def _call(self, what: str, function: Callable[..., T], *arguments: object) -> T:
        return self._client.call(f"{what} the guest {self.name}", function, *arguments)

    def xml(self) -> str:
        return str(self._call("read", self._handle.XMLDesc))

    def definition(self) -> str:
        """Returns the persistent XML, effective at the next start; of a transient domain the live XML."""
        return str(self._call("read", self._handle.XMLDesc, libvirt.VIR_DOMAIN_XML_INACTIVE))

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

    def set_autostart(self) -> None:
        self._call("set autostart of", self._handle.setAutostart, 1)

    def start(self) -> None:
        self._call("start", self._handle.create)

    def resume(self) -> None:
        self._call("resume", self._handle.resume)

    def wake_up(self) -> None:
        self._call("wake up", self._handle.pMWakeup)

    def shut_down(self) -> None:
        self._call("shut down", self._handle.shutdown)

    def destroy(self) -> None:
        self._call("switch off", self._handle.destroy)

    def undefine(self) -> None:
        """Also deletes its NVRAM, saved memory, snapshot and checkpoint metadata."""
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


class Pool:
    def __init__(self, client: Connection, handle: Any) -> None:
        self._client, self._handle = client, handle
        self.name: str = handle.name()

    def _call(self, what: str, function: Callable[..., T], *arguments: object) -> T:
        return self._client.call(f"{what} the storage pool {self.name}", function, *arguments)

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

    def create(self, xml: str, name: str) -> Volume:
        return Volume(self._client, self._call(f"create the volume {name} in", self._handle.createXML, xml))


class Network:
    """A network that libvirt manages. Its live and its persistent configuration change separately."""

    def __init__(self, client: Connection, handle: Any) -> None:
        self._client, self._handle = client, handle
        self.name: str = handle.name()

    def _call(self, what: str, function: Callable[..., T], *arguments: object) -> T:
        return self._client.call(f"{what} the network {self.name}", function, *arguments)

    def xml(self) -> str:
        """Returns the live XML; of an inactive network the persistent XML."""
        return str(self._call("read", self._handle.XMLDesc))

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


class Volume:
    def __init__(self, client: Connection, handle: Any) -> None:
        self._client, self._handle = client, handle
        self.name: str = handle.name()

    def path(self) -> str:
        return str(self._client.call(f"find the path of the volume {self.name}", self._handle.path))

    def capacity_bytes(self) -> int:
        return int(self._client.call(f"read the volume {self.name}", self._handle.info)[1])

    def write(self, content: bytes) -> None:
        """Uploads `content` to the beginning of the volume."""
        stream = self._client.call(f"write the volume {self.name}", self._handle.connect().newStream)
        try:
            self._client.call(f"write the volume {self.name}", self._handle.upload, stream, 0, len(content))
            for start in range(0, len(content), _STREAMED_BYTES):
                self._send(stream, content[start : start + _STREAMED_BYTES])
            self._client.call(f"write the volume {self.name}", stream.finish)
        except InnkeeperError:
            with suppress(libvirt.libvirtError):  # the stream may have ended; the original error is raised
                stream.abort()
            raise

    def _send(self, stream: Any, content: bytes) -> None:
        while content:
            content = content[self._client.call(f"write the volume {self.name}", stream.send, content) :]

    def delete(self) -> None:
        """Raises NotFound if it no longer exists."""
        self._client.call(f"delete the volume {self.name}", self._handle.delete)
