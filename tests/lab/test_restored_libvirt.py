"""A region is restored from a backup while libvirt has changed since: it reports what differs and touches no domain."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from regiond.reconciler.model import DiscrepancyKind
from tests.deployment.deployment import Deployment
from tests.deployment.restored import lose_and_restore, save
from tests.lab.deployed_host import DeployedHost, add_libvirt
from tests.lab.lab_host import LabHost, definition
from tests.waiting import eventually


def all_of(lab_host: LabHost) -> dict[str, tuple[str, int | None]]:
    """Definition and process of every domain of this test."""
    return {name: (definition(lab_host.domain(name)), process(lab_host, name)) for name in lab_host.names()}


def process(lab_host: LabHost, name: str) -> int | None:
    return int(Path(f"/run/libvirt/qemu/{name}.pid").read_text()) if lab_host.is_running(name) else None


async def test_no_domain_changes_when_a_region_is_restored(lab_host: LabHost, deployment: Deployment) -> None:
    await deployment.start()
    host = DeployedHost(
        deployment=deployment, host_id=(await add_libvirt(deployment, lab_host))["id"], prefix=lab_host.prefix
    )
    stopped, deleted = [await host.compose(name, power_on="true") for name in ("stopped", "deleted")]
    await host.compose("started")
    foreign = lab_host.make_foreign("adopted").name()
    await deployment.post(f"vm-hosts/{host.host_id}/", op="refresh")  # the event of it may come later
    await save(deployment)

    async def machines() -> dict[str, Any]:
        return {one["hostname"].removeprefix(host.prefix): one for one in await deployment.get("machines/")}

    since = await host.compose("since")
    await host.remove(deleted)
    await deployment.post(f"machines/{stopped['system_id']}/", op="power_off", stop_mode="hard")
    await deployment.post(f"machines/{(await machines())['started']['system_id']}/", op="power_on")
    await deployment.post(f"vm-hosts/{host.host_id}/", op="adopt", guests=foreign)
    domains, volumes = all_of(lab_host), lab_host.volumes()

    await lose_and_restore(deployment)

    async def found() -> dict[str, set[str | None]]:
        kinds: dict[str, set[str | None]] = {}
        for one in await deployment.discrepancies():
            kinds.setdefault(one.kind, set()).add(one.name)
        return kinds

    async def reported() -> bool:
        return (await found()).keys() >= {DiscrepancyKind.MACHINE_MISSING, DiscrepancyKind.UNKNOWN_GUEST}

    await eventually(reported)
    kinds = await found()
    assert kinds[DiscrepancyKind.MACHINE_MISSING] == {deleted["hostname"]}
    # libvirt lists no marker of an adopted domain: it is a foreign guest again.
    assert kinds[DiscrepancyKind.UNKNOWN_GUEST] == {since["hostname"]}
    states = {name: one["power_state"] for name, one in (await machines()).items()}
    assert (states["stopped"], states["started"]) == ("off", "on")
    assert states.keys() == {"stopped", "started", "deleted"}
    assert (all_of(lab_host), lab_host.volumes()) == (domains, volumes)

    # Both can be adopted: neither is changed but for its marker, and both are machines again.
    await deployment.post(f"vm-hosts/{host.host_id}/", op="adopt", guests=[since["hostname"], foreign])
    assert (await machines()).keys() == {"stopped", "started", "deleted", "since", "adopted"}
    assert lab_host.volumes() == volumes
