"""Disks that somebody attached on the hypervisor: shown, claimed and never changed, until they are adopted."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import pytest

from common.disks.volume_names import volume_name
from common.errors import InnkeeperError, NotFound
from common.values import OwnershipMarker
from rackd.drivers.simulated.driver import SimulatedDriver
from tests.deployment.deployment import Deployment
from tests.integration.machines.disks.test_changed_disks import GB, attach, claimed, events
from tests.integration.support.adoption import refresh, rows
from tests.integration.support.discrepancies import Sweeper, kinds, kinds_after_refresh
from tests.integration.support.tables import sql
from tests.integration.support.users import as_user
from tests.support.rejections import rejected_status


async def a_machine(innkeeper: Deployment, *, volume: str = "extra", **options: Any) -> tuple[Any, str]:
    """Returns a host, and the path of its machine with disks of 8 and 5 GB and a foreign one of 3."""
    host = await innkeeper.add_simulated(**options)
    machine = await innkeeper.compose(host["id"], hostname="vm", storage="root:8,data:5")
    attach(innkeeper, 3 * GB, volume)
    await refresh(innkeeper, host)
    return host, f"machines/{machine['system_id']}/"


async def attached_again(innkeeper: Deployment) -> tuple[Any, str, str]:
    """Returns a host, the path of its machine and the volume of a disk that was kept, then attached on the host."""
    host = await innkeeper.add_simulated()
    machine = await innkeeper.compose(host["id"], hostname="vm", storage="root:8,data:5")
    path = f"machines/{machine['system_id']}/"
    await innkeeper.post(path, op="remove_disk", disk="sdb", keep="true")
    (kept,) = await innkeeper.get("kept-disks/")
    rows(innkeeper, "insert into disk select guest_id, 7, 'default', ?, 'x1' from guest", kept["volume"])
    return host, path, kept["volume"]


async def lose_volume_name(innkeeper: Deployment) -> str:
    """Returns the device of the volume `extra`, which a file in a folder of its pool is from now on, as libvirt lists
    it.
    """
    (guest,) = await sql(innkeeper, "select id, disks::text as disks from guest")
    listed = [{**disk, "volume": None} if disk["volume"] == "extra" else disk for disk in json.loads(guest["disks"])]
    (device,) = [str(disk["device"]) for disk in listed if disk["volume"] is None]
    await sql(innkeeper, "update guest set disks = $2::text::jsonb where id = $1", guest["id"], json.dumps(listed))
    return device


async def disks(innkeeper: Deployment, path: str) -> list[tuple[str, int, bool]]:
    shown = await innkeeper.get(path)
    return [(one["name"], one["size"] // GB, one["foreign"]) for one in shown["blockdevice_set"]]


WITH_FOREIGN = [("sda", 8, False), ("sdb", 5, False), ("sdc", 3, True)]
ADOPTED = [("sda", 8, False), ("sdb", 5, False), ("sdc", 3, False)]


async def test_an_attached_disk_is_foreign_and_claimed(innkeeper: Deployment) -> None:
    host, path = await a_machine(innkeeper)
    assert (await disks(innkeeper, path), await claimed(innkeeper)) == (WITH_FOREIGN, [16 * GB])
    assert await kinds_after_refresh(innkeeper, host) == []
    rows(innkeeper, "delete from disk where volume = 'extra'")
    await refresh(innkeeper, host)
    assert (await disks(innkeeper, path), await claimed(innkeeper)) == (WITH_FOREIGN[:2], [13 * GB])


async def test_a_foreign_disk_is_not_changed(innkeeper: Deployment) -> None:
    _, path = await a_machine(innkeeper, pools="default:100,fast:100")
    for op, fields in (("grow_disk", {"size": 9}), ("remove_disk", {}), ("move_disk", {"pool": "fast"})):
        with pytest.raises(
            InnkeeperError, match=r"disk2 of vm \(extra in default\) is foreign.*adopt-disk vm disk=disk2"
        ):
            await innkeeper.post(path, op=op, disk="sdc", **fields)


async def test_a_deletion_leaves_a_foreign_disk(innkeeper: Deployment) -> None:
    _, path = await a_machine(innkeeper)
    plan = (await innkeeper.delete(path, dry_run="true")).json()
    assert plan["effects"] == [
        "Foreign disks stay on sim as they are, and Innkeeper no longer shows them: default/extra."
    ]
    assert [volume["name"][-2:] for volume in plan["deleted"][0]["volumes"]] == ["-0", "-1"]
    await innkeeper.delete(path)
    assert innkeeper.simulated().volume_names() == ["extra"]
    assert await innkeeper.get("kept-disks/") == []
    assert (await events(innkeeper, "machine_deleted"))[0].endswith("; these disks stay there: default/extra")
    assert await claimed(innkeeper) == [0]


async def test_a_kept_disk_attached_again_outside_outlives_its_machine(innkeeper: Deployment) -> None:
    host, path, _ = await attached_again(innkeeper)
    with pytest.raises(InnkeeperError, match=r"Somebody attached the disk.*to vm on sim: it would lose its data"):
        await innkeeper.delete(path)  # which no refresh has told the region
    await refresh(innkeeper, host)
    assert await disks(innkeeper, path) == [("sda", 8, False), ("sdb", 5, True)]
    for fields in ({"dry_run": "true"}, {}):
        with pytest.raises(InnkeeperError, match=r"foreign disk.*-1, that was made for it once.*adopt-disk vm"):
            await innkeeper.delete(path, **fields)
        with pytest.raises(InnkeeperError, match=r"foreign disk.*-1, that was made for it once.*adopt-disk vm"):
            await innkeeper.delete(f"vm-hosts/{host['id']}/", decompose="true", **fields)
    assert [name[-2:] for name in innkeeper.simulated().volume_names()] == ["-0", "-1"]
    await innkeeper.post(path, op="adopt_disk", disk="sdb")
    await innkeeper.delete(path)
    assert innkeeper.simulated().volume_names() == []


async def test_a_kept_disk_attached_again_outside_is_not_erased_with_the_others(innkeeper: Deployment) -> None:
    _, path, volume = await attached_again(innkeeper)
    rows(innkeeper, "insert into written values ('default', ?)", volume)
    await innkeeper.post("machines/", op="allocate", system_id=path.split("/")[1])
    with pytest.raises(InnkeeperError, match=r"Somebody attached the disk.*lose its data with the other disks"):
        await innkeeper.post(path, op="release", erase="true")  # no refresh has told the region
    assert rows(innkeeper, "select volume from written where volume = ?", volume) != []
    assert (await innkeeper.get(path))["status_name"] == "Allocated"
    assert (await innkeeper.post(path, op="release"))["status_name"] == "Ready"
    assert rows(innkeeper, "select volume from written where volume = ?", volume) != []


async def test_a_file_in_a_folder_of_a_storage_pool_is_not_copied(innkeeper: Deployment) -> None:
    """The host reports its storage pool and no volume. Its name could be that of somebody else's volume there."""
    _, path = await a_machine(innkeeper)
    device = await lose_volume_name(innkeeper)
    await sql(innkeeper, "update machine_disk set volume = $1 where volume = 'extra'", device)
    for dry_run in ("true", "false"):
        with pytest.raises(InnkeeperError, match=r"disk2 of vm cannot be adopted: .* folder inside it.*pool-define-as"):
            await innkeeper.post(path, op="adopt_disk", disk="sdc", dry_run=dry_run)
        for op, done in (("export", "exported"), ("clone", "cloned")):
            with pytest.raises(InnkeeperError, match=rf"disk2 of vm cannot be {done}: .* folder inside it"):
                await innkeeper.post(path, op=op, dry_run=dry_run)
    assert await disks(innkeeper, path) == WITH_FOREIGN


