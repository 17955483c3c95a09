"""`boot-resources/`: the images that machines are deployed with, and uploads of them in parts."""

from __future__ import annotations

from collections.abc import Mapping

from common.errors import InvalidRequest, NotFound
from regiond.api import crud
from regiond.api.dry_run import is_dry_run
from regiond.api.endpoint import Call, Endpoint, Permission, Resource, Result
from regiond.api.field_types import Choice, File, Integer, Text
from regiond.api.fields import Field
from regiond.api.replies import Reply, json_reply
from regiond.api.serializers.images import ENTRY_JSON, LISTED_JSON, SYNCED, UPLOADED, Entry, type_of
from regiond.api.services import Services
from regiond.api.urls import id_in
from regiond.deletion_plan import DeletionPlan
from regiond.images.model import (
    MAX_IMAGE_NAME,
    MAX_IMAGE_TITLE,
    MAX_URL,
    Image,
    NamedHostImage,
    StreamImage,
    SubmittedImage,
)
from regiond.validation_messages import no_object

_ENTRY = Result(doc="The entry.", type=ENTRY_JSON)
_MAX_BYTES = 2**63 - 1
_TYPES = {"synced": {SYNCED}, "uploaded": {UPLOADED}, "generated": set[str](), "all": {SYNCED, UPLOADED}}
_OF_HOST = ("alias", "fingerprint")
_NEW = (
    Field(
        name="name",
        type=Text(max_length=MAX_IMAGE_NAME),
        default="",
        doc="OSYSTEM/SERIES such as ubuntu/noble, or a name of your own, which becomes custom/NAME; required without "
        "metadata that names it.",
    ),
    Field(
        name="architecture",
        type=Text(max_length=100),
        default="",
        doc="Such as amd64 or amd64/generic; required without metadata that names it.",
    ),
    Field(name="title", type=Text(max_length=MAX_IMAGE_TITLE), default="", doc="A title for people."),
    Field(
        name="filetype",
        type=Text(max_length=20),
        default="",
        doc=(
            "ddraw (a raw disk), ddgz, ddxz, ddbz2 (compressed), ddtar, ddtgz, ddtxz, ddtbz (in an archive), qcow2, or "
            "lxd (LXD's image of a VM in one file), and then nothing else is accepted; default: what the content is."
        ),
    ),
    Field(
        name="sha256",
        type=Text(max_length=100),
        default="",
        doc="SHA-256 of the file in hexadecimal digits, which it has to have; required with url.",
    ),
    Field(
        name="size",
        type=Integer(minimum=1, maximum=_MAX_BYTES),
        doc="Size of the file in bytes; required without content and url.",
    ),
    Field(
        name="url",
        type=Text(max_length=MAX_URL),
        default="",
        doc="Where the region downloads the file, in the background: https://… or http://….",
    ),
    Field(
        name="vm_host",
        type=Text(max_length=MAX_IMAGE_NAME),
        default="",
        doc="The id or name of a VM host that has the image itself, in LXD's image store. It stays there, for machines "
        "of this host; name it by alias or fingerprint. Title, architecture and name are LXD's unless given.",
    ),
    Field(
        name="alias", type=Text(max_length=MAX_IMAGE_NAME), default="", doc="With vm_host: an alias of the image there."
    ),
    Field(
        name="fingerprint",
        type=Text(max_length=100),
        default="",
        doc="With vm_host: the fingerprint of the image there, or its beginning.",
    ),
    Field(
        name="metadata",
        type=File(),
        default="",
        doc="Of an image that LXD exports in two files, the smaller one: the archive with metadata.yaml.",
    ),
    Field(
        name="content",
        type=File(),
        default="",
        doc=(
            "The file itself, as a file of a multipart form, if the request stays below 4 MiB. Otherwise send sha256 "
            "and size, and then the parts to upload_uri of the answer. The command innkeeper does that: content@=FILE."
        ),
    ),
)


_IMPORTED = (
    Field(
        name="server",
        type=Text(max_length=MAX_URL),
        required=True,
        doc="The server's address, such as https://cloud-images.ubuntu.com/releases.",
    ),
    Field(
        name="image",
        type=Text(max_length=MAX_IMAGE_NAME),
        required=True,
        doc="An alias such as noble or debian/12, a release, or the name of a product.",
    ),
    Field(name="architecture", type=Text(max_length=100), required=True, doc="Such as amd64 or amd64/generic."),
    Field(
        name="name",
        type=Text(max_length=MAX_IMAGE_NAME),
        default="",
        doc="OSYSTEM/SERIES; default: those of the server, such as ubuntu/noble.",
    ),
    Field(
        name="title", type=Text(max_length=MAX_IMAGE_TITLE), default="", doc="Default: the server's, and the version."
    ),
    Field(name="version", type=Text(max_length=100), default="", doc="Such as 20240423; default: the newest."),
)


async def _find(services: Services, path: Mapping[str, str]) -> Entry:
    """Also one of an architecture."""
    entry_id = id_in(path["id"], "image")
    of_architecture = {one.id: one for one in await services.images.architecture_entries()}
    return of_architecture.get(entry_id) or await services.images.read(entry_id)


async def _find_image(services: Services, path: Mapping[str, str]) -> Image:
    return await services.images.read(id_in(path["id"], "image"))


async def _find_upload(services: Services, path: Mapping[str, str]) -> Image:
    """An image has one file, with the same id."""
    if path["file_id"] != path["id"]:
        raise NotFound(no_object("file of this image", path["file_id"]))
    return await _find_image(services, path)


