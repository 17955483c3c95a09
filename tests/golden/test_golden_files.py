"""The golden files are what the present code writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.golden.files import as_json, check
from tests.golden.operation_records import event_texts, request_shapes
from tests.golden.recorded_run import recorded
from tests.golden.rpc_frames import rpc_frames
from tests.unit.support.api_double import ApiDouble


@pytest.mark.parametrize(("path", "file"), [("openapi.json", "openapi.json"), ("describe/", "describe.json")])
def test_the_api_describes_itself_as_before(path: str, file: str) -> None:
    check(file, as_json(ApiDouble().json("GET", path, key=None)))


def test_frames_have_the_same_bytes() -> None:
    """Regions and racks of other releases read them."""
    check("rpc_frames.txt", rpc_frames())


@pytest.mark.slow
@pytest.mark.own_database
async def test_operations_and_events_are_recorded_as_before(tmp_path: Path, database_url: str) -> None:
    """Operations in flight of the release before have requests with these keys."""
    run = await recorded(tmp_path, database_url)
    check("operation_requests.json", as_json(request_shapes(run)))
    check("event_texts.json", as_json(event_texts(run)))
