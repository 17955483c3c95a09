"""`exports/`: files of whole VMs; `machines/{system_id}/?op=export`."""

from __future__ import annotations

import re
from collections.abc import Mapping

from regiond.api.declaration import crud
from regiond.api.declaration.dry_run import CHANGE_DOC, with_dry_run
from regiond.api.declaration.endpoint import Call, Endpoint, Resource, Result
from regiond.api.declaration.field_types import File, Integer, Text
from regiond.api.declaration.fields import Field
from regiond.api.declaration.operation_wait import STARTED, answer_of, when_done
from regiond.api.declaration.serializer import (
    INT,
    STR,
    Serializer,
    array,
    fields_of,
    key,
    nullable,
    serializer,
    uri_by_id,
)
from regiond.api.declaration.served import filled, given, serve, target
from regiond.api.replies import Reply, json_reply
from regiond.api.resources.machines.hardware.disk_changes import PLAN, plan_reply
from regiond.api.resources.machines.hardware.hardware_changes import begun
from regiond.api.resources.shared.lookups import find_machine
from regiond.api.resources.shared.upload_part import content_of, part_of_upload
from regiond.api.services import Services
from regiond.api.urls import id_in
from regiond.exports.model import (
    MAX_FILE_BYTES,
    MAX_FILE_NAME,
    Export,
    ExportedDisk,
    ExportedNic,
    MachineDescription,
    OfExport,
    SubmittedFile,
)
from regiond.exports.service import Download
from regiond.machines.values.disks import MachineToExport
from regiond.operations.model import Operation
from regiond.requests.caller import Permission

TAR = "application/x-tar"
_RANGE = re.compile(r"bytes=([0-9]{1,16})-([0-9]{0,16})", re.ASCII)
_DISK: Serializer[ExportedDisk] = serializer(
    "ExportedDisk", *fields_of(ExportedDisk, "title file size=size_bytes file_size=file_bytes sha256")
)
_NIC: Serializer[ExportedNic] = serializer(
    "ExportedNic", *fields_of(ExportedNic, "name mac_address subnet fabric vid source")
)
_DESCRIPTION: Serializer[MachineDescription] = serializer(
    "MachineDescription",
    *fields_of(
        MachineDescription,
        "hostname architecture cores memory=memory_mib system vm_host=host exported_at secure_boot tpm",
    ),
    key("disks", array(_DISK), lambda found: found.disks),
    key("nics", array(_NIC), lambda found: found.nics),
)
EXPORT_JSON: Serializer[Export] = serializer(
    "Export",
    uri_by_id("exports"),
    *fields_of(Export, "id name state owner machine"),
    key("operation", nullable(INT), lambda found: found.operation_id),
    *fields_of(Export, "size=size_bytes received=received_bytes percent"),
    key("sha256", STR, lambda found: found.sha256),
    key("error", STR, lambda found: found.error),
    key("description", nullable(_DESCRIPTION), lambda found: found.description),
    *fields_of(Export, "created=created_at expires=expires_at"),
)
_EXPORT = Result(doc="The file.", type=EXPORT_JSON)


async def find_export(services: Services, path: Mapping[str, str]) -> Export:
    if services.caller is None:
        raise AssertionError("files of VMs have owners, so that a caller is needed to find one")
    return await services.exports.read(services.caller, id_in(path["id"], "export"))


_list = serve(lambda s: s.exports.list)
_submitted = filled(SubmittedFile, size_bytes=given("size"))
_append = serve(lambda s: s.exports.append, "offset", export_id=target("id"), data=content_of)
_delete = serve(lambda s: s.exports.delete, export_id=target("id"))


async def _declare(call: Call) -> Export:
    return await call.services.exports.declare(call.caller, _submitted(call), call.files.get("content") or None)


async def _download(call: Call) -> Reply:
    """Returns the file, or with a range of bytes as the header Range has it, 206 and that part."""
    wanted = _RANGE.fullmatch(call.byte_range or "")
    start, end = (int(wanted[1]), int(wanted[2]) + 1 if wanted[2] else None) if wanted else (0, None)
    found = await call.services.exports.download(call.caller, call.target.id, start, end)
    return file_reply(found, partial=wanted is not None)


def file_reply(found: Download, *, partial: bool) -> Reply:
    one = found.export
    headers = {
        "Content-Length": str(found.length),
        "Content-Disposition": f'attachment; filename="{_file_name(one.name)}.tar"',
        "Accept-Ranges": "bytes",
        "X-Innkeeper-SHA256": one.sha256,
    }
    if partial:
        headers["Content-Range"] = f"bytes {found.start}-{found.start + found.length - 1}/{one.size_bytes}"
    return Reply(status=206 if partial else 200, content_type=TAR, headers=headers, chunks=found.chunks)


