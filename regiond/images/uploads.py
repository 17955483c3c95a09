"""Adds images: declares them, takes their content in parts, and deletes them. Administrators only."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import partial

from attrs import evolve, frozen

from common.errors import InvalidRequest, WrongState
from common.units import file_size
from common.words.phrases import first_of
from regiond.db.pool import Database, Db
from regiond.events.service import Events
from regiond.images import store, upload_store
from regiond.images.content import ContentFolder
from regiond.images.declaration import Declaration, declared, name_taken
from regiond.images.download_rules import host_of
from regiond.images.file_threads import FileThreads
from regiond.images.inspection.lxd_metadata import LxdMetadata, parse_metadata, with_metadata
from regiond.images.inspection.qemu_img import QemuImg
from regiond.images.inspection.unpacking import Unpacking
from regiond.images.model import BadImage, Image, ImageState, SubmittedImage
from regiond.images.packing import Packing, check_filetype
from regiond.images.space import StoreSpace
from regiond.process.file_folder import UploadFile, locked
from regiond.requests.caller import Caller
from regiond.requests.deletion_plan import AffectedRecord, DeletionPlan


@frozen(kw_only=True)
class Uploads:
    """Adds and deletes images.

    `wake_checks` is called when an image has all its content, `wake_cleanup` when files may have become unnecessary,
    `wake_downloads` when a download was added.
    """

    database: Database
    folder: ContentFolder
    threads: FileThreads
    qemu_img: QemuImg
    unpacking: Unpacking
    space: StoreSpace
    wake_checks: Callable[[], None]
    wake_downloads: Callable[[], None]
    wake_cleanup: Callable[[], None]

    async def declare(
        self,
        caller: Caller,
        submitted: SubmittedImage,
        content: bytes | None = None,
        *,
        metadata: bytes | None = None,
    ) -> Image:
        """Returns the entry. Its content is `content`, or is added by `append` or by a download.

        `metadata` is the smaller file of an image that LXD exports in two files: it supplies values that `submitted`
        leaves out.

        Idempotent: an unfinished upload of the same content continues, and an image that has it is returned. Content
        that the folder already has, for another entry, is used at once. Raises InvalidRequest; NameTaken if the name
        has other content; OutOfCapacity if there is no room; Unsupported if the region cannot check images.
        """
        caller.require_admin()
        self.qemu_img.require()
        if metadata is not None:
            submitted = with_metadata(submitted, await self._metadata(metadata))
        if content is not None and submitted.url:
            raise InvalidRequest.of({"url": ["Give either the content or where to download it."]})
        if content is not None:
            submitted = await self.threads.run(partial(_completed, submitted, content))
        new = declared(submitted, largest_bytes=self.space.limits.image_bytes)
        async with self.database.transaction() as db:
            await upload_store.lock_catalogue(db)
            image = await self._declared(db, caller, new)
        self.wake_cleanup()  # removes the file of an upload that this one replaces
        if image.state is ImageState.DOWNLOADING:
            self.wake_downloads()
        if content is not None and image.state is ImageState.UPLOADING:
            return await self.append(caller, image.id, content, offset=0)
        return image

    async def _metadata(self, data: bytes) -> LxdMetadata:
        try:
            return parse_metadata(await self.unpacking.metadata_of(data))
        except BadImage as error:
            raise InvalidRequest.of({"metadata": [str(error)]}) from error

    async def append(self, caller: Caller, image_id: int, data: bytes, *, offset: int | None = None) -> Image:
        """Adds a part to the upload and returns the entry when the part is on the disk. The last part starts the check.

        Raises NotFound; WrongState if `offset` is not the end of the upload (`expected_offset` in the details), or the
        image takes no content; Busy during another part; InvalidRequest beyond the declared size; OutOfCapacity if the
        disk is full: the upload can continue later.
        """
        caller.require_admin()
        if not data:
            raise InvalidRequest.of({"content": ["The body is empty: send a part as application/octet-stream."]})
        self._require_own(await self._read(image_id))
        async with locked(self.threads, partial(self.folder.lock, image_id)) as file:
            image = await self._read(image_id)
            await self._check_part(image, file, len(data), offset)
            await self.threads.run(partial(file.write, image.received_bytes, data))
            return await self._record(caller, image, len(data))

    async def delete(self, caller: Caller, image_id: int, *, dry_run: bool = False) -> DeletionPlan:
        """Deletes the entry, and soon after its content unless another entry has the same. Raises NotFound."""
        caller.require_admin()
        async with self.database.transaction(dry_run=dry_run) as db:
            image = await store.find(db, image_id)
            await upload_store.delete(db, image_id)
            hosts = await store.hosts_with_unneeded_copy(db, image.sha256)
            message = f"The image {image.name} for {image.architecture} was deleted."
            await Events.record(db, "image_deleted", message, caller=caller)
        if not dry_run:
            self.wake_cleanup()
        return DeletionPlan(
            name=f"{image.name} ({image.architecture})",
            deleted=(AffectedRecord(kind="image", id=str(image.id), name=image.name),),
            effects=(
                "Machines that were deployed with it are not changed.",
                *([] if image.host_id is None else [f"The image stays on the VM host {image.host_name}."]),
                *([f"Its copies on VM hosts are removed: {first_of(hosts, 10)}."] if hosts else []),
            ),
        )

    async def _declared(self, db: Db, caller: Caller, new: Declaration) -> Image:
        """Returns the entry, inserted unless it exists. The caller has locked the catalogue."""
        existing = await upload_store.find(db, new.name, new.architecture)
        if existing is not None:
            if _continues(existing, new):
                self._require_own_upload(existing)
                return existing
            if existing.state in {ImageState.READY, ImageState.CHECKING}:
                raise name_taken(existing)
            await upload_store.delete(db, existing.id)  # the new entry has another id: it takes no part of the old one
        store_id = self.folder.store_id
        twin = await upload_store.ready_with(db, new.sha256, store_id) if new.sha256 else None
        if twin is None or not await self.threads.run(partial(self.folder.has, twin.sha256, twin.size_bytes)):
            await self.space.require_room(db, new.size_bytes)  # 0 for a download whose size is not known yet
            twin = None
        image_id = await upload_store.insert(db, new, store_id=store_id, account_id=caller.account_id)
        if twin is not None:
            await self._share(db, image_id, new, twin)
        await Events.record(db, "image_added", _added(new, has_content=twin is not None), caller=caller)
        return await store.find(db, image_id)

    async def _share(self, db: Db, image_id: int, new: Declaration, twin: Image) -> None:
        """Marks the entry ready with the content of `twin`. Raises InvalidRequest if the declaration contradicts it."""
        is_as_stored = twin.sha256 == new.sha256  # otherwise it is the same packed file
        size_bytes = twin.size_bytes if is_as_stored else twin.declared_bytes
        if new.size_bytes not in {0, size_bytes}:
            raise InvalidRequest.of({"size": [f"The content with this SHA-256 has {size_bytes} bytes."]})
        if twin.format is None or twin.virtual_size_bytes is None:
            raise AssertionError(f"the image {twin.id} is ready and has no format")
        try:
            packing = Packing.NONE if is_as_stored else Packing(twin.packing or Packing.NONE)
            check_filetype(new.filetype, packing, twin.format)
        except BadImage as error:
            raise InvalidRequest.of({"filetype": [str(error)]}) from error
        await upload_store.set_ready(db, image_id, evolve(twin, packing=packing))

    async def _check_part(self, image: Image, file: UploadFile, length: int, offset: int | None) -> None:
        self._require_own(image)
        if image.url is not None:
            raise WrongState(f"The image {image.name} is downloaded by the region. Upload it as a new one.")
        if image.state not in {ImageState.UPLOADING, ImageState.FAILED}:
            raise WrongState(f"The image {image.name} is {image.state}: it takes no content.")
        if file.size_bytes() < image.received_bytes:
            async with self.database.connection() as db:
                await upload_store.forget_received(db, image.id)
            raise WrongState("The region has lost what was uploaded: begin with offset=0.", expected_offset=0)
        received = image.received_bytes
        if offset not in {None, received}:
            raise WrongState(
                f"The upload has {received} bytes: continue with offset={received}.", expected_offset=received
            )
        if received + length > image.size_bytes:
            raise InvalidRequest.of(
                {"content": [f"{received + length} bytes are more than the declared {image.size_bytes}."]}
            )
        async with self.database.transaction() as db:
            if image.state is ImageState.FAILED or await upload_store.is_idle(db, image.id):
                await upload_store.lock_catalogue(db)  # others may have got its space
                await self.space.require_room(db, image.size_bytes - received)
                await upload_store.renew(db, image.id)
        await self.space.require_free(length)

    async def _record(self, caller: Caller, image: Image, length: int) -> Image:
        after = image.received_bytes + length
        async with self.database.transaction() as db:
            if not await upload_store.add_received(db, image.id, image.received_bytes, after):
                self.wake_cleanup()
                raise WrongState(f"The image {image.name} was deleted during this upload.")
            if after == image.size_bytes:
                message = f"The image {image.name} for {image.architecture} was uploaded; it is checked now."
                await Events.record(db, "image_uploaded", message, caller=caller)
            stored = await store.find(db, image.id)
        if after == image.size_bytes:
            self.wake_checks()
        return stored

    async def _read(self, image_id: int) -> Image:
        async with self.database.connection() as db:
            return await store.find(db, image_id)

    def _require_own(self, image: Image) -> None:
        if image.host_id is not None:
            raise WrongState(f"The image {image.name} is on the VM host {image.host_name}: it takes no content.")
        if image.store_id != self.folder.store_id:
            raise WrongState(
                f"The image {image.name} is uploaded to another region, which does not share its folder with this one. "
                "Continue there, or delete the image and start again."
            )

    def _require_own_upload(self, image: Image) -> None:
        if not image.is_ready:
            self._require_own(image)


def _completed(submitted: SubmittedImage, content: bytes) -> SubmittedImage:
    """Returns `submitted` with hash and size of the content. Raises InvalidRequest if others were declared."""
    sha256, size = hashlib.sha256(content).hexdigest(), len(content)
    problems: dict[str, list[str]] = {}
    if submitted.sha256.lower() not in {"", sha256}:
        problems["sha256"] = [f"The content has the SHA-256 {sha256}."]
    if submitted.size_bytes not in {None, size}:
        problems["size"] = [f"The content has {size} bytes."]
    if problems:
        raise InvalidRequest.of(problems)
    return evolve(submitted, sha256=sha256, size_bytes=size)


def _continues(image: Image, new: Declaration) -> bool:
    """Returns whether the entry has the declared content, or gets it in the declared way; False without a SHA-256."""
    if not new.sha256 or image.host_id is not None:
        return False
    sizes = {image.sha256: image.size_bytes, image.declared_sha256: image.declared_bytes}
    size_bytes = sizes.get(new.sha256)
    if size_bytes is None or image.state is ImageState.FAILED or (new.size_bytes and size_bytes != new.size_bytes):
        return False
    return image.state in {ImageState.READY, ImageState.CHECKING} or image.url == new.url


def _added(new: Declaration, *, has_content: bool) -> str:
    image = f"The image {new.name} for {new.architecture}"
    size = f" ({file_size(new.size_bytes)})" if new.size_bytes else ""
    if has_content:
        return f"{image}{size} was added: the region has its content already."
    return f"{image}{size} was added." if new.url is None else f"{image} is downloaded from {host_of(new.url)}."
