"""The image catalogue, from which other rooms read and choose."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path

from attrs import evolve

from common.errors import InvalidRequest, WrongState
from regiond.db.pool import Database, Db, reading
from regiond.events.service import Events
from regiond.images import default_store, host_image_store, store
from regiond.images.content import ContentFolder
from regiond.images.default_image import DefaultImage, with_osystem, with_series
from regiond.images.model import (
    ArchitectureEntry,
    Image,
    architecture_entries,
    choose,
    choose_iso,
    split_architecture,
)
from regiond.requests.caller import Caller


async def images_removed_with(db: Db, host_id: int, host_ids: Collection[int]) -> tuple[str, ...]:
    """Returns the names of the host's own images that leave the catalogue when the hosts `host_ids` are removed."""
    return tuple(
        image.name
        for image in await host_image_store.list_of_host(db, host_id)
        if set(image.host_ids) <= {host_id, *host_ids}
    )


class Images:
    """The catalogue. `default_series` is the setting of the configuration file: see `DefaultImage`."""

    def __init__(self, database: Database, folder: ContentFolder, *, default_series: str = "") -> None:
        self._database = database
        self._folder = folder
        self._default_series = default_series

    list = reading(store.list_images)

    read = reading(store.find)

    async def architecture_entries(self) -> tuple[ArchitectureEntry, ...]:
        """Returns one entry for each architecture of the hosts."""
        async with self._database.connection() as db:
            return architecture_entries(await store.host_architectures(db))

    hosts_with_copy = reading(store.hosts_with_copy)

    async def with_copies(self, images: Iterable[Image], *, caller: Caller | None = None) -> tuple[Image, ...]:
        """Returns the images with their copies on the hosts that the caller may see, by one query."""
        known = tuple(images)
        async with self._database.connection() as db:
            found = await store.copies(db, known[0].id if len(known) == 1 else None, caller=caller)
        return tuple(evolve(image, copies=tuple(found.get(image.id, ()))) for image in known)

    def content_path(self, image: Image) -> Path:
        """Returns the file with the content of a ready image. Raises WrongState if another region's folder has it."""
        if not image.is_ready:
            raise WrongState(f"The image {image.name} is {image.state}, not ready.")
        if image.host_id is not None:
            raise WrongState(f"The image {image.name} is on the VM host {image.host_name}; the region has no content.")
        if image.store_id != self._folder.store_id:
            raise WrongState(
                f"The content of the image {image.name} is in the folder of another region, which does not share it "
                "with this one."
            )
        return self._folder.content_path(image.sha256)

    async def find_default(self, architecture: str) -> Image | None:
        """Returns the image of a deployment that names none; None if it has to name one."""
        try:
            return await self.find_for_deployment("", architecture)
        except InvalidRequest:
            return None

    async def find_for_deployment(self, distro_series: str, architecture: str, *, db: Db | None = None) -> Image:
        """Returns a ready image: see `model.choose`. With `db`, joins the caller's transaction.

        Raises InvalidRequest for the field `distro_series`, which lists the images to choose from.
        """
        async with self._database.joined(db) as joined:
            images = await store.list_images(joined)
            default = await self._default(joined)
        known, _ = split_architecture(architecture)
        return choose(images, distro_series, architecture, default=default.name_for(known))

    async def default_name(self) -> tuple[str, str]:
        """Returns osystem and series of the image of deployments that name none: see `DefaultImage.shown`."""
        async with self._database.connection() as db:
            return (await self._default(db)).shown(await store.list_images(db))

    async def set_default(self, caller: Caller, *, osystem: str = "", series: str = "") -> str:
        """Makes an image the default, and returns its name. `series` is such as `noble` or `ubuntu/noble`.

        With an `osystem` alone, the series stays if this operating system has it. Raises NotAllowed; InvalidRequest for
        the field `value` unless the image is ready.
        """
        caller.require_admin()
        async with self._database.transaction() as db:
            images, default = await store.list_images(db), await self._default(db)
            before = default.shown(images)
            name = with_series(images, before[0], series) if series else with_osystem(images, osystem, before[1])
            await default_store.choose(db, name)
            if "/".join(before) != name:
                message = f"The image {name} is the default now: deployments that name no image use it."
                await Events.record(db, "default_image_changed", message, caller=caller)
        return name

    async def _default(self, db: Db) -> DefaultImage:
        return DefaultImage(recorded=await default_store.names(db), configured=self._default_series)

    async def find_iso(self, db: Db, name: str, architecture: str) -> Image:
        """Returns a ready ISO image in the caller's transaction: see `model.choose_iso`. Raises InvalidRequest."""
        return choose_iso(await store.list_images(db), name, architecture)
