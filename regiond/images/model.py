"""Images: their names, states and the choice of one for a deployment. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from attrs import frozen

from common.errors import InvalidRequest
from common.guests.deployment_spec import ImageFormat
from regiond.requests.validation_messages import no_object, shown

CUSTOM = "custom"  # the osystem of an image whose name has none
PREFERRED = "ubuntu"  # the osystem to prefer among images whose series have the same name
GENERIC = "generic"
ISO_FILETYPE = "iso"  # declared for an image that is put into the drive of a machine
MAX_IMAGE_NAME = 200
MAX_IMAGE_TITLE = 255
MAX_URL = 2000
_HOW_TO_ADD = "An administrator can add one: innkeeper boot-resources import or create."
_HOW_TO_SET = (
    "An administrator sets the default image: innkeeper maas set-config name=default_distro_series "
    "value=OSYSTEM/SERIES."
)
ARCHITECTURES = ("amd64", "arm64", "armhf", "i386", "ppc64el", "riscv64", "s390x")  # a new one comes last: see below


class BadImage(Exception):
    """The content cannot be used; the message says what was found. It becomes the image's `error`."""


class ImageState(StrEnum):
    UPLOADING = "uploading"
    DOWNLOADING = "downloading"
    CHECKING = "checking"
    READY = "ready"
    FAILED = "failed"


@frozen(kw_only=True)
class ImageCopyView:
    """A copy of an image on a VM host; `pool` is None for LXD's image store, `state` a `CopyState`."""

    host_id: int
    host_name: str
    pool: str | None
    size_bytes: int
    state: str


@frozen(kw_only=True)
class Image:
    """An entry of the catalogue. `sha256` and `size_bytes` are of the stored content, once it is ready.

    Until then, they are the values that were declared for the file. `packing` is how the disk was packed in that file;
    `file_sha256` and `file_bytes` are the declared values, None if the file is stored as it came. `format` and
    `virtual_size_bytes`, the size of the disk, are None until the content was checked. `size_bytes` is 0 while the size
    of a download is not known; `sha256` is empty until an upload without one was read. `error` is why the image failed,
    or why its download is attempted again; `expires_at` is when an unfinished upload or download ends.

    An image with a `host_id` is stored on this VM host only: the region has no content of it, `sha256` is LXD's
    fingerprint, `size_bytes` is the size of LXD's files, and `virtual_size_bytes` is None if LXD does not report it. It
    can be used on `host_ids`, which are more than one in a cluster. `alias` is the alias by which the user named it.
    """

    id: int
    name: str  # OSYSTEM/SERIES
    title: str
    architecture: str  # such as amd64
    subarch: str
    filetype: str  # as declared; empty: found from the content
    format: ImageFormat | None
    sha256: str
    size_bytes: int
    virtual_size_bytes: int | None
    received_bytes: int
    state: ImageState
    error: str | None
    account_id: int | None
    created_at: datetime
    updated_at: datetime
    expires_at: datetime | None
    store_id: UUID | None  # of the folder with its content
    packing: str | None = None  # a value of packing.Packing
    file_sha256: str | None = None
    file_bytes: int | None = None
    uefi: bool | None = None  # whether the disk boots with UEFI firmware only; None until it was checked
    url: str | None = None  # where the region downloads it; None if it is uploaded
    host_id: int | None = None
    host_name: str | None = None
    host_ids: tuple[int, ...] = ()
    alias: str | None = None
    copies: tuple[ImageCopyView, ...] = ()  # on VM hosts; empty unless they were read

    @property
    def osystem(self) -> str:
        return self.name.partition("/")[0]

    @property
    def series(self) -> str:
        return self.name.partition("/")[2]

    @property
    def is_iso(self) -> bool:
        """Whether it is for the drive of machines, not for deployments."""
        return self.filetype == ISO_FILETYPE

    @property
    def is_importing(self) -> bool:
        """Whether its download runs, waits for another attempt, or is being checked."""
        return self.url is not None and self.state in {ImageState.DOWNLOADING, ImageState.CHECKING}

    @property
    def declared_sha256(self) -> str:
        """The SHA-256 of the file that was added."""
        return self.file_sha256 or self.sha256

    @property
    def declared_bytes(self) -> int:
        """The size of the file that was added."""
        return self.file_bytes or self.size_bytes

    @property
    def is_ready(self) -> bool:
        """Whether machines can be deployed with it."""
        return self.state is ImageState.READY

    def is_usable_on(self, host_id: int | None) -> bool:
        """Returns whether a machine of this VM host can be deployed with it, once it is ready."""
        return self.host_id is None or host_id in self.host_ids


@frozen(kw_only=True)
class SubmittedImage:
    """The fields of a new image as a user gave them, not checked; empty or None if the user did not."""

    name: str
    architecture: str
    title: str = ""
    filetype: str = ""
    sha256: str = ""
    size_bytes: int | None = None
    url: str = ""


@frozen(kw_only=True)
class StreamImage:
    """An image of a simplestreams server as a user names it, not checked; empty where the server's value is used."""

    server: str
    image: str
    architecture: str
    name: str = ""
    title: str = ""
    version: str = ""


@frozen(kw_only=True)
class NamedHostImage:
    """An image that is stored on a VM host, as a user names it, not checked; empty where LXD's value is used.

    `host` is an id or a name. Either `alias` or the beginning of its `fingerprint` is given.
    """

    host: str
    alias: str = ""
    fingerprint: str = ""
    name: str = ""
    architecture: str = ""
    title: str = ""


