"""A whole MAAS read through its API: equal to its dump, complete or refused, and nothing changed there."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import pytest

from common.errors import DeadlineExceeded, MaasRefused, ResponseRejected
from common.maas.inventory import Inventory, SourceKind
from innkeeper.maas_import.service import read_dump
from regiond.maas.access import maas_access
from regiond.maas.client import MaasClient
from regiond.maas.source.calls import BATCH
from regiond.maas.source.service import LIMITS, read_with
from tests.maas_api.authentication import api_key
from tests.maas_api.messages import JSON, Answer
from tests.maas_api.rows import Rows
from tests.maas_api.server import serving
from tests.maas_api.state import MAAS_2_9, MAAS_3_8, MAAS_4_0, ONLY_PODS, Maas, Release
from tests.maas_site.hosts import MEMBERS, NORTH
from tests.maas_site.machines import FIRST_NODE, TRIED
from tests.maas_site.networks import CIDRS
from tests.maas_site.script import script_of
from tests.maas_site.site import site
from tests.maas_site.tables import system_id
from tests.maas_site.versions import site_of
from tests.support.clock import advance
from tests.support.waiting import eventually

ADMIN_TOKEN, OPERATOR_TOKEN = 1, 2
_DEVICE = 1


@pytest.fixture
def maas() -> Maas:
    return Maas()


@pytest.fixture
def url(maas: Maas) -> Iterator[str]:
    with serving(maas) as found:
        yield found


@pytest.fixture
def client(maas: Maas, url: str) -> MaasClient:
    return MaasClient(maas_access(url, api_key(maas, ADMIN_TOKEN)), limits=LIMITS)


async def dumped(folder: Path) -> Inventory:
    """The inventory of a dump of the same site."""
    path = folder / "site.sql"
    tables = site_of("3.7.3", site())
    # The script has no empty tables.
    tables["maasserver_vaultsecret"] = [{"path": "node/1/power-parameters", "deleted": False}]
    path.write_bytes(script_of(tables))
    return await read_dump(path)


def as_the_api_knows(dump: Inventory, api: Inventory) -> Inventory:
    """The inventory of the dump without what the API lacks: the one list of these differences.

    Each is a fact of MAAS (continuity.md 3, "What the API lacks"), or of the answers that were recorded.
    """
    unnamed = {one.id: one.name for one in api.vlans}
    tried = next(one for one in api.reserved_addresses if one.holder == f"vm-{TRIED:02}")
    pools = {(one.system_id, disk.name): disk.storage_pool for one in api.machines for disk in one.disks}
    asking = {one.username for one in api.users if one.api_keys}
    return attrs.evolve(
        dump,
        origin=attrs.evolve(api.origin, uuid=dump.origin.uuid),  # the exact version; the UUID is that of certificates
        tags=tuple(attrs.evolve(one, id=one.name) for one in dump.tags),  # ids are not shown
        spaces=tuple(attrs.evolve(one, description="") for one in dump.spaces),
        fabrics=tuple(attrs.evolve(one, description="") for one in dump.fabrics),
        vlans=tuple(attrs.evolve(one, name=one.name or unnamed[one.id]) for one in dump.vlans),  # MAAS makes one up
        users=tuple(
            attrs.evolve(
                one,
                id=one.username,  # ids are not shown
                full_name="",
                active=True,
                password_hash="",
                api_keys=one.api_keys if one.username in asking else (),  # each user sees the own ones only
                ssh_keys=one.ssh_keys if one.username in asking else (),
            )
            for one in dump.users
        ),
        clusters=tuple(attrs.evolve(one, zone="", pool="") for one in dump.clusters),
        machines=tuple(
            attrs.evolve(
                one,
                dynamic=None,
                nics=tuple(attrs.evolve(nic, attachment="") for nic in one.nics),
                disks=tuple(  # a refresh cuts the link from a disk to its pool
                    attrs.evolve(disk, storage_pool=disk.storage_pool if pools[one.system_id, disk.name] else "")
                    for disk in one.disks
                ),
            )
            for one in dump.machines
        ),
        reserved_addresses=(*dump.reserved_addresses, tried),  # it is not said that the address is only tried out
    )


def in_order(inventory: Inventory) -> dict[str, object]:
    """The parts of the inventory, each in an order of its own: sources list them differently."""
    parts = attrs.asdict(inventory, recurse=False)
    return {name: sorted(part, key=str) if isinstance(part, tuple) else part for name, part in parts.items()}


async def test_a_running_maas_gives_what_its_dump_gives(client: MaasClient, maas: Maas, tmp_path: Path) -> None:
    found = await read_with(client)
    expected = in_order(as_the_api_knows(await dumped(tmp_path), found))
    for name, part in in_order(found).items():
        assert part == expected[name], name
    assert found.origin.kind is SourceKind.API
    assert (found.origin.version, found.origin.name) == ("3.7.3", "site")
    assert len(found.machines) == 40
    assert {one.cluster_id for one in found.hosts} == {"", "1"}
    assert sum(bool(disk.storage_pool) for one in found.machines for disk in one.disks) > 10
    assert maas.changes == []


async def test_reading_a_maas_changes_nothing_there(client: MaasClient, maas: Maas) -> None:
    await read_with(client)
    assert {one.method for one in maas.requests} == {"GET"}
    assert not [one for one in maas.requests if one.op in {"refresh", "compose"}]
    assert client.calls == len(maas.requests)


async def test_secrets_of_metal_machines_are_not_kept(client: MaasClient) -> None:
    found = await read_with(client)
    everything = repr(attrs.asdict(found))
    assert "p\\\\w\\tof libvirt" in everything  # that of a VM host is: the import needs it
    assert "nor that" not in everything
    assert "-----BEGIN PRIVATE KEY" not in repr(found)
    assert "trust of the south" not in repr(found)


async def test_machines_are_read_in_batches(client: MaasClient, maas: Maas, url: str) -> None:
    maas.rows = Rows(site(4))
    found = await read_with(client)
    assert len(found.machines) == 160
    batches = [one.all("id") for one in maas.asked("machines/")]
    assert sorted(map(len, batches)) == [11, BATCH, BATCH, BATCH]  # with the VM that is under no host
    assert maas.most_at_once <= 3
    assert len(maas.requests) == client.calls < 45


@pytest.mark.slow
async def test_5000_machines_are_read_within_a_bounded_number_of_calls(client: MaasClient, maas: Maas) -> None:
    maas.rows = Rows(site(125))
    found = await read_with(client)
    assert len(found.machines) == 5000
    assert len(found.hosts) == 130
    of_machines, of_hosts = -(-5001 // BATCH), 130
    assert client.calls <= of_machines + of_hosts + 30
    assert maas.most_at_once <= 3


@pytest.mark.parametrize("release", [MAAS_2_9, ONLY_PODS], ids=["vm-hosts", "pods"])
async def test_an_old_maas_without_newer_lists_is_read(client: MaasClient, maas: Maas, release: Release) -> None:
    maas.release = release
    found = await read_with(client)
    assert len(found.machines) == 40
    assert len(found.hosts) == 6
    assert found.clusters == ()
    assert {one.pinned_cores for one in found.machines} == {None}
    assert not [one for one in maas.asked("pods/") if release is MAAS_2_9]


async def test_maas_4_0_is_refused_with_the_way_that_remains(client: MaasClient, maas: Maas) -> None:
    maas.release = MAAS_4_0
    with pytest.raises(MaasRefused, match="innkeeper import maas --dump FILE") as raised:
        await read_with(client)
    assert raised.value.details["reason"] == "gone"


async def test_a_server_that_is_no_maas_is_never_shown_the_key(client: MaasClient, maas: Maas) -> None:
    for answer in (Answer(body=b"<html>", content_type="text/html"), Answer(body=b'{"version": 3}', content_type=JSON)):
        maas.instead["version/"] = answer
        with pytest.raises(MaasRefused, match="There is no MAAS at this address"):
            await read_with(client)
    assert [one.authorization for one in maas.requests] == ["", ""]


async def test_a_key_of_no_administrator_reads_nothing(maas: Maas, url: str) -> None:
    access = maas_access(url, api_key(maas, OPERATOR_TOKEN))
    with pytest.raises(MaasRefused, match="belongs to olaf, who is no administrator"):
        await read_with(MaasClient(access))
    maas.release = MAAS_3_8
    with pytest.raises(MaasRefused, match="too few rights"):
        await read_with(MaasClient(access))


async def test_hidden_machines_are_noticed(client: MaasClient, maas: Maas) -> None:
    maas.release = MAAS_3_8
    maas.hidden_machines = {system_id(FIRST_NODE + index) for index in range(7)}
    with pytest.raises(
        MaasRefused, match=r"shows 34 of 41 machines to this API key; it hides .* …\. Nothing"
    ) as raised:
        await read_with(client)
    assert raised.value.details["reason"] == "rights"


async def test_hidden_hosts_are_noticed(client: MaasClient, maas: Maas) -> None:
    maas.hidden_hosts = {NORTH}
    with pytest.raises(MaasRefused, match="it hides"):
        await read_with(client)


async def test_a_hidden_member_of_a_cluster_is_noticed(client: MaasClient, maas: Maas) -> None:
    maas.release = MAAS_3_8
    maas.hidden_hosts = {MEMBERS[0]}
    on_it = {one["system_id"] for one in maas.rows.where("node", "bmc_id", MEMBERS[0])}
    nodes = [one for one in maas.rows.all("node") if one["system_id"] not in on_it]
    vms = [one for one in maas.rows.all("virtualmachine") if one["bmc_id"] != MEMBERS[0]]
    maas.rows = Rows(maas.rows.tables | {"maasserver_node": nodes, "maasserver_virtualmachine": vms})
    maas.instead |= {f"subnets/{number}/": Answer(body=b"[]", content_type=JSON) for number in CIDRS}
    with pytest.raises(MaasRefused, match=r"clusters of the MAAS at .* have 3 hosts, and it shows 2 of them"):
        await read_with(client)


def _without(maas: Maas, index: int) -> None:
    """One machine is deleted with its VM: what refers to its row stays, so that is kept, as no machine."""
    number = FIRST_NODE + index
    tables = maas.rows.tables
    maas.rows = Rows(
        tables
        | {
            "maasserver_node": [
                one | {"node_type": _DEVICE} if one["id"] == number else one for one in tables["maasserver_node"]
            ],
            "maasserver_virtualmachine": [one for one in tables["maasserver_virtualmachine"] if one["id"] != number],
        }
    )


def _with_another(maas: Maas) -> None:
    """One machine is composed: a copy of another one, with a VM of its own."""
    tables = maas.rows.tables
    node = next(one for one in tables["maasserver_node"] if one["id"] == FIRST_NODE)
    vm = next(one for one in tables["maasserver_virtualmachine"] if one["machine_id"] == FIRST_NODE)
    new = node | {"id": 9001, "system_id": system_id(9001), "hostname": "new", "instance_power_parameters": {
        "instance_name": "new", "project": "maas"}}  # fmt: skip
    maas.rows = Rows(
        tables
        | {
            "maasserver_node": [*tables["maasserver_node"], new],
            "maasserver_virtualmachine": [
                *tables["maasserver_virtualmachine"],
                vm | {"id": 9001, "machine_id": 9001, "identifier": "new"},
            ],
        }
    )


@pytest.mark.parametrize(
    ("change", "count"),
    [(functools.partial(_without, index=5), 39), (_with_another, 41)],
    ids=["deleted", "composed"],
)
@pytest.mark.parametrize("path", ["machines/", "zones/"])
async def test_a_machine_that_comes_or_goes_meanwhile_is_no_hidden_one(
    client: MaasClient, maas: Maas, change: Callable[[Maas], None], count: int, path: str
) -> None:
    maas.before[path] = [change] if path == "zones/" else [lambda _: None, change]
    found = await read_with(client)
    assert len(found.machines) in {count, 40}
    assert len(maas.asked("machines/", "power_parameters")) <= 2


@pytest.mark.slow
async def test_an_answer_of_another_form_is_named(client: MaasClient, maas: Maas) -> None:
    for path, body, message in (
        ("zones/", b'{"a": 1}', "zones/ is no list of objects"),
        ("zones/", b'[{"id": 1}]', "name is missing"),
        ("subnets/", b'[{"id": 1, "cidr": "10.0.0.0/8"}]', "id is missing"),
    ):
        maas.instead = {path: Answer(body=body, content_type=JSON)}
        with pytest.raises(ResponseRejected, match=message):
            await read_with(client)


async def test_one_failed_call_ends_the_reading(client: MaasClient, maas: Maas) -> None:
    maas.instead["ipranges/"] = Answer(status=403, body=b"no")
    with pytest.raises(MaasRefused, match=r"answered GET ipranges/ with 403: no\."):
        await read_with(client)
    assert not maas.asked("machines/")


async def test_a_slow_maas_ends_at_the_deadline_of_all_calls(client: MaasClient, maas: Maas) -> None:
    client.deadline_s = 5000
    maas.hold = threading.Event()
    reading = asyncio.ensure_future(read_with(client))
    await eventually(lambda: maas.at_once == 1)
    await advance(901)
    with pytest.raises(DeadlineExceeded, match=r"took more than 900 s, after 1 calls\. Try again"):
        await reading
