"""Four VMs of a real hypervisor: some are used after a backup of the region, and all are asked for after its restore.

`s1` is stock that nobody uses, `s2` stock that ann starts after the backup, `other` is ann's at the backup and ben's
later, and `kept` is ann's all the time.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve, field, frozen

from common.errors import InnkeeperError
from innkeeper.http import Api
from tests.deployment.api_calls import form
from tests.deployment.deployment import Deployment
from tests.deployment.restored import lose_and_restore, save
from tests.integration.support.discrepancies import only
from tests.lab.support.deployed_host import DeployedHost
from tests.support.disk_images import raw_disk, upload
from tests.support.rejections import rejected_status
from tests.support.waiting import eventually

SHAPE: Mapping[str, Any] = {"cores": 1, "memory": 1024, "storage": "1"}
CONSTRAINTS: Mapping[str, Any] = {"cpu_count": 1, "mem": 1024, "storage": "root:1"}
CONTENT = b"written by ann's guest"
PASSWORD = "vault-orbit-kettle-92"  # noqa: S105


async def as_user(innkeeper: Deployment, name: str) -> Deployment:
    """The same deployment with the API key of a new user, who logs in by password."""
    await innkeeper.post("users/", username=name, email=f"{name}@test", password=PASSWORD, is_superuser="false")
    login = Api(innkeeper.api.url.removesuffix("api/2.0/"), None)
    body = form({"username": name, "password": PASSWORD})
    made = (await login.send("POST", "accounts/authenticate/", body=body)).json()
    key = ":".join(made[part] for part in ("consumer_key", "token_key", "token_secret"))
    return evolve(innkeeper, other_account=Api(innkeeper.api.url, key))


@frozen(kw_only=True)
class RestoredUses:
    """`root_disk` returns the file of a guest's root disk. `contents`: SHA-256 of some when the region was lost."""

    host: DeployedHost
    ann: Deployment
    ben: Deployment
    machines: Mapping[str, Any]
    root_disk: Callable[[str], Path]
    contents: dict[str, str] = field(factory=dict)

    @property
    def innkeeper(self) -> Deployment:
        return self.host.deployment

    def name(self, which: str) -> str:
        return str(self.machines[which]["hostname"])

    def path(self, which: str) -> str:
        return f"machines/{self.machines[which]['system_id']}/"

    async def shown(self, which: str) -> Any:
        return await self.innkeeper.get(self.path(which))

    async def content_of(self, which: str) -> str:
        """The SHA-256 of the root disk."""

        def digest() -> str:
            with self.root_disk(self.name(which)).open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()

        return await asyncio.to_thread(digest)

    def write(self, which: str) -> None:
        """Writes to the root disk, as an operating system does that somebody installs by hand."""
        with self.root_disk(self.name(which)).open("r+b") as file:
            file.write(CONTENT)

    async def begin_use(self, user: Deployment, which: str) -> None:
        """The user allocates the machine and starts it."""
        await user.post("machines/", op="allocate", name=self.name(which))
        await user.post(self.path(which), op="power_on")

    async def power_off(self, user: Deployment, which: str) -> None:
        await user.post(self.path(which), op="power_off", stop_mode="hard")

    async def unproven(self) -> dict[str, str]:
        """The policy of each machine of which a person has to confirm whose it is."""
        found = await self.innkeeper.get("discrepancies/")
        return {one["name"]: one["repair_policy"] for one in found if one["kind"] == "use_unproven"}

    async def approve(self, which: str) -> None:
        (one,) = [
            one
            for one in await self.innkeeper.get("discrepancies/")
            if (one["kind"], one["name"]) == ("use_unproven", self.name(which))
        ]
        path = f"discrepancies/{one['id']}/"
        await self.innkeeper.post(path, op="approve", etag=one["etag"], found=one["found"])

    async def refused(self, which: str, *attempts: Awaitable[Any]) -> None:
        for attempt in attempts:
            with pytest.raises(
                InnkeeperError, match=f"The database was restored, and {self.name(which)} may have been used since"
            ):
                await attempt


async def restored_uses(host: DeployedHost, root_disk: Callable[[str], Path]) -> RestoredUses:
    """Makes a backup, uses machines after it, loses the region, and returns when the restored one has refreshed."""
    innkeeper = host.deployment
    machines = {name: await host.compose(name, **SHAPE) for name in ("s1", "s2", "other", "kept")}
    assert [one["stock"] for one in machines.values()] == [True] * len(machines)
    ann, ben = await as_user(innkeeper, "ann"), await as_user(innkeeper, "ben")
    uses = RestoredUses(host=host, ann=ann, ben=ben, machines=machines, root_disk=root_disk)
    await uses.begin_use(ann, "kept")
    await uses.begin_use(ann, "other")
    await save(innkeeper)

    await uses.begin_use(ann, "s2")
    await uses.power_off(ann, "s2")
    uses.write("s2")
    await uses.power_off(ann, "other")
    await ann.post(uses.path("other"), op="release", erase="true")
    await uses.begin_use(ben, "other")

    for which in ("s2", "other"):
        uses.contents[which] = await uses.content_of(which)

    await lose_and_restore(innkeeper)

    async def is_refreshed() -> bool:
        return await innkeeper.refreshed(host.host_id) and bool((await uses.shown("kept"))["unproven_since"] is None)

    await eventually(is_refreshed)
    return uses