def _file_name(name: str) -> str:
    return "".join(one if one.isascii() and (one.isalnum() or one in "-_.") else "_" for one in name)


async def _export_machine(call: Call) -> Reply:
    operation = await begun(call, call.target.system_id, MachineToExport())

    async def encode(done: Operation) -> Reply:
        found = await call.services.exports.read(call.caller, done.request_as(OfExport).export)
        return json_reply(EXPORT_JSON.encode(found))

    return await (when_done(call, operation, encode) if call.respond_async else answer_of(operation, encode))


async def _export_plan(call: Call) -> Reply:
    return plan_reply(await call.services.hardware.plan(call.caller, call.target.system_id, MachineToExport()))


EXPORT = with_dry_run(
    Endpoint(
        method="POST",
        op="export",
        permission=Permission.OWNER,
        title="Export a machine to a file",
        doc="Writes the disks of a machine that is off, and a description of its hardware, to one file on "
        "the region, and answers at once with the entry of the file in exports/, whose percent grows. The machine is "
        "not changed, and cannot be started until that is done. The file has all data of the machine, so only who "
        "exported it and administrators see it. It is deleted after some days "
        "(keep_exports_days of the region), but not while it is imported, nor within a day after that was begun.",
        opens_operation=True,
        other_answers=(STARTED,),
        result=_EXPORT,
        find=find_machine,
        run=_export_machine,
    ),
    _export_plan,
    result=PLAN,
    doc=CHANGE_DOC,
)
EXPORTS = Resource(
    handler="ExportsHandler",
    path="exports/",
    doc="Files of whole VMs: exported machines, and uploaded files. You see your own.",
    endpoints=(
        crud.list_of(EXPORT_JSON, _list, title="List files of VMs", result="The files."),
        crud.create(
            _EXPORT,
            _declare,
            title="Upload a file of a VM",
            doc="Begins the upload of a file that an export has made, whose content is then sent in parts. When it is "
            "complete, its hashes and its description are compared with its content; ready files can be imported, "
            "failed says why in error.",
            permission=Permission.OPERATOR,
            fields=(
                Field(
                    "name",
                    Text(max_length=MAX_FILE_NAME),
                    "What the file is called here.",
                    recorded=True,
                    required=True,
                    example="web-1",
                ),
                Field("sha256", Text(max_length=64), "SHA-256 of the file.", recorded=True, default=""),
                Field("size", Integer(minimum=1, maximum=MAX_FILE_BYTES), "Its size in bytes."),
                Field(
                    "content",
                    File(),
                    "The file itself, as a file of a multipart form, if the request stays below 4 MiB. Otherwise send "
                    "sha256 and size, and then the parts. The command innkeeper does that: content@=FILE.",
                    default="",
                ),
            ),
            success=201,
        ),
    ),
)
EXPORT_FILE = Resource(
    handler="ExportHandler",
    path="exports/{id}/",
    doc="One file of a VM.",
    endpoints=(
        crud.read_target(_EXPORT, find_export, title="Read the entry of a file of a VM"),
        Endpoint(
            method="GET",
            op="download",
            permission=Permission.USER,
            title="Download a file of a VM",
            doc="A tar archive with one qcow2 image for each disk and machine.json, which describes the hardware. The "
            "header Range (bytes=FIRST-LAST, or bytes=FIRST-) gets a part, to continue a download. X-Innkeeper-SHA256 "
            "is the hash of the whole file.",
            audited=True,
            expensive=True,
            result=Result(doc="The file.", is_data=True, media_type=TAR),
            find=find_export,
            run=_download,
        ),
        crud.delete(
            _delete,
            title="Delete a file of a VM",
            doc="No VM is changed.",
            permission=Permission.USER,
            find=find_export,
        ),
    ),
)
EXPORT_UPLOAD = Resource(
    handler="ExportUploadHandler",
    path="exports/{id}/upload/",
    doc="The upload of a file of a VM.",
    endpoints=(
        part_of_upload(
            _EXPORT,
            _append,
            title="Add a part to the upload of a file of a VM",
            checked="file",
            max_bytes=MAX_FILE_BYTES,
            permission=Permission.USER,
            find=find_export,
        ),
    ),
)
RESOURCES = (EXPORTS, EXPORT_FILE, EXPORT_UPLOAD)
