"""Files of VMs: their states, their limits and what they say about the VM. Pure."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from attrs import frozen

from regiond.requests.caller import Caller

UPLOAD_IDLE_S = 600.0  # without a part for so long, an upload is promised no more space than its content takes
MAX_FILE_BYTES = 16 * 2**40
MAX_FILE_NAME = 200
_GIB = 2**30


class BadExport(Exception):
    """The file cannot be imported; the message says what was found. It becomes the `error` of the export."""


class ExportState(StrEnum):
    EXPORTING = "exporting"  # an operation writes it
    UPLOADING = "uploading"
    CHECKING = "checking"  # its hashes and its description are compared with its content
    READY = "ready"
    FAILED = "failed"  # it was uploaded, and cannot be imported


@frozen(kw_only=True)
class ExportedDisk:
    """A disk: `file` is the qcow2 image in the archive, of `file_bytes` with this SHA-256; `size_bytes` its size."""

    title: str
    file: str
    size_bytes: int
    file_bytes: int
    sha256: str
    storage_pool: str = ""
    tags: tuple[str, ...] = ()


@frozen(kw_only=True)
class ExportedNic:
    """A NIC, and the names of what it was connected to: a subnet, a VLAN of a fabric, the host's own name."""

    name: str
    mac_address: str
    subnet: str = ""
    fabric: str = ""
    vid: int | None = None
    source: str = ""


@frozen(kw_only=True)
class MachineDescription:
    """A VM as its file describes it. `system` is what was deployed, such as `ubuntu/noble`; empty: unknown."""

    hostname: str
    architecture: str
    cores: int
    memory_mib: int
    disks: tuple[ExportedDisk, ...]
    nics: tuple[ExportedNic, ...] = ()
    uefi: bool = False
    secure_boot: bool = False
    tpm: bool = False
    max_cores: int | None = None
    max_memory_mib: int | None = None
    description: str = ""
    tags: tuple[str, ...] = ()
    system: str = ""
    host: str = ""
    driver: str = ""
    exported_at: str = ""


@frozen(kw_only=True)
class OfExport:
    """The part of a request that names the file, by its id."""

    export: int


@frozen(kw_only=True)
class Export:
    """A file of the region. `size_bytes` is its size, until it is complete that which was declared or written so far.

    `percent` is how far an export has come, or an upload. `expires_at` is when it is deleted. `machine` is the system
    id of the VM that was exported; empty: it was uploaded.
    """

    id: int
    name: str
    state: ExportState
    account_id: int | None
    owner: str | None
    machine: str
    operation_id: int | None
    size_bytes: int
    received_bytes: int
    percent: int
    sha256: str
    error: str
    description: MachineDescription | None
    created_at: datetime
    expires_at: datetime
    store_id: UUID | None
    file: str

    @property
    def is_ready(self) -> bool:
        return self.state is ExportState.READY

    def belongs_to(self, caller: Caller) -> bool:
        """Returns whether the caller may see and use it: its content is all data of a VM."""
        return caller.is_admin or self.account_id == caller.account_id


@frozen(kw_only=True)
class SubmittedFile:
    """A file that a user is about to upload, not checked; empty or None where the user gave nothing."""

    name: str
    sha256: str = ""
    size_bytes: int | None = None


@frozen(kw_only=True)
class ExportLimits:
    """The space that all files may take, those of one account, what stays free on the disk, and how long one is kept.

    Administrators may use the space of all.
    """

    total_bytes: int = 100 * _GIB
    account_bytes: int = 50 * _GIB
    reserve_bytes: int = 2 * _GIB
    keep_days: int = 7
