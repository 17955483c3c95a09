"""A fixed slice of the crash matrix, with the most dangerous cells. `./dev faults` tries all."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial

import pytest

from tests.faults.cells import CellResult
from tests.faults.matrix.cell_runs import Filter, run
from tests.faults.matrix.databases import Databases
from tests.faults.matrix.worker_processes import on_processes
from tests.support.waiting import settle

CELLS = (
    "compose/request commit 1 before/region",
    "compose/request commit 1 before/connection",
    "compose/request commit 1 after/region",
    "compose/request commit 1 after/connection",
    "compose/request commit 1 after/database",
    "delete/acquire after/region",
    "compose/commit 1 after/region",
    "compose/call host.compose before/link",
    "compose/host create volume 2 before/rack",
    "compose/host create volume 2 after/region",
    "compose/host create volume 2 after/host",
    "compose/host create volume after/database",
    "compose/host define guest before/link",
    "compose/host define guest after/rack",
    "compose/host define guest after/answer",
    "compose/call host.compose after/answer",
    "compose/commit 2 before/region",
    "compose/commit 2 before/connection",
    "compose/commit 2 after/region",
    "compose/commit 2 after/connection",
    "compose_rejected/host remove guest after/rack",
    "compose_rejected/commit 4 before/region",
    "compose_rescheduled/commit 5 before/region",
    "compose_rescheduled/commit 5 after/connection",
    "power_cycle/host power after/rack",
    "power_cycle/host power 2 before/region",
    "power_cycle/host power 2 after/answer",
    "power_on/commit 2 before/database",
    "set_boot_disk/request commit 1 after/region",
    "set_boot_disk/host set boot disk after/rack",
    "set_boot_running/host set boot order after/rack",
    "power_on_once/host power after/rack",
    "power_on_once/commit 2 before/region",
    "insert_iso/host insert ISO 2 after/rack",
    "insert_iso/host copy image after/rack",
    "allocate_ready/request commit 1 before/region",
    "allocate_ready/request commit 1 after/region",
    "allocate_ready/request commit 1 after/connection",
    "allocate_composed/request commit 1 after/region",
    "allocate_composed/call host.compose after/answer",
    "release_ready/host power after/link",
    "release_ready/commit 2 before/region",
    "release_composed/request commit 1 after/connection",
    "deploy/call content.read after/link",
    "deploy/host write root disk after/rack",
    "deploy/commit 1 after/region",
    "deploy/commit 7 after/region",
    "deploy/acquire 2 after/region",
    "release_deployed/host empty root disk after/rack",
    "release_composed/host remove guest after/rack",
    "adopt/request commit 1 after/region",
    "adopt/host add marker after/answer",
    "adopt/commit 2 before/region",
    "forget/host remove marker after/rack",
    "forget/commit 2 before/connection",
    "forget/commit 2 after/region",
    "delete/request commit 1 after/region",
    "delete/host remove guest before/link",
    "delete/host remove guest after/answer",
    "delete/call host.decompose after/host",
    "delete/commit 2 before/region",
    "delete/commit 2 after/connection",
    "add_host/request commit 1 after/region",
    "add_host_by_token/host trust after/answer",
    "clean_up_copy/host remove marker after/answer",
    "clean_up_restored/request commit 1 after/region",
    "clean_up_restored/host remove guest after/rack",
    "cancel/request commit 2 after/region",
    "rotate_credentials/host trust after/answer",
    "remove_host_and_machines/delete: host remove guest after/region",
    "compose_apart/request commit 1 after/region",
    "maintenance_during_compose/host define guest after/region",
    "cancel_removal/request commit 2 after/region",
    "remove_dead_host/commit 6 before/region",
    "remove_dead_host/request call host.reach before/database",
    "remove_lxd_host/host untrust after/region",
    "remove_lxd_host/host untrust after/rack",
    "change_address/request commit 1 before/region",
    "join_rack/request call rack.join after/region",
)


@pytest.fixture(scope="module")
def tried(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, postgres_server: str, template: str
) -> Mapping[str, CellResult]:
    """The results of the cells whose tests are run, by name. They are tried once, beside each other."""
    names = [name for name in CELLS if any(f"[{name}]" in item.name for item in request.session.items)]

    async def try_all() -> list[CellResult]:
        databases, folder = Databases(postgres_server, template), tmp_path_factory.mktemp("cells")
        workers = partial(on_processes, jobs=os.cpu_count() or 1)
        return [result async for result in run(databases, folder, wanted=Filter(tuple(names)), workers=workers)]

    return {result.cell.name: result for result in settle(try_all())}


@pytest.mark.parametrize("cell", CELLS)
def test_a_dangerous_cell_is_green(cell: str, tried: Mapping[str, CellResult]) -> None:
    assert cell in tried, "the scenario no longer reaches this point; was it renamed?"
    assert not tried[cell].skipped
    assert tried[cell].faults == ()