async def test_an_adopted_disk_is_as_one_of_its_own(innkeeper: Deployment) -> None:
    host, path = await a_machine(innkeeper, pools="default:100,fast:100")
    plan = await innkeeper.post(path, op="adopt_disk", disk="sdc", dry_run="true")
    assert plan["effects"][0].startswith("disk2 of vm (extra, 3.0 GB in default) becomes the machine's own")
    assert await disks(innkeeper, path) == WITH_FOREIGN
    shown = await innkeeper.post(path, op="adopt_disk", disk="sdc")
    assert not shown["blockdevice_set"][2]["foreign"]
    await innkeeper.post(path, op="adopt_disk", disk="sdc")  # idempotent
    assert await events(innkeeper, "machine_disk_adopted") == ["disk2 of vm was adopted: extra in default"]
    assert await kinds_after_refresh(innkeeper, host) == []
    await innkeeper.post(path, op="grow_disk", disk="sdc", size=4)
    assert (await disks(innkeeper, path))[2] == ("sdc", 4, False)
    await innkeeper.post(path, op="move_disk", disk="sdc", pool="fast")
    (volume,) = rows(innkeeper, "select name from volume where pool = 'fast'")
    assert volume[0].startswith("ik-")
    assert "extra" not in innkeeper.simulated().volume_names()
    assert await kinds_after_refresh(innkeeper, host) == []
    await innkeeper.delete(path)
    assert innkeeper.simulated().volume_names() == [], "since it was moved, its volume is one of the machine"


