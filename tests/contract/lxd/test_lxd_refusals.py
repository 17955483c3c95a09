"""What LXD refuses, through the driver's client: the double and a real server refuse the same for the same reason."""

from __future__ import annotations

import json
import re
import ssl
from collections.abc import Callable, Iterator
from http.client import HTTPSConnection
from pathlib import Path
from uuid import uuid4

import pytest

from common.errors import DriverFailed, NotFound
from common.values import OwnershipMarker
from rackd.drivers.lxd.connection.client import Scope, path
from rackd.drivers.lxd.connection.failures import Conflict, PreconditionFailed
from rackd.drivers.lxd.guests.image_files import images
from tests.contract.running.test_deployment_contract import content
from tests.contract.support.driver_fixtures import FIXTURES
from tests.contract.support.lxd_fixtures import LxdFixture
from tests.contract.support.lxd_prepared_server import ROOT, PreparedServer, client_of

NO_IMAGE = "0" * 64


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(one.values[0], id=one.id, marks=one.marks) for one in FIXTURES if one.id in {"lxd-double", "lxd"}
    ],
)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PreparedServer]:
    make: Callable[[Path], LxdFixture] = request.param
    host = make(tmp_path_factory.mktemp("host"))
    client = client_of(host.access)
    source, scope = content(uuid4().hex.encode()), Scope(project="default")
    images.copy(client, source.image, host.pool_id, source, scope, "x86_64")
    leased = host.addressed[0]
    assert leased.address is not None
    found = PreparedServer(
        client=client, prefix=host.prefix, network=leased.source, address=leased.address.address,
        image=str(images.find(client, source.image, scope)),
    )  # fmt: skip
    try:
        found.prepare()
        yield found
    finally:
        client.close()
        host.close()


