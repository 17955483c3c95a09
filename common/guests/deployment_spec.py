"""The values with which a rack writes an operating system to a guest: an image, and data for cloud-init."""

from __future__ import annotations

from enum import StrEnum

from attrs import field, frozen
from attrs.validators import ge, matches_re


class ImageFormat(StrEnum):
    """The format of an image's content."""

    RAW = "raw"
    QCOW2 = "qcow2"


@frozen(kw_only=True)
class ImageRef:
    """An image of the region's catalogue. Its content is read by `sha256` (hex), which identifies it on hosts too.

    `virtual_size_bytes` is the size of the disk in it. With `uefi` it boots with UEFI firmware only.

    With `iso` it goes into the drives of guests and is never deployed.

    With `of_host` it is an image that the host has itself, and `sha256` is its fingerprint there: nothing copies or
    removes it, and `virtual_size_bytes` is 0 unless the host reports it.
    """

    sha256: str = field(validator=matches_re(r"[0-9a-f]{64}"))
    size_bytes: int = field(validator=ge(1))
    virtual_size_bytes: int = field(validator=ge(0))
    format: ImageFormat
    uefi: bool = False
    of_host: bool = False
    iso: bool = False


@frozen(kw_only=True)
class HostImage:
    """An image of a disk that a host has itself, as the host describes it; texts are empty where it says nothing.

    `fingerprint` is LXD's: the SHA-256 of the image's files. `size_bytes` is that of these files, packed;
    `virtual_size_bytes` is the size of the disk, None if the host does not report it.
    """

    fingerprint: str = field(validator=matches_re(r"[0-9a-f]{64}"))
    architecture: str  # as the kernel calls it, such as x86_64
    size_bytes: int = field(validator=ge(1))
    virtual_size_bytes: int | None = None
    os: str = ""
    release: str = ""
    description: str = ""


@frozen(kw_only=True)
class CloudInitSeed:
    """The data of cloud-init's NoCloud source. `meta_data` and `network_config` are JSON, which is valid YAML.

    `short_user_data` is for hypervisors that do not store all of `user_data`: in place of what the user gave it has an
    address, from which the guest fetches that. None if the user gave nothing.
    """

    meta_data: str
    user_data: bytes = field(repr=False)
    network_config: str
    short_user_data: bytes | None = field(default=None, repr=False)
