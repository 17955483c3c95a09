"""The fields of requests that add or import an image."""

from __future__ import annotations

from regiond.api.declaration.field_types import File, Integer, Text
from regiond.api.declaration.fields import Field
from regiond.images.model import MAX_IMAGE_NAME, MAX_IMAGE_TITLE, MAX_URL

MAX_FILE_BYTES = 2**63 - 1
NEW_IMAGE = (
    Field(
        "name",
        Text(max_length=MAX_IMAGE_NAME),
        (
            "OSYSTEM/SERIES such as ubuntu/noble, or a name of your own, which becomes custom/NAME; required without "
            "metadata that names it."
        ),
        recorded=True,
        default="",
        example="ubuntu/noble",
    ),
    Field(
        "architecture",
        Text(max_length=100),
        "Such as amd64 or amd64/generic; required without metadata that names it.",
        recorded=True,
        default="",
        example="amd64/generic",
    ),
    Field("title", Text(max_length=MAX_IMAGE_TITLE), "A title for people.", default=""),
    Field(
        "filetype",
        Text(max_length=20),
        (
            "ddraw (a raw disk), ddgz, ddxz, ddbz2 (compressed), ddtar, ddtgz, ddtxz, ddtbz (in an archive), qcow2, "
            "lxd (LXD's image of a VM in one file), or iso (for the drive of machines, never deployed), and then "
            "nothing else is accepted; default: what the content is, but for an ISO image."
        ),
        recorded=True,
        default="",
    ),
    Field(
        "sha256",
        Text(max_length=100),
        "SHA-256 of the file in hexadecimal digits, which it has to have; required with url.",
        recorded=True,
        default="",
        example="e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    ),
    Field(
        "size",
        Integer(minimum=1, maximum=MAX_FILE_BYTES),
        "Size of the file in bytes; required without content and url.",
    ),
    Field(
        "url",
        Text(max_length=MAX_URL),
        "Where the region downloads the file, in the background: https://… or http://….",
        recorded=True,
        default="",
        example="https://images.example.com/noble-server-cloudimg-amd64.img",
    ),
    Field(
        "vm_host",
        Text(max_length=MAX_IMAGE_NAME),
        (
            "The id or name of a VM host that has the image itself, in LXD's image store. It stays there, for machines "
            "of this host; name it by alias or fingerprint. Title, architecture and name are LXD's unless given."
        ),
        recorded=True,
        default="",
    ),
    Field(
        "alias",
        Text(max_length=MAX_IMAGE_NAME),
        "With vm_host: an alias of the image there.",
        recorded=True,
        default="",
    ),
    Field(
        "fingerprint",
        Text(max_length=100),
        "With vm_host: the fingerprint of the image there, or its beginning.",
        recorded=True,
        default="",
    ),
    Field(
        "metadata",
        File(),
        "Of an image that LXD exports in two files, the smaller one: the archive with metadata.yaml.",
        default="",
    ),
    Field(
        "content",
        File(),
        (
            "The file itself, as a file of a multipart form, if the request stays below 4 MiB. Otherwise send sha256 "
            "and size, and then the parts to upload_uri of the answer. The command innkeeper does that: content@=FILE."
        ),
        default="",
    ),
)

IMPORTED_IMAGE = (
    Field(
        "server",
        Text(max_length=MAX_URL),
        "The server's address, such as https://cloud-images.ubuntu.com/releases.",
        recorded=True,
        required=True,
        example="https://images.example.com",
    ),
    Field(
        "image",
        Text(max_length=MAX_IMAGE_NAME),
        "An alias such as noble or debian/12, a release, or the name of a product.",
        recorded=True,
        required=True,
        example="noble",
    ),
    Field(
        "architecture",
        Text(max_length=100),
        "Such as amd64 or amd64/generic.",
        recorded=True,
        required=True,
        example="amd64/generic",
    ),
    Field(
        "name",
        Text(max_length=MAX_IMAGE_NAME),
        "OSYSTEM/SERIES; default: those of the server, such as ubuntu/noble.",
        recorded=True,
        default="",
    ),
    Field("title", Text(max_length=MAX_IMAGE_TITLE), "Default: the server's, and the version.", default=""),
    Field("version", Text(max_length=100), "Such as 20240423; default: the newest.", recorded=True, default=""),
)
