"""The endpoint that adds a part to an upload: of an image, or of a file of a VM."""

from __future__ import annotations

from typing import TypeVar

from regiond.api.declaration import crud
from regiond.api.declaration.endpoint import Call, Endpoint, Find, Result
from regiond.api.declaration.field_types import Integer
from regiond.api.declaration.fields import Field
from regiond.requests.caller import Permission

T = TypeVar("T")


def content_of(call: Call) -> bytes:
    """Returns the part: the body of the request."""
    return call.content or b""


def part_of_upload(
    result: Result[T], run: crud.Run[T], *, title: str, checked: str, max_bytes: int, permission: Permission, find: Find
) -> Endpoint:
    """PUT: the object whose upload it is, after the part. `checked` says what is checked after the last one."""
    return Endpoint(
        method="PUT",
        permission=permission,
        title=title,
        doc=(
            "The body is the next part of the file, at most 4 MiB, of the type application/octet-stream. After the "
            f"last one the {checked} is checked."
        ),
        fields=(
            Field(
                "offset",
                Integer(minimum=0, maximum=max_bytes),
                "Where the part begins; 409, with the right one, if the upload ends elsewhere.",
            ),
        ),
        takes_content=True,
        audited=False,  # an upload has thousands of parts; an event records the upload
        result=result,
        find=find,
        run=crud.encoded_run(result, run),
    )
