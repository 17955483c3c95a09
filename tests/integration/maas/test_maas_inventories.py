"""The inventory of a MAAS, which has its secrets: how long a region has it in memory, and how often it is decoded."""

from __future__ import annotations

import weakref
from datetime import datetime

import pytest
from attrs import evolve

from common.maas.inventory import Inventory
from regiond.maas.imports.inventories import Inventories
from regiond.maas.imports.inventory_reading import InventoryReading
from regiond.maas.services import MaasServices
from tests.deployment.deployment import Deployment
from tests.integration.maas.test_maas_import import begin, inventory
from tests.integration.support.rigs.maas_parallel import begin as begin_watched
from tests.maas_api.server import serving
from tests.maas_api.simulated_site import simulated_maas
from tests.support.waiting import eventually


async def test_an_inventory_is_dropped_soon_after_its_last_use(innkeeper: Deployment) -> None:
    begun = await begin(innkeeper, inventory())
    imports = innkeeper.region.components.services.of(MaasServices).maas_imports
    kept = Inventories(imports.database, imports.credentials, InventoryReading())
    held = weakref.ref(await kept.read(begun["id"]))
    assert await kept.read(begun["id"]) is held()
    brief = Inventories(imports.database, imports.credentials, InventoryReading(), keep_s=0.05)
    held = weakref.ref(await brief.read(begun["id"]))
    await eventually(lambda: held() is None)
    assert (await brief.read(begun["id"])).hosts == inventory().hosts


class Counted(Inventories):
    """Counts how often an inventory is read of the database or of memory."""

    reads = 0

    async def read_dated(self, import_id: int) -> tuple[Inventory, datetime]:
        self.reads += 1
        return await super().read_dated(import_id)


@pytest.mark.slow
async def test_what_was_just_read_is_compared_without_decoding_it(innkeeper: Deployment) -> None:
    maas = simulated_maas()
    with serving(maas) as url:
        begun = await begin_watched(innkeeper, maas, url)
        comparisons = innkeeper.region.components.services.of(MaasServices).maas_comparisons
        counted = Counted(comparisons.database, comparisons.credentials, InventoryReading())
        imports = evolve(comparisons.imports, inventories=counted)
        await evolve(comparisons, imports=imports).read_again(begun["id"])
    assert counted.reads == 0