@frozen(kw_only=True)
class ArchitectureEntry:
    """An architecture of the hosts. The catalogue lists it without content: some clients read there which exist."""

    id: int
    architecture: str


def architecture_entries(architectures: Iterable[str]) -> tuple[ArchitectureEntry, ...]:
    """Returns the entries; an architecture always has the same id. Omits architectures that no image can have."""
    known = set(architectures)
    return tuple(
        ArchitectureEntry(id=number, architecture=name)
        for number, name in enumerate(ARCHITECTURES, start=1)
        if name in known
    )


def full_name(name: str) -> str:
    """Returns a name with an osystem, such as `ubuntu/noble`, unchanged, and a bare `x` as `custom/x`."""
    return name if "/" in name else f"{CUSTOM}/{name}"


def split_architecture(text: str) -> tuple[str, str]:
    """Returns architecture and subarchitecture of `amd64/generic` or `amd64`."""
    architecture, _, subarch = text.partition("/")
    return architecture, subarch or GENERIC


def choose(images: Iterable[Image], distro_series: str, architecture: str, *, default: str = "") -> Image:
    """Returns the image that a deployment on this architecture names: `noble`, `ubuntu/noble`, `custom/x`.

    If several images have a series `noble`, a bare `noble` is Ubuntu's. An empty `distro_series` names the image
    `default` (a name with osystem, or empty), else the only ready image that the region has; an image of a VM host must
    be named. `architecture` may have a subarchitecture. Raises InvalidRequest for the field `distro_series`, with the
    images to choose from.
    """
    wanted_architecture, _ = split_architecture(architecture)
    all_known = [image for image in images if image.architecture == wanted_architecture]
    known = [image for image in all_known if not image.is_iso]
    wanted = distro_series.strip() or default.strip()
    if wanted:
        if any(image.is_iso and image.name in {wanted, full_name(wanted)} for image in all_known):
            raise _refused(f"{shown(wanted)} is an ISO image: insert it into the drive of the machine (op=insert_iso).")
        if distro_series.strip():
            return _named(known, wanted, wanted_architecture)
        return _default(known, wanted, wanted_architecture)
    ready = [image for image in known if image.is_ready]
    in_region = [image for image in ready if image.host_id is None]
    if len(in_region) == 1:
        return in_region[0]
    if not ready:
        raise _refused(f"There is no image for {wanted_architecture} yet. {_HOW_TO_ADD}")
    raise _refused(
        f"Name one of the images for {wanted_architecture}: {_list(ready)}. None is the default. {_HOW_TO_SET}"
    )


def choose_iso(images: Iterable[Image], name: str, architecture: str) -> Image:
    """Returns the ready ISO image of this name, such as `custom/installer` or `installer`.

    Raises InvalidRequest for the field `image`, with the images to choose from.
    """
    wanted, (wanted_architecture, _) = full_name(name.strip()), split_architecture(architecture)
    isos = [image for image in images if image.is_iso and image.architecture == wanted_architecture]
    found = next((image for image in isos if image.name == wanted), None)
    if found is not None and found.is_ready:
        return found
    if found is not None:
        raise InvalidRequest.of({"image": [f"The image {found.name} is not ready, it is {found.state}."]})
    choices = sorted(image.name for image in isos if image.is_ready)
    none = f"There is no ISO image for {wanted_architecture} yet. An administrator can add one with filetype=iso."
    raise InvalidRequest.of({"image": [no_object("ISO image", name, choices) if choices else none]})


def _default(known: Iterable[Image], name: str, architecture: str) -> Image:
    """Returns the image that is the default. A default that is gone is not replaced by another: somebody chose it."""
    images = list(known)
    if any(name in {image.name, image.series} for image in images):
        return _named(images, name, architecture)
    ready = [image for image in images if image.is_ready]
    choices = f"Name one of {_list(ready)}." if ready else f"There is none for {architecture} yet. {_HOW_TO_ADD}"
    raise _refused(
        f"The default image {shown(name)} does not exist for {architecture}, or was deleted. {choices} {_HOW_TO_SET}"
    )


def _named(known: Iterable[Image], wanted: str, architecture: str) -> Image:
    images = list(known)
    found = [image for image in images if wanted in {image.name, image.series}]
    ready = [image for image in found if image.is_ready]
    if preferred := [image for image in ready if image.name in {wanted, f"{PREFERRED}/{wanted}"}]:
        return preferred[0]
    if len(ready) == 1:
        return ready[0]
    if ready:
        raise _refused(f"{shown(wanted)} is the series of several images: name one of {_list(ready)}.")
    if found:
        reason = f": {found[0].error}" if found[0].error else "."
        raise _refused(f"The image {found[0].name} is not ready, it is {found[0].state}{reason}")
    choices = sorted(image.name for image in images if image.is_ready)
    if not choices:
        raise _refused(f"There is no image {shown(wanted)}, and none for {architecture} yet. {_HOW_TO_ADD}")
    raise _refused(f"{no_object('image', wanted, choices)} These are the images for {architecture}.")


def _list(images: Iterable[Image]) -> str:
    return ", ".join(sorted(image.name for image in images))


def _refused(reason: str) -> InvalidRequest:
    return InvalidRequest.of({"distro_series": [reason]})
