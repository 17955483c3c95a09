"""`files/`: small files that clients store, such as Juju's state. Each user has its own."""

from __future__ import annotations

from collections.abc import Mapping

from common.errors import InvalidRequest
from regiond.api.declaration import crud
from regiond.api.declaration.endpoint import Call, Endpoint, Resource, Result
from regiond.api.declaration.field_types import FileOrText, Text
from regiond.api.declaration.fields import Field
from regiond.api.declaration.served import part, serve
from regiond.api.pipeline.request import CONTENT_TYPE
from regiond.api.replies import Reply
from regiond.api.serializers.files import FILE_JSON, FILE_WITH_CONTENT_JSON
from regiond.api.services import Services
from regiond.files.model import MAX_FILE_BYTES, MAX_FILENAME, MAX_FILES, FileWithContent, StoredFile
from regiond.requests.caller import Permission
from regiond.requests.validation_messages import REQUIRED

_FILENAME = Field(
    "filename",
    Text(max_length=MAX_FILENAME),
    "Name of the file.",
    recorded=True,
    required=True,
    example="provider-state",
)


async def _find(services: Services, path: Mapping[str, str]) -> FileWithContent:
    if services.caller is None:
        raise AssertionError("files have owners, so that a caller is needed to find one")
    return await services.files.read(services.caller, path["filename"])


_list = serve(lambda s: s.files.list, "prefix")


async def _write(call: Call) -> StoredFile:
    content = _content(call)
    if content is None:
        raise InvalidRequest.of({"file": [REQUIRED]})
    return await call.services.files.write(call.caller, call.values["filename"], content)


def _content(call: Call) -> bytes | None:
    """Returns the content of the part `file`, else of the only file part: users of the maas CLI choose its name."""
    if "file" in call.files:
        return call.files["file"]
    if len(call.files) == 1:
        return next(iter(call.files.values()))
    text: str | None = call.values["file"]
    return None if text is None else text.encode()


async def _get(call: Call) -> Reply:
    found = await call.services.files.read(call.caller, call.values["filename"])
    return Reply(status=200, body=found.content, content_type=CONTENT_TYPE)


async def _get_by_key(call: Call) -> Reply:
    found = await call.services.files.read_by_key(call.values["key"])
    return Reply(status=200, body=found.content, content_type=CONTENT_TYPE)


_delete = serve(lambda s: s.files.delete, filename=part("filename"))

FILES = Resource(
    handler="FilesHandler",
    path="files/",
    doc="Small files that you have stored.",
    endpoints=(
        crud.list_of(
            FILE_JSON,
            _list,
            title="List your files",
            fields=(
                Field(
                    "prefix",
                    Text(max_length=MAX_FILENAME, strip=False),
                    "Only those whose names begin with it.",
                    default="",
                ),
            ),
            result="The files, without their contents.",
        ),
        crud.create(
            Result(doc="The file.", type=FILE_JSON),
            _write,
            title="Store a file",
            permission=Permission.USER,
            doc=(
                f"Replaces the content of a file of yours with that name. A file has at most {MAX_FILE_BYTES} bytes, "
                f"and a user {MAX_FILES} files."
            ),
            fields=(
                _FILENAME,
                Field(
                    "file",
                    FileOrText(max_length=MAX_FILE_BYTES),
                    "The content: a part of a multipart form that has a file name; or as text. Required.",
                    example="content",
                ),
            ),
            success=201,
        ),
        Endpoint(
            method="GET",
            op="get",
            permission=Permission.USER,
            title="Read the content of a file",
            fields=(_FILENAME,),
            result=Result(doc="The content.", is_data=True),
            run=_get,
        ),
        Endpoint(
            method="GET",
            op="get_by_key",
            permission=Permission.ANYONE,
            title="Read the content of a file by its key",
            doc="Without an account: whoever has anon_resource_uri can read the file.",
            fields=(Field("key", Text(), "The key in anon_resource_uri.", required=True, example="abc"),),
            result=Result(doc="The content.", is_data=True),
            run=_get_by_key,
        ),
    ),
)
FILE = Resource(
    handler="FileHandler",
    path="files/{filename}/",
    doc="One of your files, by its name.",
    takes_slashes=True,
    endpoints=(
        crud.read_target(
            Result(doc="The file, its content in base64.", type=FILE_WITH_CONTENT_JSON), _find, title="Read a file"
        ),
        crud.delete(_delete, title="Delete a file", permission=Permission.USER),
    ),
)
RESOURCES = (FILES, FILE)
