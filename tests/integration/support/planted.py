"""What ordinary users must never read, planted by what really happens: as texts of hosts and in objects of others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from attrs import frozen

from rackd.drivers.simulated.fault_injection import Call
from tests.integration.support.images import add_image
from tests.integration.support.two_pools import FOREIGN, NATIVE, Role, TwoPools
from tests.support.waiting import eventually

# Where the host is, what it says, and a file on it.
ADDRESS, SAYS, PATH = "hv9.planted.example:8443", "planted-error-text", "/srv/planted-folder/root disk.qcow2"
ERROR = f"The server at https://{ADDRESS} answered: {SAYS}, cannot open '{PATH}'."
REFUSAL = f"The VM is not changed: the server at {ADDRESS} has '{PATH}' in use. Shut it down first."
OF_HOST = (ADDRESS, ADDRESS.partition(":")[0], SAYS, PATH, "planted-folder")
LXD_HOST, PASSWORD = "planted-lxd.invalid", "planted-trust-password"
USER_DATA, CONTENT = "planted-user-data", "planted-file-content"
LODGER = "lodger-of-the-other-pool"  # a machine in the other pool, on the host of this one
GROUP = "planted-group"
_MACS = "select n.mac_address from machine_nic n join machine m on m.id = n.machine_id where m.hostname = any($1)"
_POWER: tuple[Call, ...] = ("power",)


@frozen(kw_only=True)
class Planted:
    """`of_others` are secrets for everybody who is no administrator; `of_pool` for those without role in that pool."""

    of_others: tuple[str, ...]
    of_pool: dict[str, tuple[str, ...]]

    def hidden_from(self, pool: str | None) -> tuple[str, ...]:
        others = [text for name, texts in self.of_pool.items() if name != pool for text in texts]
        return (*self.of_others, *others)


@asynccontextmanager
async def planted(pools: TwoPools) -> AsyncIterator[Planted]:
    """Makes a host fail in each way that users see; it is unreachable until the block ends, and operations wait."""
    innkeeper, native = pools.innkeeper, pools.contents[NATIVE]
    host = innkeeper.simulated(f"{NATIVE}-server")
    path = f"machines/{native.system_id}/"
    lodger = await innkeeper.compose(native.host_id, cores=1, memory=1024, hostname=LODGER, pinned_cores=5)
    await innkeeper.put(f"machines/{lodger['system_id']}/", pool=f"{FOREIGN}-pool", anti_affinity=GROUP)
    await _deploy(pools)
    await innkeeper.post("files/", filename="state", file=CONTENT)
    token = (await innkeeper.post("racks/", op="token"))["token"]
    await innkeeper.post(
        "vm-hosts/", type="lxd", power_address=f"https://{LXD_HOST}:8443", password=PASSWORD, name="native-lxd",
        pool=f"{NATIVE}-pool",
    )  # fmt: skip
    for code, text in (("driver_failed", ERROR), ("wrong_state", REFUSAL)):
        with host.fails(code=code, text=text, calls=_POWER):
            failed = await pools.as_role(Role.OPERATOR).begin(path, op="power_on")
            await innkeeper.ended(failed)
    with innkeeper.held("power", name=f"{NATIVE}-server"):
        await innkeeper.begin(f"machines/{lodger['system_id']}/", op="power_on")
        await eventually(_holding(host))
        with host.down(ERROR):
            refresh = await innkeeper.begin(f"vm-hosts/{native.host_id}/", op="refresh")
            await innkeeper.ended(refresh)
            await pools.as_role(Role.OPERATOR).begin(path, op="power_on")
            yield Planted(
                of_others=(
                    *OF_HOST, LXD_HOST, PASSWORD, USER_DATA, CONTENT, token, f"simulated:{NATIVE}-server",
                    *(key.token_secret for key in pools.keys.values()),
                ),
                of_pool={
                    FOREIGN: (
                        f"{FOREIGN}-", f"d-{FOREIGN}", LODGER, GROUP, *await _macs(pools, LODGER, "foreign-machine"),
                    ),
                    NATIVE: (f"{NATIVE}-machine", f"d-{NATIVE}", *await _macs(pools, "native-machine")),
                },
            )  # fmt: skip


def _holding(host: Any) -> Any:
    async def is_holding() -> bool:
        return await asyncio.to_thread(host.is_holding)

    return is_holding


async def _deploy(pools: TwoPools) -> None:
    """A machine of the administrator, which waits for its first report, with user data."""
    await add_image(pools.innkeeper)
    made = await pools.innkeeper.compose(
        pools.contents[NATIVE].host_id, cores=1, memory=1024, hostname="native-deploys"
    )
    await pools.innkeeper.begin(
        f"machines/{made['system_id']}/",
        op="deploy",
        distro_series="custom/test",
        user_data=f"#cloud-config\n# {USER_DATA}\n",
    )


async def _macs(pools: TwoPools, *hostnames: str) -> list[str]:
    return [row["mac_address"] for row in await pools.innkeeper.fetch(_MACS, list(hostnames))]
