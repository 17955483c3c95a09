"""A domain, a storage pool and a volume, as far as the driver uses them: each method is one call."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Protocol, TypeVar

import libvirt

from common.errors import InnkeeperError, NotFound
from rackd.drivers.libvirt.pretended import Stats

T = TypeVar("T")

_STREAMED_BYTES = 64 * 1024


class Caller(Protocol):
    """The connection that handles belong to."""

    is_test: bool

    def call(self, what: str, function: Callable[..., T], *arguments: object) -> T: ...

    def stats_of(self, domain: Any) -> Stats: ...


class Domain:
    """One domain. Any method raises NotFound when it is gone."""

    def __init__(self, client: Caller, handle: Any) -> None:
        self._client, self._handle = client, handle
        self.name: str = handle.name()
        self.uuid: str = handle.UUIDString()

    def _call(self, what: str, function: Callable[..., T], *arguments: object) -> T:
        return self._client.call(f"{what} {self.name}", function, *arguments)

    def xml(self) -> str:
        return str(self._call("reading", self._handle.XMLDesc))

    def definition(self) -> str:
        """As it will be at its next start; of a transient domain, which has no other, as it is now."""
        return str(self._call("reading", self._handle.XMLDesc, libvirt.VIR_DOMAIN_XML_INACTIVE))

    def is_persistent(self) -> bool:
        return bool(self._call("asking after the definition of", self._handle.isPersistent))

    def set_mark(self, element: str | None, namespace: str) -> None:
        """Write the metadata element of `namespace`, or remove it (None): in the definition, and as it runs."""
        flags = libvirt.VIR_DOMAIN_AFFECT_CONFIG
        if self._call("asking whether it runs:", self._handle.isActive):
            flags |= libvirt.VIR_DOMAIN_AFFECT_LIVE
        arguments = (libvirt.VIR_DOMAIN_METADATA_ELEMENT, element, "innkeeper", namespace, flags)
        self._call("marking", self._handle.setMetadata, *arguments)

    def state(self) -> int:
        return int(self._call("asking for the state of", self._handle.state)[0])

    def stats(self) -> Stats:
        return self._client.stats_of(self._handle)

    def set_autostart(self) -> None:
        self._call("setting autostart of", self._handle.setAutostart, 1)

    def start(self) -> None:
        self._call("starting", self._handle.create)

    def resume(self) -> None:
        self._call("resuming", self._handle.resume)

    def wake_up(self) -> None:
        self._call("waking up", self._handle.pMWakeup)

    def shut_down(self) -> None:
        self._call("shutting down", self._handle.shutdown)

    def destroy(self) -> None:
        self._call("switching off", self._handle.destroy)

    def undefine(self) -> None:
        """With its firmware's variables, saved memory, snapshots and checkpoints, which belong to nothing else."""
        everything = (
            libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
            | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
            | libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
        )
        if self._client.is_test:  # knows no other flags
            flags = libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
        else:
            flags = everything | libvirt.VIR_DOMAIN_UNDEFINE_NVRAM
        self._call("removing", self._handle.undefineFlags, flags)


class Pool:
    def __init__(self, client: Caller, handle: Any) -> None:
        self._client, self._handle = client, handle
        self.name: str = handle.name()

    def _call(self, what: str, function: Callable[..., T], *arguments: object) -> T:
        return self._client.call(f"{what} in the storage pool {self.name}", function, *arguments)

    def xml(self) -> str:
        return str(self._call("looking", self._handle.XMLDesc))

    def refresh(self) -> None:
        self._call("looking again", self._handle.refresh)

    def volume(self, name: str) -> Volume | None:
        try:
            return Volume(self._client, self._call(f"finding {name}", self._handle.storageVolLookupByName, name))
        except NotFound:
            return None

    def volume_definitions(self) -> Iterable[tuple[str, str]]:
        """Name and XML of each volume: a call for each, and one."""
        for volume in self._call("listing", self._handle.listAllVolumes):
            with suppress(NotFound):  # removed since it was listed
                yield volume.name(), str(self._call(f"reading {volume.name()}", volume.XMLDesc))

    def make(self, xml: str, name: str) -> Volume:
        return Volume(self._client, self._call(f"making the disk {name}", self._handle.createXML, xml))


class Network:
    """One network that libvirt manages. Its running self and its definition are two things, changed one by one."""

    def __init__(self, client: Caller, handle: Any) -> None:
        self._client, self._handle = client, handle
        self.name: str = handle.name()

    def _call(self, what: str, function: Callable[..., T], *arguments: object) -> T:
        return self._client.call(f"{what} the network {self.name}", function, *arguments)

    def xml(self) -> str:
        """As it runs; of one that does not, its definition."""
        return str(self._call("reading", self._handle.XMLDesc))

    def states(self) -> Iterable[tuple[int, str]]:
        """Each state it has: the flag that changes it, and its XML at that moment."""
        if self._call("asking after", self._handle.isActive):
            yield libvirt.VIR_NETWORK_UPDATE_AFFECT_LIVE, self.xml()
        if self._call("asking after the definition of", self._handle.isPersistent):
            inactive = 0 if self._client.is_test else libvirt.VIR_NETWORK_XML_INACTIVE
            definition = str(self._call("reading", self._handle.XMLDesc, inactive))
            yield libvirt.VIR_NETWORK_UPDATE_AFFECT_CONFIG, definition

    def add_host(self, element: str, *, address_index: int, state: int) -> None:
        """Reserve an address in its `<ip>` element of that index."""
        self._update(libvirt.VIR_NETWORK_UPDATE_COMMAND_ADD_LAST, element, address_index, state)

    def remove_host(self, element: str, *, address_index: int, state: int) -> None:
        self._update(libvirt.VIR_NETWORK_UPDATE_COMMAND_DELETE, element, address_index, state)

    def _update(self, command: int, element: str, address_index: int, state: int) -> None:
        section = libvirt.VIR_NETWORK_SECTION_IP_DHCP_HOST
        self._call("changing the host entries of", self._handle.update, command, section, address_index, element, state)


class Volume:
    def __init__(self, client: Caller, handle: Any) -> None:
        self._client, self._handle = client, handle
        self.name: str = handle.name()

    def path(self) -> str:
        return str(self._client.call(f"finding the path of {self.name}", self._handle.path))

    def capacity_bytes(self) -> int:
        return int(self._client.call(f"measuring {self.name}", self._handle.info)[1])

    def write(self, content: bytes) -> None:
        """Fill it from its beginning, through the connection."""
        stream = self._client.call(f"writing {self.name}", self._handle.connect().newStream)
        try:
            self._client.call(f"writing {self.name}", self._handle.upload, stream, 0, len(content))
            for start in range(0, len(content), _STREAMED_BYTES):
                self._send(stream, content[start : start + _STREAMED_BYTES])
            self._client.call(f"writing {self.name}", stream.finish)
        except InnkeeperError:
            with suppress(libvirt.libvirtError):  # it may have ended already; the reason is on its way
                stream.abort()
            raise

    def _send(self, stream: Any, content: bytes) -> None:
        while content:
            content = content[self._client.call(f"writing {self.name}", stream.send, content) :]

    def delete(self) -> None:
        """NotFound when it is gone."""
        self._client.call(f"removing the disk {self.name}", self._handle.delete)
