"""The fields of requests that add or import an image."""

from __future__ import annotations

from regiond.api.declaration.field_types import File, Integer, Text
from regiond.api.declaration.fields import Field
from regiond.images.model import MAX_IMAGE_NAME, MAX_IMAGE_TITLE, MAX_URL

MAX_FILE_BYTES = 2**63 - 1
NEW_IMAGE = (
    Field(
        name="name",
        type=Text(max_length=MAX_IMAGE_NAME),
        recorded=True,
        default="",
        doc="OSYSTEM/SERIES such as ubuntu/noble, or a name of your own, which becomes custom/NAME; required without "
        "metadata that names it.",
        example="ubuntu/noble",
    ),
    Field(
        name="architecture",
        type=Text(max_length=100),
        recorded=True,
        default="",
        doc="Such as amd64 or amd64/generic; required without metadata that names it.",
        example="amd64/generic",
    ),
    Field(name="title", type=Text(max_length=MAX_IMAGE_TITLE), default="", doc="A title for people."),
    Field(
        name="filetype",
        type=Text(max_length=20),
        recorded=True,
        default="",
        doc=(
            "ddraw (a raw disk), ddgz, ddxz, ddbz2 (compressed), ddtar, ddtgz, ddtxz, ddtbz (in an archive), qcow2, or "
            "lxd (LXD's image of a VM in one file), and then nothing else is accepted; default: what the content is."
        ),
    ),
    Field(
        name="sha256",
        type=Text(max_length=100),
        recorded=True,
        default="",
        doc="SHA-256 of the file in hexadecimal digits, which it has to have; required with url.",
        example="e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    ),
    Field(
        name="size",
        type=Integer(minimum=1, maximum=MAX_FILE_BYTES),
        doc="Size of the file in bytes; required without content and url.",
    ),
    Field(
        name="url",
        type=Text(max_length=MAX_URL),
        recorded=True,
        default="",
        doc="Where the region downloads the file, in the background: https://… or http://….",
        example="https://images.example.com/noble-server-cloudimg-amd64.img",
    ),
    Field(
        name="vm_host",
        type=Text(max_length=MAX_IMAGE_NAME),
        recorded=True,
        default="",
        doc="The id or name of a VM host that has the image itself, in LXD's image store. It stays there, for machines "
        "of this host; name it by alias or fingerprint. Title, architecture and name are LXD's unless given.",
    ),
    Field(
        name="alias",
        type=Text(max_length=MAX_IMAGE_NAME),
        recorded=True,
        default="",
        doc="With vm_host: an alias of the image there.",
    ),
    Field(
        name="fingerprint",
        type=Text(max_length=100),
        recorded=True,
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

IMPORTED_IMAGE = (
    Field(
        name="server",
        type=Text(max_length=MAX_URL),
        recorded=True,
        required=True,
        doc="The server's address, such as https://cloud-images.ubuntu.com/releases.",
        example="https://images.example.com",
    ),
    Field(
        name="image",
        type=Text(max_length=MAX_IMAGE_NAME),
        recorded=True,
        required=True,
        doc="An alias such as noble or debian/12, a release, or the name of a product.",
        example="noble",
    ),
    Field(
        name="architecture",
        type=Text(max_length=100),
        recorded=True,
        required=True,
        doc="Such as amd64 or amd64/generic.",
        example="amd64/generic",
    ),
    Field(
        name="name",
        type=Text(max_length=MAX_IMAGE_NAME),
        recorded=True,
        default="",
        doc="OSYSTEM/SERIES; default: those of the server, such as ubuntu/noble.",
    ),
    Field(
        name="title", type=Text(max_length=MAX_IMAGE_TITLE), default="", doc="Default: the server's, and the version."
    ),
    Field(
        name="version",
        type=Text(max_length=100),
        recorded=True,
        default="",
        doc="Such as 20240423; default: the newest.",
    ),
)
