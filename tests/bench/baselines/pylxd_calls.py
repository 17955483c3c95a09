"""The simple way to know the instances of an LXD server: list them with pylxd, then ask for each of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from attrs import frozen
from pylxd.client import Client, get_session_for_url

from tests.bench.baselines.told import Told


@frozen(kw_only=True)
class PylxdCalls:
    """`certificate` and `key` are files that the server trusts; `server_certificate` is the server's own."""

    endpoint: str
    certificate: Path
    key: Path
    server_certificate: Path

    def connect(self) -> Any:
        pair, server = (str(self.certificate), str(self.key)), str(self.server_certificate)
        session = get_session_for_url(self.endpoint, verify=server, cert=pair)
        session.trust_env = (
            False  # a bundle of authorities in the environment would be taken for the pinned certificate
        )
        return Client(endpoint=self.endpoint, session=session)


def guests(client: Any) -> list[Told]:
    """One call for the list and one for each guest."""
    found = []
    for instance in client.instances.all():
        instance.sync()
        config = instance.expanded_config
        found.append(
            Told(
                name=instance.name,
                on=instance.status == "Running",
                cores=int(config["limits.cpu"]),
                memory_mib=int(config["limits.memory"].removesuffix("MiB")),
                disks=sum(device["type"] == "disk" for device in instance.expanded_devices.values()),
            )
        )
    return found
