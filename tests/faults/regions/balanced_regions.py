"""Two regions behind two load balancers, each in a network namespace, with the files of docs/how-to/fail-over.md."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from attrs import define, field

from common.errors import InnkeeperError
from common.trust.server_trust import ServerTrust
from innkeeper.http import Api, api_url
from tests.deployment.processes import SECOND_REGION, Processes
from tests.deployment.runner import REGION
from tests.faults.network.namespaces import Namespace, namespaces
from tests.pages.blocks import example
from tests.support.certificate_pairs import Pair, make_pair

PAGE = "docs/how-to/fail-over.md"
ADDRESS = "192.0.2.10"
REGIONS = {REGION: "192.0.2.11", SECOND_REGION: "192.0.2.12"}
BALANCERS = {"lb1": "192.0.2.21", "lb2": "192.0.2.22"}
OUTSIDE = "192.0.2.99"


@define(kw_only=True)
class BalancedProcesses(Processes):
    """`lan` joins the nodes. The API is that of the common address, and the region that starts is asked directly."""

    lan: Namespace
    nodes: Mapping[str, Namespace]
    pair: Pair = field(factory=lambda: make_pair("region.example.net"))
    _starts: str = REGION

    @property
    def trust(self) -> ServerTrust:
        return ServerTrust(fingerprint=self.pair.fingerprint)

    @property
    def api(self) -> Api:
        return Api(api_url(f"https://{ADDRESS}/MAAS/"), self.api_key, trust=self.trust)

    async def start_region(self) -> None:
        self.pair.write(self.folder / "tls")
        await self._start_region(REGION, self._settings_of(REGION))

    async def start_second_region(self) -> None:
        own = self.folder / "second-state"
        own.mkdir(mode=0o700)
        shutil.copy2(self.folder / "state/secrets.key", own)
        shutil.copytree(self.folder / "state/authority", own / "authority")
        self._starts = SECOND_REGION
        await self._start_region(SECOND_REGION, {**self._settings_of(SECOND_REGION), "INNKEEPER_STATE": str(own)})

    async def region_is_ready(self) -> bool:
        return await self.is_ready_at(f"{REGIONS[self._starts]}:5240")

    async def is_ready_at(self, where: str = ADDRESS) -> bool:
        try:
            await Api(f"https://{where}/", None, trust=self.trust).get("healthz/ready", deadline_s=5.0)
        except InnkeeperError:
            return False
        return True

    def start_balancer(self, name: str) -> None:
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        certificate, key = self.pair.write(self.folder / "tls")
        both = folder / "region.pem"
        both.write_bytes(certificate.read_bytes() + key.read_bytes())
        files_of_page = {"/etc/haproxy/region.pem": str(both), "/etc/haproxy/region-ca.pem": str(certificate)}
        (folder / "haproxy.cfg").write_text(example(PAGE, "haproxy", files_of_page))
        (folder / "keepalived.conf").write_text(example(PAGE, "keepalived", {}))
        self._spawn(f"{name}-haproxy", ("haproxy", "-db", "-f", str(folder / "haproxy.cfg")), self.environment())
        files = [f"--{kind}pid={folder}/{kind}pid" for kind in ("", "vrrp_", "checkers_", "bfd_")]
        self._spawn(
            f"{name}-keepalived",
            ("keepalived", "--dont-fork", "--log-console", f"--use-file={folder}/keepalived.conf", *files),
            self.environment(),
        )  # fmt: skip

    def holder(self) -> str | None:
        """The load balancer that has the common address."""
        for name in BALANCERS:
            shown = subprocess.run(
                [*self.nodes[name].entering, "ip", "-brief", "address", "show", "up"], capture_output=True, text=True,
                timeout=30, check=True,
            )  # fmt: skip
            if f"{ADDRESS}/" in shown.stdout:
                return name
        return None

    def lose(self, balancer: str) -> None:
        """Ends a load balancer as if its machine were switched off."""
        self.nodes[balancer].run("ip", "link", "set", "eth0", "down")
        children = self._children(f"{balancer}-keepalived")
        for part in ("keepalived", "haproxy"):
            self.kill(f"{balancer}-{part}")
        for pid in children:
            os.kill(pid, signal.SIGKILL)

    def kill_all(self) -> None:
        for name in [one for one in self.running if one.endswith("-keepalived")]:
            self._end(name, signal.SIGTERM)  # ends its children, too
        super().kill_all()

    def _children(self, name: str) -> list[int]:
        pid = self.running[name].pid
        return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def _settings_of(self, region: str) -> dict[str, str]:
        address = REGIONS[region]
        return {
            "INNKEEPER_HTTP_HOST": address, "INNKEEPER_HTTP_PORT": "5240", "INNKEEPER_RPC_HOST": address,
            "INNKEEPER_RPC_PORT": "5250", "INNKEEPER_RPC_ADDRESS": f"{address}:5250",
            "INNKEEPER_PUBLIC_URL": "https://region.example.net",
            "INNKEEPER_TLS_CERTIFICATE": str(self.folder / "tls/certificate.pem"),
            "INNKEEPER_TLS_KEY": str(self.folder / "tls/key.pem"),
            "INNKEEPER_TRUSTED_PROXIES": ",".join(BALANCERS.values()),
        }  # fmt: skip

    def _spawn(self, name: str, argv: tuple[str, ...], environment: Mapping[str, str]) -> None:
        node = self.nodes.get(name) or self.nodes.get(name.partition("-")[0])
        super()._spawn(name, argv if node is None else (*node.entering, *argv), environment)


@contextmanager
def balanced_regions(folder: Path, server_folder: Path) -> Iterator[BalancedProcesses]:
    """Nothing is started but PostgreSQL. This thread is in the network of the clients until the block ends."""
    with ExitStack() as stack:
        addresses = {**REGIONS, **BALANCERS}
        lan, *rest = stack.enter_context(namespaces("lan", *addresses))
        nodes = dict(zip(addresses, rest, strict=True))
        lan.run("ip", "link", "add", "lan", "type", "bridge")
        lan.run("ip", "address", "add", f"{OUTSIDE}/24", "dev", "lan")
        lan.run("ip", "link", "set", "lan", "up")
        for name, address in addresses.items():
            _join(lan, nodes[name], f"to-{name}", address)
        stack.enter_context(lan.entered())
        processes = BalancedProcesses(folder=folder, server_folder=server_folder, lan=lan, nodes=nodes)
        stack.callback(processes.kill_all)
        processes.start_postgres()
        yield processes


def _join(lan: Namespace, node: Namespace, port: str, address: str) -> None:
    lan.run("ip", "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", str(node.pid))
    lan.run("ip", "link", "set", port, "master", "lan", "up")
    node.run("ip", "address", "add", f"{address}/24", "dev", "eth0")
    node.run("ip", "link", "set", "eth0", "up")
