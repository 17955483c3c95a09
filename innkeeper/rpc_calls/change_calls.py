"""The calls of RPC clients that change the hardware and the systems of machines, and copy them."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing

from common.errors import InvalidRequest, ResponseRejected
from common.rpc.commands.client_commands import (
    CLIENT_ADD_DISK,
    CLIENT_ADD_INTERFACE,
    CLIENT_ADOPT,
    CLIENT_CHANGE_INTERFACE,
    CLIENT_CLONE,
    CLIENT_DEPLOY,
    CLIENT_DOWNLOAD,
    CLIENT_EXPORT,
    CLIENT_GROW_DISK,
    CLIENT_REBUILD,
    CLIENT_RELEASE,
    CLIENT_REMOVE_DISK,
    CLIENT_REMOVE_INTERFACE,
    CLIENT_RESIZE,
    CLIENT_SET_BOOT,
    AddDiskCall,
    AddInterfaceCall,
    AdoptCall,
    AdoptedGuest,
    ChangeInterfaceCall,
    CloneCall,
    DeployCall,
    DownloadCall,
    ExportCall,
    GrowDiskCall,
    MachineResizeCall,
    OperationSummary,
    RebuildCall,
    ReleaseCall,
    RemoveDiskCall,
    RemoveInterfaceCall,
    SetBootCall,
)
from common.units import BYTES_PER_GB
from innkeeper.rpc_calls.region_calls import RegionCalls

CALL_S = 30.0
DOWNLOAD_S = 600.0  # of 16 MiB, which the receiver may write slowly
MAX_USER_DATA_BYTES = 32 * 1024  # a message of a client has at most 64 KiB


class ChangeCalls:
    """Each call returns the operation that it started, and raises the region's error (common/errors.py)."""

    def __init__(self, link: RegionCalls) -> None:
        self._link = link

    async def resize(
        self,
        system_id: str,
        *,
        cores: int | None = None,
        memory_mib: int | None = None,
        pinned_cores: Iterable[int] | None = None,
        pin_cores: int | None = None,
        huge_pages_backed: bool | None = None,
        huge_page_size_mib: int | None = None,
    ) -> OperationSummary:
        """Starts the operation that gives a machine other cores, memory or both, or binds it to others of its host.

        Its result says what the machine has then; with `is_pending`, the rest comes when Innkeeper next starts it.
        `pinned_cores` are host core ids, `pin_cores` is a number of cores, 0: none; with either, or with huge pages,
        the machine has to be off. Raises OutOfCapacity, with the numbers, if the host has too little left.
        """
        request = MachineResizeCall(
            system_id=system_id, cores=cores, memory_mib=memory_mib,
            pinned_cores=None if pinned_cores is None else tuple(pinned_cores), pin_cores=pin_cores,
            huge_pages_backed=huge_pages_backed, huge_page_size_mib=huge_page_size_mib,
        )  # fmt: skip
        return await self._link.call(CLIENT_RESIZE, request, deadline_s=CALL_S)

    async def add_disk(
        self,
        system_id: str,
        *,
        size_gb: float,
        pool: str = "",
        tags: Iterable[str] = (),
        idempotency_key: str | None = None,
    ) -> OperationSummary:
        """Starts the operation that gives a machine an empty disk. Its space is claimed at once.

        `pool` is a storage pool of its host; without it, one is chosen as for compose. Raises OutOfCapacity with the
        numbers, and WrongState.
        """
        request = AddDiskCall(
            system_id=system_id, size_bytes=_bytes(size_gb), pool=pool, tags=tuple(tags),
            idempotency_key=idempotency_key,
        )  # fmt: skip
        return await self._link.call(CLIENT_ADD_DISK, request, deadline_s=CALL_S)

    async def grow_disk(self, system_id: str, disk: str | int, *, size_gb: float) -> OperationSummary:
        """Starts the operation that makes a disk (id or name) this large; the rest is pending as for `resize`."""
        request = GrowDiskCall(system_id=system_id, disk=str(disk), size_bytes=_bytes(size_gb))
        return await self._link.call(CLIENT_GROW_DISK, request, deadline_s=CALL_S)

    async def remove_disk(self, system_id: str, disk: str | int, *, keep: bool) -> OperationSummary:
        """Starts the operation that takes a disk (id or name) from a machine. Without `keep`, its data are lost."""
        request = RemoveDiskCall(system_id=system_id, disk=str(disk), keep=keep)
        return await self._link.call(CLIENT_REMOVE_DISK, request, deadline_s=CALL_S)

    async def add_interface(
        self,
        system_id: str,
        *,
        interfaces: str = "",
        name: str = "",
        mac_address: str = "",
        tags: Iterable[str] = (),
        idempotency_key: str | None = None,
    ) -> OperationSummary:
        """Starts the operation that gives a machine a NIC. Its `result` has the `name` and the `mac_address`.

        `interfaces` is one interface constraint of compose; without it, the NIC is on the host's default network.
        """
        request = AddInterfaceCall(
            system_id=system_id, interfaces=interfaces, name=name, mac_address=mac_address, tags=tuple(tags),
            idempotency_key=idempotency_key,
        )  # fmt: skip
        return await self._link.call(CLIENT_ADD_INTERFACE, request, deadline_s=CALL_S)

    async def change_interface(
        self, system_id: str, interface: str | int, *, interfaces: str = "", mac_address: str = ""
    ) -> OperationSummary:
        """Starts the operation that gives a NIC (id or name) another network, another MAC address, or both."""
        request = ChangeInterfaceCall(
            system_id=system_id, interface=str(interface), interfaces=interfaces, mac_address=mac_address
        )
        return await self._link.call(CLIENT_CHANGE_INTERFACE, request, deadline_s=CALL_S)

    async def remove_interface(self, system_id: str, interface: str | int) -> OperationSummary:
        """Starts the operation that takes a NIC (id or name) from a machine."""
        request = RemoveInterfaceCall(system_id=system_id, interface=str(interface))
        return await self._link.call(CLIENT_REMOVE_INTERFACE, request, deadline_s=CALL_S)

    async def set_boot(self, system_id: str, order: Iterable[str], *, once: bool = False) -> OperationSummary:
        """Starts the operation that sets what a machine tries first, of `disk`, `network` and `iso`.

        With `once`, only its next start by Innkeeper is so.
        """
        request = SetBootCall(system_id=system_id, order=tuple(order), once=once)
        return await self._link.call(CLIENT_SET_BOOT, request, deadline_s=CALL_S)

    async def clone(
        self,
        system_id: str,
        *,
        hostname: str | None = None,
        pool: str | None = None,
        cores: int | None = None,
        memory_mib: int | None = None,
        storage_pool: str = "",
        power_on: bool = False,
        idempotency_key: str | None = None,
    ) -> OperationSummary:
        """Starts the operation that composes a machine like this one, which is off, with copies of its disks.

        It is of the clone. What is not given is as this machine has it, but for a new hostname and new addresses.
        """
        request = CloneCall(
            system_id=system_id, hostname=hostname, pool=pool, cores=cores, memory_mib=memory_mib,
            storage_pool=storage_pool, power_on=power_on, idempotency_key=idempotency_key,
        )  # fmt: skip
        return await self._link.call(CLIENT_CLONE, request, deadline_s=CALL_S)

    async def deploy(
        self, system_id: str, *, image: str = "", user_data: bytes = b"", idempotency_key: str | None = None
    ) -> OperationSummary:
        """Starts the operation that writes an image to the root disk of a machine and starts it.

        `image` is a name such as `noble` or `custom/web`, empty the region's default; `user_data` is for cloud-init,
        at most 32 KiB. A ready machine is allocated to you first. Raises InvalidRequest and WrongState.
        """
        request = DeployCall(
            system_id=system_id, image=image, user_data=_encoded(user_data), idempotency_key=idempotency_key
        )
        return await self._link.call(CLIENT_DEPLOY, request, deadline_s=CALL_S)

    async def rebuild(
        self,
        system_id: str,
        *,
        image: str = "",
        user_data: bytes = b"",
        force: bool = False,
        idempotency_key: str | None = None,
    ) -> OperationSummary:
        """Starts the operation that deploys a deployed machine again: all data on its root disk are lost.

        Its other disks keep their content. `image` is empty for the one that it has; `force` powers it off at once.
        """
        request = RebuildCall(
            system_id=system_id, image=image, user_data=_encoded(user_data), force=force,
            idempotency_key=idempotency_key,
        )  # fmt: skip
        return await self._link.call(CLIENT_REBUILD, request, deadline_s=CALL_S)

    async def release(
        self,
        system_id: str,
        *,
        comment: str = "",
        erase: bool = False,
        secure_erase: bool = False,
        force: bool = False,
        release_adopted: bool = False,
        idempotency_key: str | None = None,
    ) -> OperationSummary | None:
        """Starts the operation that powers a machine off and clears its owner; None if it has none.

        A deployed one loses the data on its root disk; with `erase` all disks that Innkeeper created are emptied, with
        `secure_erase` also overwritten first. One that allocation composed is deleted. `force` powers it off at once.
        An adopted machine needs `release_adopted`.
        """
        request = ReleaseCall(
            system_id=system_id, comment=comment, erase=erase, secure_erase=secure_erase, force=force,
            release_adopted=release_adopted, idempotency_key=idempotency_key,
        )  # fmt: skip
        return (await self._link.call(CLIENT_RELEASE, request, deadline_s=CALL_S)).operation

    async def adopt(
        self,
        host: str | int,
        guests: Iterable[str | int] = (),
        *,
        everything: bool = False,
        hostname: str | None = None,
        owner: str | None = None,
    ) -> tuple[AdoptedGuest, ...]:
        """Makes guests of a host machines, each with an operation, or with `everything` all that are none; they go on.

        For administrators. They are named by name or id, and belong to you or to `owner`. A `hostname` is for a single
        one. The same call again changes nothing.
        """
        request = AdoptCall(
            host=str(host), guests=tuple(map(str, guests)), everything=everything, hostname=hostname, owner=owner
        )
        return (await self._link.call(CLIENT_ADOPT, request, deadline_s=CALL_S)).guests

    async def export(self, system_id: str, *, idempotency_key: str | None = None) -> OperationSummary:
        """Starts the operation that writes a machine, which is off, to a file of the region.

        Its result has the id of the file as `export`, its `size` and `sha256`; `download` has its content.
        """
        request = ExportCall(system_id=system_id, idempotency_key=idempotency_key)
        return await self._link.call(CLIENT_EXPORT, request, deadline_s=CALL_S)

    async def download(self, export_id: int, *, start: int = 0) -> AsyncGenerator[bytes, None]:
        """Yields the content of a file of the region from `start` on, in parts of at most 256 KiB.

        Nothing is read in advance but a few parts. To continue after an error, begin at the number of bytes received:
        nothing follows a complete file.
        Compare the hash of the whole file with the `sha256` of its operation.
        """
        size_bytes = start + 1
        while start < size_bytes:
            begun, call = start, DownloadCall(export_id=export_id, start=start)
            async with aclosing(self._link.stream(CLIENT_DOWNLOAD, call, deadline_s=DOWNLOAD_S)) as parts:
                async for part in parts:
                    start, size_bytes = start + len(part.data), part.size_bytes
                    if part.data:
                        yield part.data
            if start == begun and start < size_bytes:
                raise ResponseRejected(f"The region sent nothing of the file {export_id} from byte {start} on.")


def _bytes(size_gb: float) -> int:
    return round(size_gb * BYTES_PER_GB)


def _encoded(user_data: bytes) -> str:
    """Returns base64. Raises InvalidRequest for more than a message has room for."""
    if len(user_data) > MAX_USER_DATA_BYTES:
        reason = f"The user data have {len(user_data)} bytes; by RPC {MAX_USER_DATA_BYTES} are allowed. "
        raise InvalidRequest.of({"user_data": [reason + "The HTTP API takes 1 MiB."]})
    return b64encode(user_data).decode()