Case = tuple[str, Callable[[PreparedServer], object], type[Exception], str]
CASES: list[Case] = [
    ("missing instance", lambda s: s.client.get("instances/missing"), NotFound, "Instance not found"),
    ("missing network", lambda s: s.client.get("networks/missing"), NotFound, "Network not found"),
    ("missing leases", lambda s: s.client.get("networks/missing/leases"), NotFound, "Network not found"),
    ("missing profile", lambda s: s.client.get("profiles/missing"), NotFound, "Profile not found"),
    ("missing project", lambda s: s.client.get("projects/missing"), NotFound, "Project not found"),
    ("missing pool", lambda s: s.client.get("storage-pools/missing"), NotFound, "Storage pool not found"),
    ("missing image", lambda s: s.client.get(f"images/{NO_IMAGE}"), NotFound, "Image not found"),
    ("missing export", lambda s: s.client.beginning_of(f"images/{NO_IMAGE}/export"), NotFound, "Image not found"),
    ("delete missing image", lambda s: s.client.delete(f"images/{NO_IMAGE}"), NotFound, "Image not found"),
    ("missing operation", lambda s: s.client.get(f"operations/{uuid4()}/wait"), NotFound, "Operation not found"),
    ("volumes of missing project", lambda s: s.client.get("storage-pools/default/volumes/custom", project="missing"),
     NotFound, "Project not found"),
    ("volumes of missing pool", lambda s: s.client.get("storage-pools/missing/volumes/custom"), NotFound,
     "Storage pool not found"),
    ("all volumes of missing pool", lambda s: s.client.get("storage-pools/missing/volumes"), NotFound,
     "Storage pool not found"),
    ("volume exists", lambda s: s.make_volume("used"), Conflict, "Volume by that name already exists"),
    ("volume in missing pool", lambda s: s.make_volume("new", pool="missing"), NotFound, "Storage pool not found"),
    ("volume in missing project", lambda s: s.make_volume("new", project="missing"), NotFound, "Project not found"),
    ("volume with a slash", lambda s: s.make_volume("a/b"), DriverFailed, "may not contain slashes"),
    ("volume of no size", lambda s: s.make_volume("new", size="large"), DriverFailed, "Invalid value: large"),
    ("delete missing volume", lambda s: s.delete_volume("missing"), NotFound, "Storage pool volume not found"),
    ("delete used volume", lambda s: s.delete_volume("used"), DriverFailed, "The storage volume is still in use"),
    ("resize missing volume", lambda s: s.resize_volume("missing", "32MiB"), NotFound, "Storage pool volume not found"),
    ("resize in missing pool", lambda s: s.resize_volume("used", "32MiB", pool="missing"), NotFound,
     "Storage pool not found"),
    ("resize to no size", lambda s: s.resize_volume("used", "large"), DriverFailed, "Invalid value: large"),
    ("smaller volume", lambda s: s.resize_volume("used", "8MiB"), DriverFailed, "Block volumes cannot be shrunk"),
    ("smaller volume of running instance", lambda s: s.resize_volume("live", "8MiB"), DriverFailed,
     "Block volumes cannot be shrunk"),
    ("larger volume of running instance", lambda s: s.resize_volume("live", "32MiB"), DriverFailed, "LXD: In use."),
    ("smaller root disk", lambda s: s.change("off", devices={"root": {**ROOT, "size": "8MiB"}}), DriverFailed,
     'Failed to update device "root": Block volumes cannot be shrunk'),
    ("smaller root disk of running instance", lambda s: s.change("on", devices={"root": {**ROOT, "size": "8MiB"}}),
     DriverFailed, 'Failed to update device "root": Block volumes cannot be shrunk'),
    ("add file system", lambda s: s.change("on", devices={"disk2": s.disk("files")}), DriverFailed,
     'Failed add validation for device "disk2": Custom filesystem volumes require a path to be defined'),
    ("instance exists", lambda s: s.make("off"), Conflict, 'This "instances" entry already exists'),
    ("instance in missing project", lambda s: s.make("new", project="missing"), NotFound, "Project not found"),
    ("instance of bad name", lambda s: s.make("a_b"), DriverFailed, "Name can only contain alphanumeric and hyphen"),
    ("missing profile of instance", lambda s: s.make("new", body={"profiles": ["missing"]}), DriverFailed,
     'Requested profile "missing" doesn\'t exist'),
    ("unknown source", lambda s: s.make("new", body={"source": {"type": "odd"}}), DriverFailed,
     "Unknown source type odd"),
    ("instance of missing image", lambda s: s.make("new", body={"source": {"type": "image", "fingerprint": NO_IMAGE}}),
     DriverFailed, "Image not provided for instance creation"),
    ("too large image", lambda s: s.make("new", body={"source": {"type": "image", "fingerprint": s.image}},
                                         root={**ROOT, "size": "1MiB"}),
     DriverFailed, "Source image size (2097152) exceeds specified volume size (1048576)"),
    ("unknown key", lambda s: s.make("new", body={"config": {"odd": "1"}}), DriverFailed,
     "Unknown configuration key: odd"),
    ("key of newer LXD", lambda s: s.make("new", body={"config": {"boot.mode": "uefi-nosecureboot"}}), DriverFailed,
     "Unknown configuration key: boot.mode"),
    ("bad memory", lambda s: s.make("new", body={"config": {"limits.memory": "much"}}), DriverFailed,
     "Invalid value: much"),
    ("no root disk", lambda s: s.make("new", body={"devices": {"eth0": s.nic()}}), DriverFailed,
     "Failed initialising instance: Invalid devices: Failed detecting root disk device: No root device could be found"),
    ("root disk in missing pool", lambda s: s.make("new", root={**ROOT, "pool": "missing"}), DriverFailed,
     "Failed loading storage pool: Storage pool not found"),
    ("disk in missing pool", lambda s: s.make("new", disk1=s.disk("used", pool="missing")), DriverFailed,
     'Failed add validation for device "disk1": Failed to get storage pool "missing": Storage pool not found'),
    ("missing volume", lambda s: s.make("new", disk1=s.disk("missing")), DriverFailed,
     'Failed add validation for device "disk1": Failed loading custom volume: Storage volume not found'),
    ("block volume with a path", lambda s: s.make("new", disk1=s.disk("used", path="/mnt")), DriverFailed,
     "Custom block volumes cannot have a path defined"),
    ("NIC on missing network", lambda s: s.make("new", eth0={"type": "nic", "network": "missing"}), DriverFailed,
     'Failed loading device "eth0": Failed to load network "missing" for project "default": Network not found'),
    ("NICs of one name", lambda s: s.make("new", eth0=s.nic(name="e0"), eth1=s.nic(name="e0")), DriverFailed,
     'Invalid value for device option "name": Duplicate NIC name detected "e0"'),
    ("unknown device", lambda s: s.make("new", eth0={"type": "odd"}), DriverFailed, "Invalid device type odd"),
    ("etag", lambda s: s.replace("off", etag='"00"'), PreconditionFailed, "ETag doesn't match"),
    ("add missing volume to running instance", lambda s: s.change("on", devices={"disk2": s.disk("missing")}),
     NotFound, 'Failed add validation for device "disk2": Failed loading custom volume: Storage volume not found'),
    ("add missing volume", lambda s: s.change("off", devices={"disk2": s.disk("missing")}), NotFound,
     'Failed add validation for device "disk2": Failed loading custom volume: Storage volume not found'),
    ("replace by missing volume", lambda s: s.replace("off", devices={"root": ROOT, "disk2": s.disk("missing")}),
     DriverFailed, "Failed loading custom volume: Storage volume not found"),
    ("remove root disk", lambda s: s.replace("off", devices={"eth0": s.nic()}), DriverFailed,
     "No root device could be found"),
    ("move root disk", lambda s: s.change("off", devices={"root": {**ROOT, "pool": "missing"}}), DriverFailed,
     'Cannot update root disk device pool name to "missing"'),
    ("set unknown key", lambda s: s.change("off", config={"odd": "1"}), DriverFailed,
     "Invalid config: Unknown configuration key: odd"),
    ("change missing instance", lambda s: s.change("missing", config={}), NotFound, "Instance not found"),
    ("rename to taken name", lambda s: s.rename("off", "on"), Conflict, "already in use"),
    ("rename missing instance", lambda s: s.rename("missing", "new"), NotFound, "Instance not found"),
    ("rename running instance", lambda s: s.rename("on", "new"), DriverFailed, "Renaming of running instance"),
    ("delete missing instance", lambda s: s.delete("missing"), NotFound, "Instance not found"),
    ("delete running instance", lambda s: s.delete("on"), DriverFailed, "Instance is running"),
    ("switch missing instance", lambda s: s.switch("missing", "start"), NotFound, "Instance not found"),
    ("unknown action", lambda s: s.switch("off", "odd"), DriverFailed, "Unknown action: 'odd'"),
    ("stop what is off", lambda s: s.switch("off", "stop", force=True), DriverFailed, "already stopped"),
    ("freeze what is off", lambda s: s.switch("off", "freeze"), DriverFailed, "no such file or directory"),
    ("start what runs", lambda s: s.switch("on", "start"), DriverFailed, "already running"),
    ("shut down without system", lambda s: s.switch("on", "stop"), DriverFailed, "not shutdown after timeout"),
    ("start with taken address", lambda s: s.switch("odd", "start"), DriverFailed, "already defined on another NIC"),
    ("start with missing parent", lambda s: s.switch("orphan", "start"), DriverFailed, "\"no-such-dev\" doesn't exist"),
    ("start twice on a network", lambda s: s.switch("twice", "start"), DriverFailed, "already used on network"),
    ("huge pages while running", lambda s: s.change("on", config={"limits.memory.hugepages": "true"}), DriverFailed,
     "cannot be updated when VM is running"),
    ("pins while running", lambda s: s.change("on", config={"limits.cpu": "0-1"}), DriverFailed,
     "Cannot change CPU pinning when VM is running"),
    ("more memory while running", lambda s: s.change("on", config={"limits.memory": "1GiB"}), DriverFailed,
     "Cannot increase memory size beyond boot time size"),
]  # fmt: skip


