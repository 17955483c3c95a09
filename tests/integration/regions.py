"""A second region process beside an installation, on the same database and state, in the same test process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from attrs import evolve

from common.systemd_notify import ServiceManager
from innkeeper.http import Api, api_url
from rackd import identity
from rackd.settings import RackSettings
from regiond.service import API_KEY_FILE, Region, RegionService
from tests.installation import Installation
from tests.waiting import eventually


@asynccontextmanager
async def second_region(innkeeper: Installation) -> AsyncIterator[Installation]:
    """The same installation seen through another region of it: its own API, its own links, the same racks to come."""
    async with RegionService(innkeeper.settings, ServiceManager({})).running() as region:
        yield beside(innkeeper, region)


def beside(innkeeper: Installation, region: Region) -> Installation:
    key = (innkeeper.settings.state / API_KEY_FILE).read_text().strip()
    return Installation(
        folder=innkeeper.folder, settings=innkeeper.settings, region=region, api=Api(api_url(region.api_url), key)
    )


async def start_rack_of(name: str, *regions: Installation) -> None:
    """A rack that dials all `regions`; it belongs to the first, which stops it."""
    first = regions[0]
    if name not in first.racks:
        await first.start_rack(name)
        await first.stop_rack(name)
    folder = RackSettings(state=first.folder / name).identity_folder
    known = identity.load(folder)
    addresses = tuple(f"127.0.0.1:{one.region.rpc_port}" for one in regions)
    identity.save(folder, evolve(known, addresses=addresses))
    await first.run_rack(name)
    for region in regions:
        await eventually(partial(region.is_linked, name))
