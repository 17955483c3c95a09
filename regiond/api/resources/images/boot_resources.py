"""`boot-resources/`: the images with which machines are deployed, and their uploads in parts."""

from __future__ import annotations

from collections.abc import Mapping

from common.errors import InvalidRequest, NotFound
from regiond.api.declaration import crud
from regiond.api.declaration.endpoint import Call, Resource, Result
from regiond.api.declaration.field_types import Choice
from regiond.api.declaration.fields import Field
from regiond.api.declaration.serializer import BOOL
from regiond.api.declaration.served import filled, found, given, serve, target
from regiond.api.resources.images.image_fields import IMPORTED_IMAGE, MAX_FILE_BYTES, NEW_IMAGE
from regiond.api.resources.shared.upload_part import content_of, part_of_upload
from regiond.api.serializers.images import ENTRY_JSON, LISTED_JSON, SYNCED, UPLOADED, Entry, type_of
from regiond.api.services import Services
from regiond.api.urls import id_in
from regiond.images.model import Image, NamedHostImage, StreamImage, SubmittedImage
from regiond.requests.caller import Permission
from regiond.requests.validation_messages import no_object

_ENTRY = Result(doc="The entry.", type=ENTRY_JSON)
_TYPES = {"synced": {SYNCED}, "uploaded": {UPLOADED}, "generated": set[str](), "all": {SYNCED, UPLOADED}}
_OF_HOST = ("alias", "fingerprint")
_submitted = filled(SubmittedImage, size_bytes=given("size"))
_wanted_of_host = filled(NamedHostImage, host=given("vm_host"))


async def _find(services: Services, path: Mapping[str, str]) -> Entry:
    """Returns the entry of a path, which can be the generic image of an architecture."""
    entry_id = id_in(path["id"], "image")
    of_architecture = {one.id: one for one in await services.images.architecture_entries()}
    return of_architecture.get(entry_id) or await services.images.read(entry_id)


_find_image = found(lambda s: s.images.read, "id", number_of="image")


async def _find_upload(services: Services, path: Mapping[str, str]) -> Image:
    """Returns the image of a file's path: an image has one file, with the same id."""
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


async def _create(call: Call) -> Image:
    values = call.values
    if values["vm_host"]:
        return await _add_of_host(call)
    if named := [name for name in _OF_HOST if values[name]]:
        raise InvalidRequest.of({name: ["Only with vm_host, the VM host that has the image."] for name in named})
    return await call.services.image_uploads.declare(
        call.caller, _submitted(call), call.files.get("content") or None, metadata=call.files.get("metadata") or None
    )


async def _add_of_host(call: Call) -> Image:
    values = call.values
    refused = [name for name in ("filetype", "sha256", "size", "url") if values[name]]
    refused += [name for name in ("metadata", "content") if call.files.get(name)]
    if refused:
        raise InvalidRequest.of({name: ["Not with vm_host, which has the image."] for name in refused})
    return await call.services.host_images.add(call.caller, _wanted_of_host(call))


_import = serve(lambda s: s.image_imports.start, wanted=filled(StreamImage))


async def _is_importing(call: Call) -> bool:
    return any(one.is_importing for one in await call.services.images.list())


_append = serve(lambda s: s.image_uploads.append, "offset", image_id=target("id"), data=content_of)
_delete = serve(lambda s: s.image_uploads.delete, image_id=target("id"))

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
            accepted=frozenset({"Type"}),  # gomaasclient sends it, and MAAS ignores it
            fields=(
                Field(
                    "type",
                    Choice(choices=tuple(_TYPES)),
                    "uploaded: only images; synced: only the entries of architectures.",
                    default="all",
                ),
            ),
        ),
        crud.create(
            _ENTRY,
            _create,
            title="Add an image",
            doc=(
                "Repeated with the same sha256 and size, it continues the upload, or answers with the image that has "
                "this content. An image can be deployed once its state is ready; failed says why in error."
            ),
            fields=NEW_IMAGE,
            accepted=frozenset({"base_image", "keep"}),
            success=201,
        ),
        crud.action(
            "import",
            _ENTRY,
            _import,
            title="Import an image",
            doc=(
                "From a simplestreams server, as of Ubuntu or LXD: finds the disk of a VM there, and "
                "adds it with its address and SHA-256. The region downloads it in the background."
            ),
            fields=IMPORTED_IMAGE,
            success=201,
        ),
        crud.read(
            Result(doc="Whether there is one.", type=BOOL),
            _is_importing,
            op="is_importing",
            title="Check whether an image is being downloaded",
            doc="True while the region downloads an image, will try it again, or checks what it has downloaded.",
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
    endpoints=(
        part_of_upload(
            _ENTRY,
            _append,
            title="Add a part to an upload",
            checked="image",
            max_bytes=MAX_FILE_BYTES,
            permission=Permission.ADMIN,
            find=_find_upload,
        ),
    ),
)
RESOURCES = (BOOT_RESOURCES, BOOT_RESOURCE, BOOT_RESOURCE_FILE)