async def _list(call: Call) -> tuple[Entry, ...]:
    images = call.services.images
    wanted = _TYPES[call.values["type"]]
    entries: tuple[Entry, ...] = (
        *await images.architecture_entries(),
        *await images.with_copies(await images.list(), caller=call.caller),
    )
    return tuple(one for one in entries if type_of(one) in wanted)


async def _read(call: Call) -> Entry:
    entry: Entry = call.target
    if not isinstance(entry, Image):
        return entry
    (found,) = await call.services.images.with_copies([entry], caller=call.caller)
    return found


async def _create(call: Call) -> Reply:
    values = call.values
    if values["vm_host"]:
        return await _add_of_host(call)
    if given := [name for name in _OF_HOST if values[name]]:
        raise InvalidRequest.of({name: ["Only with vm_host, the VM host that has the image."] for name in given})
    submitted = SubmittedImage(
        name=values["name"],
        architecture=values["architecture"],
        title=values["title"],
        filetype=values["filetype"],
        sha256=values["sha256"],
        size_bytes=values["size"],
        url=values["url"],
    )
    image = await call.services.image_uploads.declare(
        call.caller, submitted, call.files.get("content") or None, metadata=call.files.get("metadata") or None
    )
    return json_reply(ENTRY_JSON.encode(image), status=201)


async def _add_of_host(call: Call) -> Reply:
    values = call.values
    given = [name for name in ("filetype", "sha256", "size", "url") if values[name]]
    given += [name for name in ("metadata", "content") if call.files.get(name)]
    if given:
        raise InvalidRequest.of({name: ["Not with vm_host, which has the image."] for name in given})
    wanted = NamedHostImage(
        host=values["vm_host"], **{name: values[name] for name in (*_OF_HOST, "name", "architecture", "title")}
    )
    return json_reply(ENTRY_JSON.encode(await call.services.host_images.add(call.caller, wanted)), status=201)


async def _import(call: Call) -> Reply:
    names = ("server", "image", "architecture", "name", "title", "version")
    wanted = StreamImage(**{name: call.values[name] for name in names})
    return json_reply(ENTRY_JSON.encode(await call.services.image_imports.start(call.caller, wanted)), status=201)


async def _append(call: Call) -> Reply:
    image = await call.services.image_uploads.append(
        call.caller, call.target.id, call.content or b"", offset=call.values["offset"]
    )
    return json_reply(ENTRY_JSON.encode(image))


async def _delete(call: Call) -> DeletionPlan:
    return await call.services.image_uploads.delete(call.caller, call.target.id, dry_run=is_dry_run(call))


BOOT_RESOURCES = Resource(
    handler="BootResourcesHandler",
    path="boot-resources/",
    doc="The images that machines are deployed with.",
    endpoints=(
        crud.list_of(
            LISTED_JSON,
            _list,
            title="List images",
            doc="In every state, and first an entry for each architecture of the VM hosts, which has no content.",
            result="The entries.",
            fields=(
                Field(
                    name="type",
                    type=Choice(choices=tuple(_TYPES)),
                    default="all",
                    doc="uploaded: only images; synced: only the entries of architectures.",
                ),
            ),
        ),
        Endpoint(
            method="POST",
            permission=Permission.ADMIN,
            title="Add an image",
            doc=(
                "Repeated with the same sha256 and size, it continues the upload, or answers with the image that has "
                "this content. An image can be deployed once its state is ready; failed says why in error."
            ),
            fields=_NEW,
            accepted=frozenset({"base_image", "keep"}),
            result=_ENTRY,
            success=201,
            run=_create,
        ),
        Endpoint(
            method="POST",
            op="import",
            permission=Permission.ADMIN,
            title="Import an image",
            doc=(
                "From a simplestreams server, as of Ubuntu or LXD: finds the disk of a VM there, and "
                "adds it with its address and SHA-256. The region downloads it in the background."
            ),
            fields=_IMPORTED,
            result=_ENTRY,
            success=201,
            run=_import,
        ),
    ),
)
BOOT_RESOURCE = Resource(
    handler="BootResourceHandler",
    path="boot-resources/{id}/",
    doc="An image.",
    endpoints=(
        crud.read(_ENTRY, _read, title="Read an image", find=_find),
        crud.delete(
            _delete,
            title="Delete an image",
            doc="Its content is deleted too, unless another entry has the same.",
            find=_find_image,
        ),
    ),
)
BOOT_RESOURCE_FILE = Resource(
    handler="BootResourceFileUploadHandler",
    path="boot-resources/{id}/upload/{file_id}/",
    doc="The upload of an image.",
    described=False,
    endpoints=(
        Endpoint(
            method="PUT",
            permission=Permission.ADMIN,
            title="Add a part to an upload",
            doc=(
                "The body is the next part of the file, at most 4 MiB, of the type application/octet-stream. After the "
                "last one the image is checked."
            ),
            fields=(
                Field(
                    name="offset",
                    type=Integer(minimum=0, maximum=_MAX_BYTES),
                    doc="Where the part begins; 409, with the right one, if the upload ends elsewhere.",
                ),
            ),
            takes_content=True,
            audited=False,  # thousands of them; the upload is an event
            result=_ENTRY,
            find=_find_upload,
            run=_append,
        ),
    ),
)
RESOURCES = (BOOT_RESOURCES, BOOT_RESOURCE, BOOT_RESOURCE_FILE)