async def check_restored_uses(uses: RestoredUses) -> None:
    """Nobody gets, opens or overwrites what was used since, and everything else is as before."""
    assert await uses.unproven() == {uses.name("s2"): "approval", uses.name("other"): "approval"}
    await check_unused_stock(uses)
    await check_used_stock(uses)
    await check_changed_hands(uses)
    await check_kept(uses)
    assert await uses.unproven() == {}


async def check_unused_stock(uses: RestoredUses) -> None:
    assert (await uses.shown("s1"))["stock"] is True
    found = await uses.ben.post("machines/", op="allocate", **CONSTRAINTS)
    assert (found["hostname"], found["owner"]) == (uses.name("s1"), "ben")


async def check_used_stock(uses: RestoredUses) -> None:
    """An approval leaves it to administrators, with what ann has written to its disk."""
    innkeeper, ben, path = uses.innkeeper, uses.ben, uses.path("s2")
    image = await upload(innkeeper, raw_disk(), name="custom/other")
    shown = await uses.shown("s2")
    assert (shown["status_name"], shown["owner"], shown["stock"]) == ("Ready", None, False)
    planned = await ben.post("machines/", op="allocate", dry_run="true", **CONSTRAINTS)
    assert planned["would_compose"]["cpu_count"] == 1, planned
    for user in (uses.ann, ben, innkeeper):
        await uses.refused(
            "s2",
            user.post("machines/", op="allocate", name=uses.name("s2")),
            user.post("machines/", op="allocate", system_id=shown["system_id"]),
            user.post(path, op="deploy", distro_series=image["name"]),
        )
    await uses.approve("s2")
    after = await uses.shown("s2")
    assert (after["unproven_since"], after["stock"], after["owner"], after["made_by"]) == (None, False, None, None)
    for user in (uses.ann, ben):
        for attempt in (
            user.post("machines/", op="allocate", name=uses.name("s2")),
            user.post(path, op="deploy", distro_series=image["name"]),
            user.post(path, op="power_on"),
        ):
            with pytest.raises(InnkeeperError, match=r"is in use, and not yours\. Ask an administrator"):
                await attempt
    assert await uses.content_of("s2") == uses.contents["s2"]
    assert (await innkeeper.post("machines/", op="allocate", name=uses.name("s2")))["owner"] == "admin"


async def check_changed_hands(uses: RestoredUses) -> None:
    """Ben has it, and the ledger of the backup says ann. An administrator gives it back to ben."""
    innkeeper, path, name = uses.innkeeper, uses.path("other"), uses.name("other")
    assert ((await uses.shown("other"))["owner"], (await uses.shown("other"))["power_state"]) == ("ann", "on")
    for user in (uses.ann, uses.ben):
        await uses.refused(
            "other",
            user.api.websocket(path, op="console"),
            user.post(path, op="power_off", stop_mode="hard"),
            user.post(path, op="release"),
            user.post(path, op="clone"),
            user.post(path, op="deploy", distro_series="custom/other"),
        )
    assert (
        "belongs to ann, who can open it again. If it belongs to somebody else now"
        in (await only(innkeeper, "use_unproven"))["remedy"]
    )
    await innkeeper.post(path, op="forget")
    await innkeeper.post(f"vm-hosts/{uses.host.host_id}/", op="adopt", guests=name, owner="ben")
    assert await uses.content_of("other") == uses.contents["other"]
    (adopted,) = [one for one in await innkeeper.get("machines/") if one["hostname"] == name]
    assert (adopted["owner"], adopted["power_state"], adopted["unproven_since"]) == ("ben", "on", None)
    mine = f"machines/{adopted['system_id']}/"
    assert await rejected_status(uses.ann.post(mine, op="power_off", stop_mode="hard")) == 403
    await check_console(uses.ben, adopted)


async def check_kept(uses: RestoredUses) -> None:
    path = uses.path("kept")
    assert (await uses.shown("kept"))["owner"] == "ann"
    await uses.power_off(uses.ann, "kept")
    await uses.ann.post(path, op="power_on")
    await check_console(uses.ann, uses.machines["kept"])
    assert await rejected_status(uses.ben.post(path, op="power_off", stop_mode="hard")) == 403


async def check_console(user: Deployment, machine: Any) -> None:
    """The rack opens the console of the guest. A firmware may be silent there."""

    async def opened() -> list[str]:
        query = [("op", "query"), ("id", machine["system_id"])]
        found = (await user.api.send("GET", "events/", query=query)).json()["events"]
        return [one["username"] for one in found if one["kind"] == "console_opened"]

    assert await opened() == []
    console = await user.api.websocket(f"machines/{machine['system_id']}/", op="console")
    try:
        await eventually(opened)
    finally:
        console.close()
