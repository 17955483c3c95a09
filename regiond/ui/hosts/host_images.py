"""The images that a host has: copies that deployments brought there, and those that it has itself."""

from __future__ import annotations

from attrs import frozen

from regiond.hosts.model import HostView
from regiond.ui.rendering.page import Visit
from regiond.ui.texts import constant, text
from regiond.ui.views import formats

_STATES = {
    "copying": constant("Being copied"),
    "partial": constant("Incomplete"),
    "removing": constant("Being removed"),
    "complete": constant("Complete"),
}


@frozen(kw_only=True)
class HostImage:
    """`place` is the storage pool of a copy, or where else the host has the image."""

    id: int
    name: str
    title: str
    place: str
    size: str
    state: str


async def images_of(visit: Visit, host: HostView) -> list[HostImage]:
    """Returns the images by name."""
    images = await visit.services.images.with_copies(await visit.services.images.list(), caller=visit.caller)
    found = [
        HostImage(
            id=image.id,
            name=image.name,
            title=image.title,
            place=copy.pool or text("image store"),
            size=formats.file_size(copy.size_bytes),
            state=_STATES.get(copy.state, copy.state),
        )
        for image in images
        for copy in image.copies
        if copy.host_id == host.id
    ]
    found += [
        HostImage(
            id=image.id,
            name=image.name,
            title=image.title,
            place=text("the host's own"),
            size=formats.file_size(image.size_bytes),
            state=_STATES["complete"],
        )
        for image in images
        if image.host_id is not None and host.id in image.host_ids
    ]
    return sorted(found, key=lambda image: (image.name, image.place))
