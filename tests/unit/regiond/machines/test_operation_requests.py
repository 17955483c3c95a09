"""The request of an operation is a typed value; only one place knows the keys of its row."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest

from common.errors import InvalidRequest
from common.values import GuestRef, OwnershipMarker, PowerAction
from regiond.maas.imports.model import ImportRequest
from regiond.machines.values.power import PowerRequest
from regiond.machines.values.removals import DeletionRequest, GuestCleanUp, ReleaseRequest
from regiond.operations.model import AfterEarlier, read_request, request_if_known, stored_request

ROOT = Path(__file__).resolve().parents[4] / "regiond"
THE_PLACE = "operations/model.py"
_BY_KEY = re.compile(
    r"""\brequest\[["']           # request["key"]
      | \.request\.get\(          # operation.request.get("key")
      | \bin\ \w+\.request\b(?!\.)  # "key" in operation.request
      | _dict\(\w+\.request\b     # from_dict(operation.request, …)
      | \brequest=\{["']          # insert(…, request={"key": …})
    """,
    re.VERBOSE,
)
MARKER = OwnershipMarker(installation_id=UUID(int=1), machine_id=UUID(int=2))
GUEST = GuestRef(name="web", marker=MARKER)


def test_no_module_reads_or_writes_a_request_by_its_keys() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for suffix in ("*.py", "*.html")
        for path in sorted(ROOT.rglob(suffix))
        if path.relative_to(ROOT).as_posix() != THE_PLACE
        for line in path.read_text(encoding="utf-8").splitlines()
        if _BY_KEY.search(line) and "purpose(" not in line  # says an operation in words, also for the command
    ]
    assert found == []


@pytest.mark.parametrize(
    "line",
    [
        'operation.request["was"]', 'task.request.get("was")', 'if "was" in operation.request:',
        "from_dict(operation.request, Removal)", 'insert(db, request={"was": was})',
    ],
)  # fmt: skip
def test_each_way_by_keys_is_found(line: str) -> None:
    assert _BY_KEY.search(line)


def test_a_key_that_is_left_out_is_not_in_the_row() -> None:
    assert stored_request(PowerRequest(action=PowerAction.ON)) == {"action": "on"}
    assert stored_request(PowerRequest(action=PowerAction.ON, after_host=True)) == {"action": "on", "after_host": True}
    assert stored_request(DeletionRequest(kept_disks=()), None, AfterEarlier(earlier=7)) == {
        "kept_disks": [],
        "earlier": 7,
    }


def test_a_default_that_may_not_be_left_out_is_in_the_row() -> None:
    clean_up = GuestCleanUp(guest=GUEST, earlier=7, earlier_since=datetime(2026, 12, 1, tzinfo=UTC))
    stored = stored_request(clean_up)
    assert (stored["guest_id"], stored["volumes"]) == (None, [])
    assert stored["earlier_since"] == "2026-12-01T00:00:00+00:00"
    assert read_request(stored, GuestCleanUp) == clean_up


def test_a_row_of_an_older_release_may_lack_newer_keys() -> None:
    row = {"guest": stored_request(GuestCleanUp(guest=GUEST))["guest"]}
    assert read_request(row, GuestCleanUp) == GuestCleanUp(guest=GUEST)
    assert read_request({"comment": "over"}, ReleaseRequest) == ReleaseRequest(comment="over")


def test_a_key_may_be_a_reserved_word() -> None:
    request = ImportRequest(import_=4, source="maas.sql", choices=[["zones", "1", "skip"]])
    row = {"import": 4, "source": "maas.sql", "choices": [["zones", "1", "skip"]]}
    assert stored_request(request) == row
    assert read_request({**row, "newer": True}, ImportRequest) == request


def test_a_request_of_another_kind_is_not_known() -> None:
    assert request_if_known({}, PowerRequest) is None
    with pytest.raises(InvalidRequest, match="PowerRequest"):
        read_request({"action": "hover"}, PowerRequest)


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        (PowerRequest(action=PowerAction.ON), "it is started"),
        (PowerRequest(action=PowerAction.CYCLE), "it is started"),
        (PowerRequest(action=PowerAction.OFF), ""),
        (PowerRequest(action=PowerAction.ON, after_host=True), ""),  # it ran before its host was away
    ],
)
def test_a_start_begins_a_use_unless_the_host_was_away(request_: PowerRequest, why: str) -> None:
    assert request_.begins_use == why
