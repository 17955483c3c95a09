"""What would stop an upgrade, and what needs attention before it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from attrs import evolve

from regiond.commands.upgrades.model import (
    Facts,
    Level,
    MissingFile,
    RackVersions,
    RunningRegion,
    findings,
    settings_finding,
    stops,
)

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
GIB = 1024**3
BREAKING = MissingFile(name="0002_names.sql", lets_regions_continue=False)
COMPATIBLE = MissingFile(name="0002_stars.sql", lets_regions_continue=True)
QUIET = Facts(now=NOW, last_backup_at=NOW - timedelta(hours=2), database_bytes=GIB, free_bytes=9 * GIB)
EAST = RunningRegion(hostname="east", release="1.0.0")


def levels(**changes: Any) -> dict[str, str]:
    """The findings that are not `ok`, for racks of the protocol's versions 2 to 3."""
    found = findings(evolve(QUIET, **changes), supported=(2, 3))
    assert all((one.remedy is None) == (one.level is Level.OK) for one in found)
    return {one.check: one.level.value for one in found if one.level is not Level.OK}


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({}, {}),
        ({"missing": (BREAKING,)}, {}),
        ({"regions": (EAST,)}, {}),
        ({"regions": (EAST,), "missing": (COMPATIBLE,)}, {}),
        ({"regions": (EAST,), "missing": (COMPATIBLE, BREAKING)}, {"regions": "attention"}),
        ({"role_problem": "No."}, {}),
        ({"role_problem": "No.", "missing": (COMPATIBLE,)}, {"role": "attention"}),
        ({"unreadable": ("machine",)}, {"role": "blocker"}),
        ({"open_operations": {"compose": 2, "refresh": 1}}, {"operations": "attention"}),
        ({"racks": (RackVersions(name="a", lowest=1, highest=2),)}, {}),
        ({"racks": (RackVersions(name="a", lowest=1, highest=1),)}, {"racks": "blocker"}),
        ({"racks": (RackVersions(name="a", lowest=4, highest=4),)}, {"racks": "blocker"}),
        ({"free_bytes": 0}, {}),
        ({"free_bytes": 0, "missing": (BREAKING,)}, {"disk": "blocker"}),
        ({"free_bytes": None, "missing": (BREAKING,)}, {"disk": "attention"}),
        ({"last_backup_at": None}, {"backup": "attention"}),
        ({"last_backup_at": NOW - timedelta(hours=25)}, {"backup": "attention"}),
    ],
)
def test_each_fact_has_its_level(changes: dict[str, Any], found: dict[str, str]) -> None:
    assert levels(**changes) == found


def test_only_a_blocker_stops_the_upgrade() -> None:
    attention = findings(evolve(QUIET, last_backup_at=None), supported=(1, 1))
    assert not stops(attention)
    assert stops([*attention, settings_finding(["unknown key 'colour'."])])
    assert not stops([settings_finding([])])
