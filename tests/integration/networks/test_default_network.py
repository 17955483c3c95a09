"""The default network of a host: chosen by placement, or set by an administrator."""

from __future__ import annotations

from typing import Any

import pytest

from common.errors import InnkeeperError, InvalidRequest
from tests.deployment.deployment import Deployment
from tests.integration.support.tables import sql

NETWORKS = "lan:10.61.0.0/24,dmz:10.62.0.0/24:100"


async def subnets(innkeeper: Deployment, host: Any, **fields: Any) -> list[str]:
    """Composes a machine on the host, and returns the subnets of its NICs."""
    composed = await innkeeper.compose(host["id"], cores=1, memory=1024, **fields)
    machine = await innkeeper.get(f"machines/{composed['system_id']}/")
    return [link["subnet"]["cidr"] for nic in machine["interface_set"] for link in nic["links"]]


async def test_an_administrator_sets_the_network_of_nics_without_constraints(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated(cores=8, networks=NETWORKS)
    path = f"vm-hosts/{host['id']}/"
    assert (host["default_network"], await subnets(innkeeper, host)) == ("", ["10.61.0.0/24"])
    assert (await innkeeper.put(path, default_network="dmz"))["default_network"] == "dmz"
    assert await subnets(innkeeper, host) == ["10.62.0.0/24"]
    assert await subnets(innkeeper, host, interfaces="eth0:subnet=10.61.0.0/24") == ["10.61.0.0/24"]
    assert (await innkeeper.put(path, name="renamed"))["default_network"] == "dmz"
    assert (await innkeeper.put(path, default_network=""))["default_network"] == ""
    assert await subnets(innkeeper, host) == ["10.61.0.0/24"]


async def test_an_unknown_network_is_refused_with_those_that_are_there(innkeeper: Deployment) -> None:
    host = await innkeeper.add_simulated(cores=8, networks=NETWORKS)
    with pytest.raises(InvalidRequest) as rejected:
        await innkeeper.put(f"vm-hosts/{host['id']}/", default_network="dmx")
    (reason,) = rejected.value.fields["default_network"]
    assert "dmx" in reason
    assert "dmz" in reason


async def test_a_host_without_its_default_network_takes_no_such_machine(innkeeper: Deployment) -> None:
    """A NIC on another network than the administrator said could be on one that is not for it."""
    host = await innkeeper.add_simulated(cores=8, networks=NETWORKS)
    await innkeeper.put(f"vm-hosts/{host['id']}/", default_network="dmz")
    await sql(innkeeper, "update host_interface set active = false where name = 'dmz'")
    with pytest.raises(InnkeeperError, match="dmz, its default_network, is missing, inactive or cannot be attached"):
        await subnets(innkeeper, host)
