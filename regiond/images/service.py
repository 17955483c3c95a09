"""The image catalogue, as others read and choose from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from common.errors import NotFound
from regiond.db.pool import Database
from regiond.images import store
from regiond.images.model import Image, choose
from regiond.validation_messages import no_object

if TYPE_CHECKING:
    from regiond.db.pool import Db


class Images:
    """`default_series` is the name of the image for deployments that name none, such as `ubuntu/noble`, or empty."""

    def __init__(self, database: Database, *, default_series: str = "") -> None:
        self._database = database
        self._default_series = default_series

    async def list(self) -> tuple[Image, ...]:
        """By name and architecture, in every state."""
        async with self._database.connection() as db:
            return await store.list_images(db)

    async def read(self, image_id: int) -> Image:
        """Raises NotFound."""
        async with self._database.connection() as db:
            found = await store.read(db, image_id)
        if found is None:
            raise NotFound(no_object("image", str(image_id)))
        return found

    async def find_for_deployment(self, distro_series: str, architecture: str, *, db: Db | None = None) -> Image:
        """Returns a ready image: see `model.choose`. With `db`, joins the caller's transaction.

        Raises InvalidRequest for the field `distro_series`, with the images that there are.
        """
        if db is not None:
            return choose(await store.list_images(db), distro_series, architecture, default=self._default_series)
        return choose(await self.list(), distro_series, architecture, default=self._default_series)
