"""Baseline for LXD discovery: lists the instances with pylxd, then reads each of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from attrs import frozen
from pylxd.client import Client, get_session_for_url

from tests.bench.baselines.guest_facts import GuestFacts


@frozen(kw_only=True)
class PylxdCalls:
    """The server trusts `certificate` and `key`; `server_certificate` is the server's. All are files."""

    endpoint: str
    certificate: Path
    key: Path
    server_certificate: Path

    def connect(self) -> Any:
        pair, server = (str(self.certificate), str(self.key)), str(self.server_certificate)
        session = get_session_for_url(self.endpoint, verify=server, cert=pair)
        session.trust_env = False  # a CA bundle in the environment would replace the pinned certificate
        return Client(endpoint=self.endpoint, session=session)


def guests(client: Any) -> list[GuestFacts]:
    """Makes one call for the list and one per guest."""
    found = []
    for instance in client.instances.all():
        instance.sync()
        config = instance.expanded_config
        found.append(
            GuestFacts(
                name=instance.name,
                on=instance.status == "Running",
                cores=int(config["limits.cpu"]),
                memory_mib=int(config["limits.memory"].removesuffix("MiB")),
                disks=sum(device["type"] == "disk" for device in instance.expanded_devices.values()),
            )
        )
    return found
