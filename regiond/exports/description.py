"""The file `machine.json` of an export: written from values, and read from untrusted bytes. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from attrs import frozen

from regiond.exports.model import BadExport, ExportedDisk, ExportedNic, MachineDescription
from regiond.requests.validation_messages import shown

FORMAT, VERSION = "innkeeper-machine", 1
FILE = "machine.json"
MAX_BYTES = 256 * 1024
MAX_DISKS = 16
MAX_NICS = 32
MAX_DISK_BYTES = 2**44
_MAX_TEXT = 256
_MAX_DESCRIPTION = 10_000
_MAX_TAGS = 64
_LARGEST = 2**31 - 1
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}", re.ASCII)
_DISK_FILE = re.compile(r"disk-(0|[1-9][0-9]?)\.qcow2", re.ASCII)


def disk_file(index: int) -> str:
    """Returns the name of a disk's image in the archive."""
    return f"disk-{index}.qcow2"


def is_disk_file(name: str) -> bool:
    return _DISK_FILE.fullmatch(name) is not None


def written(found: MachineDescription) -> bytes:
    """Returns the JSON text."""
    plain = {
        "format": FORMAT,
        "version": VERSION,
        "hostname": found.hostname,
        "architecture": found.architecture,
        "cores": found.cores,
        "memory_mib": found.memory_mib,
        "max_cores": found.max_cores,
        "max_memory_mib": found.max_memory_mib,
        "uefi": found.uefi,
        "secure_boot": found.secure_boot,
        "tpm": found.tpm,
        "description": found.description,
        "tags": list(found.tags),
        "system": found.system,
        "exported_from": {"vm_host": found.host, "type": found.driver, "at": found.exported_at},
        "disks": [
            {
                "title": disk.title, "file": disk.file, "format": "qcow2", "size_bytes": disk.size_bytes,
                "file_bytes": disk.file_bytes, "sha256": disk.sha256, "storage_pool": disk.storage_pool,
                "tags": list(disk.tags),
            }
            for disk in found.disks
        ],
        "nics": [
            {
                "name": nic.name, "mac_address": nic.mac_address, "subnet": nic.subnet, "fabric": nic.fabric,
                "vid": nic.vid, "source": nic.source,
            }
            for nic in found.nics
        ],
    }  # fmt: skip
    return json.dumps(plain, indent=2).encode()


def parsed(text: bytes) -> MachineDescription:
    """Returns the description. Fields that later versions add are left out. Raises BadExport."""
    if len(text) > MAX_BYTES:
        raise BadExport(f"{FILE} has {len(text)} bytes; the most are {MAX_BYTES}.")
    try:
        plain = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadExport(f"{FILE} is no JSON text: {error}.") from error
    top = _Fields.of(plain, FILE)
    if top.text("format") != FORMAT:
        raise BadExport(f"{FILE} has the format {shown(plain.get('format'))}, not {FORMAT}.")
    if (version := top.number("version", 1, _LARGEST)) != VERSION:
        raise BadExport(f"{FILE} has the version {version}; this release reads {VERSION}.")
    origin = _Fields.of(plain.get("exported_from", {}), "exported_from")
    disks = tuple(_disk(one, number) for number, one in enumerate(top.items("disks", MAX_DISKS)))
    if not disks:
        raise BadExport(f"{FILE} has no disk.")
    if len({disk.file for disk in disks}) < len(disks):
        raise BadExport(f"{FILE} names one file for two disks.")
    return MachineDescription(
        hostname=top.text("hostname"),
        architecture=top.text("architecture"),
        cores=top.number("cores", 1, 65535),
        memory_mib=top.number("memory_mib", 1, _LARGEST),
        max_cores=top.optional("max_cores", 1, 65535),
        max_memory_mib=top.optional("max_memory_mib", 1, _LARGEST),
        uefi=top.flag("uefi"),
        secure_boot=top.flag("secure_boot"),
        tpm=top.flag("tpm"),
        description=top.text("description", default="", longest=_MAX_DESCRIPTION),
        tags=top.texts("tags"),
        system=top.text("system", default=""),
        host=origin.text("vm_host", default=""),
        driver=origin.text("type", default=""),
        exported_at=origin.text("at", default=""),
        disks=disks,
        nics=tuple(_nic(one, number) for number, one in enumerate(top.items("nics", MAX_NICS))),
    )