@pytest.mark.parametrize(("send", "kind", "reason"), [pytest.param(*case[1:], id=case[0]) for case in CASES])
def test_a_refused_request_changes_nothing(
    server: PreparedServer, send: Callable[[PreparedServer], object], kind: type[Exception], reason: str
) -> None:
    before = server.objects()
    with pytest.raises(kind, match=re.escape(reason)) as raised:
        send(server)
    assert type(raised.value) is kind
    assert server.objects() == before


def test_a_running_guest_without_agent_is_changed_and_the_sendfails(server: PreparedServer) -> None:
    with pytest.raises(DriverFailed, match="agent isn't currently running"):
        server.change("on", config={"user.word": "set"})
    found = server.client.get(path("instances", server.named("on")))
    assert found["config"]["user.word"] == "set"


def test_a_running_root_disk_shows_a_size_that_it_gets_later(server: PreparedServer) -> None:
    """So the driver asks for none while the guest runs."""
    server.change("on", devices={"root": {**ROOT, "size": "32MiB"}})
    found = server.client.get(path("instances", server.named("on")))
    assert (found["devices"]["root"]["size"], found["config"]["volatile.root.apply_quota"]) == ("32MiB", "true")


def test_one_volume_can_be_that_of_two_running_guests(server: PreparedServer) -> None:
    """So the driver looks for its users before it attaches one."""
    server.change("off", devices={"disk2": server.disk("live")})
    found = server.client.get(path("storage-pools", "default", "volumes", "custom", server.named("live")))
    assert len(found["used_by"]) == 2


def test_a_project_that_is_gone_has_no_images_of_a_machine(server: PreparedServer) -> None:
    """So that the removal of what a compose may have made there ends."""
    marker = OwnershipMarker(installation_id=uuid4(), machine_id=uuid4())
    before = server.objects()
    images.remove_private(server.client, marker, Scope(project="missing"))
    assert server.objects() == before


def test_a_client_without_certificate_sees_only_the_extensions(server: PreparedServer) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    answers = {}
    for where in ("", "/instances", "/instances/missing"):
        address = server.client.address
        line = HTTPSConnection(address.host, address.port, timeout=10, context=context)
        line.request("GET", f"/1.0{where}")
        response = line.getresponse()
        answers[where] = response.status, json.loads(response.read())
        line.close()
    assert [status for status, _ in answers.values()] == [200, 403, 403]
    about = answers[""][1]["metadata"]
    assert (about["auth"], "environment" in about) == ("untrusted", False)
    assert answers["/instances"][1]["error"] == "not authorized"
