"""The image catalogue, as Protocols."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from regiond.caller import Caller
from regiond.deletion_plan import DeletionPlan
from regiond.images.model import ArchitectureEntry, Image, StreamImage, SubmittedImage


class Images(Protocol):
    async def list(self) -> tuple[Image, ...]: ...
    async def read(self, image_id: int) -> Image: ...
    async def find_default(self, architecture: str) -> Image | None: ...
    async def hosts_with_copy(self) -> Mapping[int, tuple[str, ...]]: ...
    async def architecture_entries(self) -> tuple[ArchitectureEntry, ...]: ...


class ImageUploads(Protocol):
    async def declare(
        self, caller: Caller, submitted: SubmittedImage, content: bytes | None = None, *, metadata: bytes | None = None
    ) -> Image: ...
    async def append(self, caller: Caller, image_id: int, data: bytes, *, offset: int | None = None) -> Image: ...
    async def delete(self, caller: Caller, image_id: int, *, dry_run: bool = False) -> DeletionPlan: ...


class ImageImports(Protocol):
    async def start(self, caller: Caller, wanted: StreamImage) -> Image: ...