def _disk(plain: Any, number: int) -> ExportedDisk:
    found = _Fields.of(plain, f"disks[{number}]")
    file, sha256 = found.text("file"), found.text("sha256")
    if not is_disk_file(file):
        raise BadExport(f"{found.where} has the file {shown(file)}; disks have {disk_file(0)} and so on.")
    if found.text("format") != "qcow2":
        raise BadExport(f"{found.where} has the format {shown(plain.get('format'))}, not qcow2.")
    if not _SHA256.fullmatch(sha256):
        raise BadExport(f"{found.where} has no SHA-256 of 64 hexadecimal digits: {shown(sha256)}.")
    return ExportedDisk(
        title=found.text("title", default=""), file=file, sha256=sha256,
        size_bytes=found.number("size_bytes", 1, MAX_DISK_BYTES),
        file_bytes=found.number("file_bytes", 1, 2 * MAX_DISK_BYTES),
        storage_pool=found.text("storage_pool", default=""), tags=found.texts("tags"),
    )  # fmt: skip


def _nic(plain: Any, number: int) -> ExportedNic:
    found = _Fields.of(plain, f"nics[{number}]")
    mac_address = found.text("mac_address").lower()
    if not _MAC.fullmatch(mac_address):
        raise BadExport(f"{found.where} has no MAC address: {shown(mac_address)}.")
    return ExportedNic(
        name=found.text("name"), mac_address=mac_address, subnet=found.text("subnet", default=""),
        fabric=found.text("fabric", default=""), vid=found.optional("vid", 0, 4094),
        source=found.text("source", default=""),
    )  # fmt: skip


@frozen
class _Fields:
    """The fields of one JSON object. Each method raises BadExport, which names the field."""

    plain: Mapping[str, Any]
    where: str

    @classmethod
    def of(cls, plain: Any, where: str) -> _Fields:
        if not isinstance(plain, dict):
            raise BadExport(f"{where} is no JSON object.")
        return cls(plain, where)

    def text(self, key: str, *, default: str | None = None, longest: int = _MAX_TEXT) -> str:
        found = self.plain.get(key, default)
        if not isinstance(found, str) or len(found) > longest or not _is_storable(found, lines=longest > _MAX_TEXT):
            raise self._wrong(key, f"a text of at most {longest} printable characters")
        return found

    def texts(self, key: str) -> tuple[str, ...]:
        found = self.items(key, _MAX_TAGS)
        if not all(isinstance(one, str) and len(one) <= _MAX_TEXT and one.isprintable() for one in found):
            raise self._wrong(key, f"a list of texts of at most {_MAX_TEXT} printable characters")
        return tuple(found)

    def number(self, key: str, least: int, most: int) -> int:
        found = self.plain.get(key)
        if not isinstance(found, int) or isinstance(found, bool) or not least <= found <= most:
            raise self._wrong(key, f"a whole number of {least} to {most}")
        return found

    def optional(self, key: str, least: int, most: int) -> int | None:
        return None if self.plain.get(key) is None else self.number(key, least, most)

    def flag(self, key: str) -> bool:
        found = self.plain.get(key, False)
        if not isinstance(found, bool):
            raise self._wrong(key, "true or false")
        return found

    def items(self, key: str, most: int) -> list[Any]:
        found = self.plain.get(key, [])
        if not isinstance(found, list) or len(found) > most:
            raise self._wrong(key, f"a list of at most {most}")
        return found

    def _wrong(self, key: str, wanted: str) -> BadExport:
        return BadExport(f"{key} of {self.where} is {shown(self.plain.get(key))}; it has to be {wanted}.")


def _is_storable(text: str, *, lines: bool) -> bool:
    return all(one.isprintable() or (lines and one in "\n\t") for one in text)
