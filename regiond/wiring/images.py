"""Builds the image catalogue, uploads to it, and the tasks that check and remove its files."""

from __future__ import annotations

from typing import Any

from regiond.db.pool import Database, Db
from regiond.exports import store as export_store
from regiond.exports.model import ExportLimits
from regiond.exports.service import Exports
from regiond.exports.upkeep import ExportTasks, ExportUpkeep
from regiond.exports.writing import ExportFiles, Space
from regiond.images import upload_store
from regiond.images.content import ContentFolder
from regiond.images.content_reads import ContentReads
from regiond.images.download_rules import DownloadRules
from regiond.images.downloads.imports import Imports
from regiond.images.downloads.service import MAX_THREADS, ImageDownloads
from regiond.images.file_threads import FileThreads
from regiond.images.inspection.qemu_img import QemuImg
from regiond.images.inspection.service import Inspection
from regiond.images.inspection.unpacking import Unpacking
from regiond.images.service import Images
from regiond.images.space import StoreLimits, StoreSpace
from regiond.images.tasks import ImageTasks
from regiond.images.upkeep import ImageChecks, ImageCleanup
from regiond.images.uploads import Uploads
from regiond.process.file_folder import FileFolder
from regiond.process.settings import RegionSettings
from regiond.wiring.components import ImageLayer

FOLDER = "images"  # in the state folder
EXPORTS = "exports"  # in that folder: the files of VMs
CONTENTS = "sha256"  # in that folder: the contents of images by hash
_GIB = 2**30


def wire_images(settings: RegionSettings, database: Database) -> ImageLayer:
    folder, threads, qemu_img = ContentFolder.open(settings.state / FOLDER), FileThreads(), QemuImg()
    limits = StoreLimits(
        image_bytes=int(settings.max_image_gib * _GIB),
        total_bytes=int(settings.max_images_gib * _GIB),
        reserve_bytes=int(settings.image_reserve_gib * _GIB),
    )
    unpacking = Unpacking(threads)
    inspection = Inspection(threads, qemu_img, unpacking)

    async def promised_exports(db: Db) -> int:  # on the same disk
        return await export_store.missing_bytes(db, folder.store_id)

    space = StoreSpace(folder, threads, limits, promised_exports)
    checks = ImageChecks(database, folder, threads, inspection, space)
    tasks = ImageTasks(checks, ImageCleanup(database, folder, threads), threads)
    download_threads = FileThreads(MAX_THREADS)
    rules = DownloadRules(allowed=settings.networks("image_download_networks"))
    tasks.add_downloads(
        ImageDownloads(
            database=database,
            folder=folder,
            threads=download_threads,
            space=space,
            rules=rules,
            wake_checks=tasks.wake_checks,
        )
    )
    uploads = Uploads(
        database=database,
        folder=folder,
        threads=threads,
        qemu_img=qemu_img,
        unpacking=unpacking,
        space=space,
        wake_checks=tasks.wake_checks,
        wake_cleanup=tasks.wake_cleanup,
        wake_downloads=tasks.wake_downloads,
    )
    return ImageLayer(
        images=Images(database, folder, default_series=settings.default_distro_series),
        content=ContentReads(folder, threads),
        image_uploads=uploads,
        image_imports=Imports(uploads=uploads, threads=download_threads, rules=rules),
        tasks=tasks,
        **_wire_exports(settings, database, folder),
    )


def _wire_exports(settings: RegionSettings, database: Database, images: ContentFolder) -> dict[str, Any]:
    """The files of VMs are in the folder of images: regions that share that share them, too."""
    threads = FileThreads()

    async def promised_images(db: Db) -> int:
        return (await upload_store.usage(db, images.store_id)).missing_bytes

    total = settings.max_exports_gib
    of_account = settings.max_exports_per_account_gib
    space = Space(
        folder=FileFolder.open(
            images.root / EXPORTS, contents="exports", spare="exports or images", free_bytes=images.free_bytes
        ),
        store_id=images.store_id,
        threads=threads,
        limits=ExportLimits(
            total_bytes=int(total * _GIB),
            account_bytes=int((total / 2 if of_account is None else of_account) * _GIB),
            reserve_bytes=int(settings.image_reserve_gib * _GIB),
            keep_days=settings.keep_exports_days,
        ),
        promised_to_others=promised_images,
    )
    tasks = ExportTasks(ExportUpkeep(database=database, space=space), threads.stop)
    exports = Exports(
        database=database, space=space, wake_checks=tasks.wake_checks, wake_cleanup=tasks.wake_cleanup
    )  # fmt: skip
    files = ExportFiles(database=database, space=space, wake_cleanup=tasks.wake_cleanup)
    return {"exports": exports, "export_files": files, "export_tasks": tasks}