async def test_an_adopted_disk_of_another_installation_stays_managed(innkeeper: Deployment) -> None:
    """Innkeeper was installed anew: what it made before is named after machines that it does not know."""
    other = OwnershipMarker(installation_id=uuid4(), machine_id=uuid4())
    host, path = await a_machine(innkeeper, volume=volume_name(other, 3), pools="default:100,fast:100")
    await innkeeper.post(path, op="adopt_disk", disk="sdc")
    await innkeeper.post(path, op="remove_disk", disk="sdc", keep="true")
    await refresh(innkeeper, host)
    (kept,) = await innkeeper.get("kept-disks/")
    assert kept["is_listed"]
    await innkeeper.post(path, op="attach_disk", kept_disk=kept["id"])
    await innkeeper.post(path, op="grow_disk", disk="sdc", size=4)
    await innkeeper.post(path, op="move_disk", disk="sdc", pool="fast")
    await innkeeper.post(path, op="grow_disk", disk="sdc", size=5)
    assert (await disks(innkeeper, path))[2] == ("sdc", 5, False)
    assert other.machine_id.hex not in "".join(innkeeper.simulated().volume_names())
    assert await kinds_after_refresh(innkeeper, host) == []


async def test_a_kept_disk_of_another_installation_is_deleted(innkeeper: Deployment) -> None:
    other = OwnershipMarker(installation_id=uuid4(), machine_id=uuid4())
    _, path = await a_machine(innkeeper, volume=volume_name(other, 3))
    await innkeeper.post(path, op="adopt_disk", disk="sdc")
    await innkeeper.post(path, op="remove_disk", disk="sdc", keep="true")
    (kept,) = await innkeeper.get("kept-disks/")
    await innkeeper.delete(f"kept-disks/{kept['id']}/")
    assert volume_name(other, 3) not in innkeeper.simulated().volume_names()


async def test_an_adopted_disk_is_removed_with_its_volume(innkeeper: Deployment) -> None:
    host, path = await a_machine(innkeeper)
    await innkeeper.post(path, op="adopt_disk", disk="disk2")
    await innkeeper.post(path, op="remove_disk", disk="sdc")
    assert (await disks(innkeeper, path), await claimed(innkeeper)) == (WITH_FOREIGN[:2], [13 * GB])
    assert "extra" not in innkeeper.simulated().volume_names()
    assert await kinds_after_refresh(innkeeper, host) == []


