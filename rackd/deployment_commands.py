"""Handles the region's commands that write operating systems to guests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from common.guests.deployment_spec import CloudInitSeed
from common.rpc.commands.command import Command, Done
from common.rpc.commands.hardware_commands import HOST_FILL_DISK, FillDiskCall
from common.rpc.commands.host_commands import (
    HOST_COPY_IMAGE,
    HOST_DEPLOY,
    HOST_REMOVE_IMAGE,
    CopyImageCall,
    DeployCall,
    DeployReply,
    RemoveImageCall,
)
from common.rpc.commands.host_method import CallClass
from common.rpc.handlers import Handler
from rackd.fenced_calls import FencedCalls
from rackd.region_content import CallingLink, RegionContent


class DeploymentCommands:
    def __init__(self, fenced: FencedCalls, content: RegionContent) -> None:
        self._fenced = fenced
        self._content = content
        self._copies: dict[tuple[int, str, str], asyncio.Lock] = {}
        self._waiting: dict[tuple[int, str, str], int] = {}

    def handlers(self) -> Mapping[Command[Any, Any], Handler]:
        return {
            HOST_COPY_IMAGE: self.copy_image,
            HOST_REMOVE_IMAGE: self.remove_image,
            HOST_FILL_DISK: self.fill_disk,
            HOST_DEPLOY: self.deploy,
        }

    async def copy_image(self, link: CallingLink, call: CopyImageCall) -> Done:
        """Copies an image once at a time: a second call finds the copy of the first."""
        content = self._content.blocking(link, call.image.sha256)
        async with self._alone((call.access.host_id, call.image.sha256, call.pool_id)):
            return await self._fenced.change(
                call,
                lambda driver: driver.copy_image(call.image, call.pool_id, content),
                what="copy image",
                call_class=CallClass.LONG_RUNNING,
            )

    async def fill_disk(self, link: CallingLink, call: FillDiskCall) -> Done:
        content = self._content.blocking(link, call.image.sha256)
        return await self._fenced.change(
            call,
            lambda driver: driver.fill_disk(call.spec, call.volume, call.image, content),
            what="fill disk",
            call_class=CallClass.LONG_RUNNING,
        )

    async def remove_image(self, _: CallingLink, call: RemoveImageCall) -> Done:
        """Removes a copy, after any copying of the same image to the same place by this rack."""
        async with self._alone((call.access.host_id, call.sha256, call.pool_id)):
            return await self._fenced.change(
                call, lambda driver: driver.remove_image(call.sha256, call.pool_id), what="remove image"
            )

    async def deploy(self, link: CallingLink, call: DeployCall) -> DeployReply:
        user_data = await self._content.read_all(link, call.user_data_sha256, call.user_data_bytes)
        seed = CloudInitSeed(
            meta_data=call.meta_data, user_data=user_data, network_config=call.network_config,
            short_user_data=call.short_user_data,
        )  # fmt: skip
        fetches = await self._fenced.run(
            call,
            lambda driver: driver.deploy(call.spec, call.image, seed),
            what="deploy",
            call_class=CallClass.LONG_RUNNING,
        )
        return DeployReply(fetches_user_data=fetches)

    @asynccontextmanager
    async def _alone(self, key: tuple[int, str, str]) -> AsyncIterator[None]:
        lock = self._copies.setdefault(key, asyncio.Lock())
        self._waiting[key] = self._waiting.get(key, 0) + 1
        try:
            async with lock:
                yield
        finally:
            self._waiting[key] -= 1
            if not self._waiting[key]:
                del self._waiting[key], self._copies[key]
