"""What the browser tests look at."""

from __future__ import annotations

from argon2 import PasswordHasher

from tests.deployment.deployment import Deployment

PASSWORD = "vault-orbit-kettle-91"  # noqa: S105
_HASH = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)  # a real one takes 0.1 s of a core
_ADD = "insert into account (username, is_admin, password_hash) values ('mira', true, $1) returning id"
NETWORKS = "front:10.20.10.0/24:10,storage:10.20.40.0/24:40"


async def give_password(innkeeper: Deployment, username: str) -> None:
    """PASSWORD, to an account that exists."""
    await innkeeper.fetch("update account set password_hash = $1 where username = $2", _HASH, username)


async def add_administrator_with_password(innkeeper: Deployment) -> None:
    """`mira`, with PASSWORD."""
    await innkeeper.fetch(_ADD, _HASH)


async def add_fleet(innkeeper: Deployment) -> None:
    await add_administrator_with_password(innkeeper)
    alder = await innkeeper.add_simulated(
        "alder", cores=16, memory_mib=65536, threads_per_core=2, numa_nodes=2, hugepages_mib=8192,
        hugepage_size_mib=1024, virtual_functions="2x8", networks=NETWORKS, pools="local:500,nvme:200", guests=1,
    )  # fmt: skip
    await innkeeper.add_simulated("birch", cores=4, memory_mib=8192)
    await innkeeper.compose(alder["id"], hostname="web-1", cores=2, memory=2048)
    await innkeeper.compose(alder["id"], hostname="db-1", pinned_cores="4", memory=4096)
