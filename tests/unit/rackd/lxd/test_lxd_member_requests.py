"""The LXD driver in a cluster asks for what each member has of its own with that member's name.

Without it the member that receives the request answers, and Innkeeper would know another member's capacity.
"""

from __future__ import annotations

from fnmatch import fnmatch
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.doubles.lxd_answers import answering_lxd, documented

POOLS = ("storage-pools/main", "storage-pools/bare")
OF_EACH_MEMBER = ("resources", "networks", "networks/*/state", "storage-pools/*/resources", *POOLS)


@pytest.fixture(scope="module")
def asked() -> list[tuple[str, list[str]]]:
    """What one discovery of the member `m1` asks: paths, with the members that they name."""
    with answering_lxd() as lxd:
        lxd.answers = documented()
        driver = lxd.driver()
        driver.discover()
        driver.close()
    parts = [urlsplit(one) for one in lxd.asked]
    return [(one.path.removeprefix("/1.0").strip("/"), parse_qs(one.query).get("target", [])) for one in parts]


@pytest.mark.parametrize("pattern", OF_EACH_MEMBER)
def test_a_discovery_asks_the_member_itself(asked: list[tuple[str, list[str]]], pattern: str) -> None:
    found = [target for path, target in asked if fnmatch(path, pattern)]
    assert found
    assert all(target == ["m1"] for target in found)


def test_what_the_cluster_shares_is_asked_of_any_member(asked: list[tuple[str, list[str]]]) -> None:
    named = {path for path, target in asked if target}
    assert [path for path in named if not any(fnmatch(path, pattern) for pattern in OF_EACH_MEMBER)] == []
