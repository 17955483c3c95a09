"""The VM host that a scenario of a client is about, as its administrator describes it to the client."""

from __future__ import annotations

from ipaddress import IPv4Network

from attrs import frozen

from tests.deployment.deployment import Deployment
from tests.integration.support.images import add_image

SIMULATED_SUBNET = "10.1.0.0/24"


@frozen(kw_only=True)
class ClientHost:
    """A host of this `type` that is not added yet; NICs in `subnet` (a CIDR) are on one of its networks.

    `secret` is what the client sends as `power_pass`: for an LXD server a trust token, or "". `series` is the release
    of an Ubuntu image that the region has. `poll_s`: how often clients ask for a machine that boots.
    """

    type: str
    address: str
    subnet: str
    secret: str = ""
    series: str = "noble"
    poll_s: float = 0.1

    @property
    def power_fields(self) -> list[tuple[str, str]]:
        """The fields with which clients add it."""
        fields = [("type", self.type), ("power_address", self.address)]
        return [*fields, ("power_pass", self.secret)] if self.secret else fields

    def ip(self, number: int) -> str:
        """That address of the subnet, counted from the network's."""
        return str(IPv4Network(self.subnet)[number])


async def simulated_host(innkeeper: Deployment, name: str) -> ClientHost:
    """A host with 8 cores, and an image for its machines."""
    await add_image(innkeeper, "ubuntu/noble")
    return ClientHost(
        type="simulated", address=f"simulated:{name}?cores=8&networks=lan:{SIMULATED_SUBNET}", subnet=SIMULATED_SUBNET
    )