async def test_an_adopted_disk_is_kept_attached_and_deleted(innkeeper: Deployment) -> None:
    host, path = await a_machine(innkeeper)
    await innkeeper.post(path, op="adopt_disk", disk="sdc")
    await innkeeper.post(path, op="remove_disk", disk="sdc", keep="true")
    await refresh(innkeeper, host)
    (kept,) = await innkeeper.get("kept-disks/")
    assert (kept["size"] // GB, kept["is_listed"]) == (3, True)
    await innkeeper.post(path, op="attach_disk", kept_disk=kept["id"])
    assert await disks(innkeeper, path) == ADOPTED
    plan = (await innkeeper.delete(path, dry_run="true")).json()
    assert plan["effects"] == [
        "Disks that Innkeeper did not create with their VM stay on sim with their content, as kept disks: "
        "default/extra."
    ]
    await innkeeper.delete(path)
    assert innkeeper.simulated().volume_names() == ["extra"]
    (kept,) = await innkeeper.get("kept-disks/")
    await innkeeper.delete(f"kept-disks/{kept['id']}/")
    assert (innkeeper.simulated().volume_names(), await innkeeper.get("kept-disks/")) == ([], [])


async def test_a_disk_of_two_guests_is_not_adopted(innkeeper: Deployment) -> None:
    host, path = await a_machine(innkeeper)
    await innkeeper.compose(host["id"], hostname="other", storage="root:1")
    rows(innkeeper, "insert into disk select guest_id, 7, 'default', 'extra', 'x2' from guest where name = 'other'")
    await refresh(innkeeper, host)
    with pytest.raises(InnkeeperError, match="extra in default is also a disk of other"):
        await innkeeper.post(path, op="adopt_disk", disk="sdc")


async def test_only_who_may_use_a_kept_disk_adopts_it(innkeeper: Deployment) -> None:
    """An administrator of the host attached a disk that is kept: its data are those of whoever had it."""
    host = await innkeeper.add_simulated()
    owner = await innkeeper.compose(host["id"], hostname="owner", storage="root:1,data:2")
    machine = await innkeeper.compose(host["id"], hostname="vm", storage="root:1")
    await innkeeper.post("machines/", op="allocate", name="owner")
    await innkeeper.post(f"machines/{owner['system_id']}/", op="remove_disk", disk="sdb", keep="true")
    user = await as_user(innkeeper, "ann")
    rows(innkeeper, "insert into disk select guest_id, 7, v.pool, v.name, 'x' from guest, volume v "
                    "where guest.name = 'vm' and v.name like '%-1'")  # fmt: skip
    await refresh(innkeeper, host)
    path = f"machines/{machine['system_id']}/"
    assert await disks(innkeeper, path) == [("sda", 1, False), ("sdb", 2, True)]
    assert await rejected_status(user.post(path, op="adopt_disk", disk="sdb")) == 403
    await innkeeper.post(path, op="adopt_disk", disk="sdb")
    assert await innkeeper.get("kept-disks/") == []


async def test_the_check_records_what_a_refresh_did_not(innkeeper: Deployment) -> None:
    _, path = await a_machine(innkeeper)
    await sql(innkeeper, "delete from machine_disk where origin = 'foreign'")
    assert await kinds(innkeeper) == ["disks_changed"]
    assert await Sweeper(innkeeper).sweep() == []
    assert await Sweeper(innkeeper).sweep() == ["disks_changed"]
    assert await disks(innkeeper, path) == WITH_FOREIGN


async def test_a_file_adopted_as_a_volume_of_its_name_is_not_removed(innkeeper: Deployment) -> None:
    """It was adopted under 1.0; the volume of that name is somebody else's."""
    _, path = await a_machine(innkeeper)
    await innkeeper.post(path, op="adopt_disk", disk="sdc")
    await lose_volume_name(innkeeper)
    for keep in ("true", "false"):
        with pytest.raises(
            InnkeeperError, match=r"disk2 of vm cannot be removed here: .*extra in default.*refresh sim"
        ):
            await innkeeper.post(path, op="remove_disk", disk="sdc", keep=keep)
    assert await disks(innkeeper, path) == ADOPTED
    assert "extra" in innkeeper.simulated().volume_names()


async def test_a_file_adopted_as_a_volume_of_its_name_is_not_kept(innkeeper: Deployment) -> None:
    _, path = await a_machine(innkeeper)
    await innkeeper.post(path, op="adopt_disk", disk="sdc")
    await lose_volume_name(innkeeper)
    await innkeeper.delete(path)
    assert await innkeeper.get("kept-disks/") == []
    assert innkeeper.simulated().volume_names() == ["extra"]


async def test_a_disk_that_its_host_finds_to_be_another_file_is_not_kept(
    innkeeper: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No refresh has told the region yet that it is no volume."""
    _, path = await a_machine(innkeeper)
    await innkeeper.post(path, op="adopt_disk", disk="sdc")

    def detach(*_: object, **__: object) -> None:
        raise NotFound("vm has /pool/web/extra, which is not the volume extra")

    def attach(*_: object, **__: object) -> None:
        raise AssertionError("The volume extra may be somebody else's")

    monkeypatch.setattr(SimulatedDriver, "detach_disk", detach)
    monkeypatch.setattr(SimulatedDriver, "attach_disk", attach)
    with pytest.raises(InnkeeperError, match="vm has /pool/web/extra"):
        await innkeeper.post(path, op="remove_disk", disk="sdc", keep="true")
    assert await innkeeper.get("kept-disks/") == []
    assert await disks(innkeeper, path) == ADOPTED
