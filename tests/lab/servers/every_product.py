"""Tests of the lab that run on LXD, Incus 6.0 and Incus 7.0: those with the marker `every_product`.

Their fixtures `lxd`, `servers` and `lxd_cluster` have one of these hosts as parameter; all others get LXD. In a module
with that marker, a test of what only LXD has is marked `lxd_alone`.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.lab.servers.incus_server import VERSIONS, incus_cluster, incus_pair, incus_server, why_no_incus
from tests.lab.servers.lxd_server import LxdServer, lab_cluster, lab_pair, lab_server, why_no_lxd
from tests.lab.servers.needs import require

LXD = "lxd"
_INCUS = {f"incus-{version}": version for version in VERSIONS}
_CLUSTER = "-cluster"  # ends the names of clusters, as in the contract
_OF_FIXTURE = {"lxd": "", "servers": "", "lxd_cluster": _CLUSTER}


def parametrize(metafunc: pytest.Metafunc) -> None:
    """Called by `pytest_generate_tests` of a conftest.py with these fixtures."""
    markers = {marker.name for marker in metafunc.definition.iter_markers()}
    if "every_product" not in markers or "lxd_alone" in markers:
        return
    for fixture, ending in _OF_FIXTURE.items():
        if fixture in metafunc.fixturenames:
            hosts = [f"{product}{ending}" for product in (LXD, *_INCUS)]
            metafunc.parametrize(fixture, hosts, indirect=True)  # in the scope of the fixture


def server_of(request: pytest.FixtureRequest, lxd: Callable[[], LxdServer] = lab_server) -> LxdServer:
    """The single server that the test asks for; `lxd` starts that of LXD. Skips the test without its product."""
    version = _version(request)
    return lxd() if version is None else incus_server(version)


def pair_of(request: pytest.FixtureRequest) -> tuple[LxdServer, LxdServer]:
    """Two more servers, whose trust stores the test may change."""
    version = _version(request)
    return lab_pair() if version is None else incus_pair(version)


def cluster_of(request: pytest.FixtureRequest) -> tuple[LxdServer, ...]:
    """The members of the cluster that the test asks for."""
    version = _version(request)
    return lab_cluster() if version is None else incus_cluster(version)


def _version(request: pytest.FixtureRequest) -> str | None:
    """Which Incus the test asks for; None for LXD."""
    version = _INCUS.get(str(getattr(request, "param", LXD)).removesuffix(_CLUSTER))
    require(why_no_lxd() if version is None else why_no_incus(version))
    return version
