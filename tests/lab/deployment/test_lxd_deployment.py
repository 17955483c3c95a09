"""Deployments on a real LXD server: what is on the root disk, and racks and servers killed between two requests."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from common.errors import DriverFailed, HostUnreachable, NameTaken
from common.guests.guest_spec import GuestSpec
from common.values import NicKind, PowerAction, PowerState
from rackd.drivers.lxd.connection.client import Client
from rackd.drivers.lxd.driver import LxdDriver
from rackd.drivers.lxd.guests.rebuild.replacement import TRIES
from rackd.drivers.lxd.inventory.ownership import ERASING_KEY, replacement_name
from tests.contract.running.test_deployment_contract import content, seed
from tests.contract.support.guest_samples import nic, volumes_of
from tests.lab.servers.lxd_server import LxdServer
from tests.lab.support.key_pair import KeyPair
from tests.lab.support.lxd_specs import driver_through, small_spec

POOL = "default"
Act = Callable[[LxdDriver, GuestSpec], None]

CONTENT = content()
IMAGE, SEED = CONTENT.image, seed()


class Breaking(Client):
    """Ends like a killed rack: raises before the `left`-th request. `before_end` is called first."""

    left = 0
    before_end: Callable[[], None] = staticmethod(lambda: None)

    def request(self, *arguments: Any, **options: Any) -> Any:
        self.left -= 1
        if self.left == 0:
            self.before_end()
            raise HostUnreachable("the rack was killed")
        return super().request(*arguments, **options)


class Overlooking(Client):
    """A server that `failures` times reads nothing or too little of what qemu-img says, as LXD 5.0 does under load."""

    failures = 0
    reason = ""

    def post(self, where: str, body: Mapping[str, Any], **options: Any) -> None:
        if where == "instances" and body["source"]["type"] == "image" and self.failures:
            self.failures -= 1
            raise DriverFailed(f"LXD: Failed creating instance from image: {self.reason}.")
        super().post(where, body, **options)


def deploy(driver: LxdDriver, spec: GuestSpec) -> None:
    driver.deploy(spec, IMAGE, SEED)


def undeploy(driver: LxdDriver, spec: GuestSpec) -> None:
    driver.undeploy(spec)


def erase(driver: LxdDriver, spec: GuestSpec) -> None:
    driver.undeploy(spec, erase=True)


def root_disk(lxd: LxdServer, spec: GuestSpec) -> bytes:
    return (lxd.folder_of(spec.name) / "root.img").read_bytes()


@pytest.fixture
def spec(lxd: LxdServer, driver: LxdDriver, prefix: str) -> Iterator[GuestSpec]:
    """A composed machine with two disks; the server has the image."""
    boot_nic = nic(0, NicKind.NETWORK, lxd.managed_bridge, boot=True)
    wanted = small_spec(f"{prefix}vm", (POOL,) * 2, nics=(boot_nic,))
    driver.compose(wanted)
    driver.copy_image(IMAGE, POOL, CONTENT)
    yield wanted
    driver.decompose(wanted.ref, volumes_of(wanted))
    lxd.delete_our_images()


def check_one_guest(lxd: LxdServer, driver: LxdDriver, spec: GuestSpec) -> None:
    """The guest is found and counted once, and can be switched, whatever was interrupted."""
    found = [guest for guest in driver.discover().guests if guest.marker == spec.marker]
    assert len(found) == 1
    assert driver.power(spec.ref, PowerAction.FORCE_OFF, grace_s=1) is PowerState.OFF


def check_settled(lxd: LxdServer, spec: GuestSpec, uuid: str) -> None:
    instance = lxd.ask(f"/1.0/instances/{spec.name}")
    assert instance["config"]["volatile.uuid"] == uuid
    assert instance["devices"]["disk1"]["source"] == spec.disks[1].volume
    assert ERASING_KEY not in instance["config"]
    assert lxd.instances(replacement_name(spec.marker)) == set()


def test_cloud_init_data_is_new_in_each_deployment(lxd: LxdServer, driver: LxdDriver, spec: GuestSpec) -> None:
    before = lxd.ask(f"/1.0/instances/{spec.name}")
    deploy(driver, spec)
    deployed = lxd.ask(f"/1.0/instances/{spec.name}")
    assert deployed["config"]["cloud-init.user-data"] == SEED.user_data.decode()
    assert deployed["config"]["cloud-init.network-config"] == SEED.network_config
    assert deployed["config"]["user.meta-data"] == 'instance-id: "1"\n'
    assert deployed["devices"]["cloud-init-config"] == {"type": "disk", "source": "cloud-init:config"}
    assert deployed["devices"]["root"]["boot.priority"] > deployed["devices"]["eth0"]["boot.priority"]
    undeploy(driver, spec)
    after = lxd.ask(f"/1.0/instances/{spec.name}")
    changed = {"volatile.cloud-init.instance-id"}
    assert after["devices"] == before["devices"]
    assert {key: text for key, text in after["config"].items() if key not in changed} == {
        key: text for key, text in before["config"].items() if key not in changed
    }


@pytest.mark.parametrize(
    "reason", ["unexpected end of JSON input", "invalid character ' ' in literal false (expecting 'a')"]
)
def test_an_image_that_a_busy_server_cannot_read_is_tried_again(
    lxd: LxdServer, trusted: KeyPair, driver: LxdDriver, spec: GuestSpec, reason: str
) -> None:
    busy, client = driver_through(Overlooking, lxd, trusted)
    client.reason = reason
    client.failures = TRIES - 1
    deploy(busy, spec)
    assert root_disk(lxd, spec).startswith(CONTENT.data)
    client.failures = TRIES
    with pytest.raises(DriverFailed, match=re.escape(reason)):
        deploy(busy, spec)
    assert not root_disk(lxd, spec).strip(b"\0")
    check_one_guest(lxd, driver, spec)
    busy.close()


@pytest.mark.parametrize("act", [deploy, undeploy, erase])
def test_a_rack_killed_before_any_request_leaves_one_guest(
    lxd: LxdServer, trusted: KeyPair, driver: LxdDriver, spec: GuestSpec, act: Act
) -> None:
    guest = driver.find(spec.ref)
    assert guest is not None
    for number in range(1, 100):
        dying, client = driver_through(Breaking, lxd, trusted)
        client.left = number
        try:
            act(dying, spec)
        except HostUnreachable:
            check_one_guest(lxd, driver, spec)
            act(driver, spec)
        check_settled(lxd, spec, guest.guest_id)
        dying.close()
        if client.left > 0:
            break
    assert 8 < number < 99


@pytest.mark.parametrize("kept", range(8, 0, -1))
def test_a_server_killed_during_a_deployment_leaves_one_guest(
    lxd: LxdServer, trusted: KeyPair, driver: LxdDriver, spec: GuestSpec, kept: int
) -> None:
    guest = driver.find(spec.ref)
    assert guest is not None
    counting, client = driver_through(Breaking, lxd, trusted)
    deploy(counting, spec)
    requests = -client.left
    counting.close()
    dying, client = driver_through(Breaking, lxd, trusted)
    client.left, client.before_end = requests + 1 - kept, lxd.kill
    with pytest.raises(HostUnreachable):
        deploy(dying, spec)
    dying.close()
    lxd.start()
    check_one_guest(lxd, driver, spec)
    deploy(driver, spec)
    check_settled(lxd, spec, guest.guest_id)
    assert root_disk(lxd, spec)[: IMAGE.size_bytes] == CONTENT.data


def test_an_interrupted_replacement_is_removed_with_its_guest(
    lxd: LxdServer, trusted: KeyPair, driver: LxdDriver, prefix: str
) -> None:
    driver.copy_image(IMAGE, POOL, CONTENT)
    wanted = small_spec(f"{prefix}vm", (POOL,) * 2)
    driver.compose(wanted)
    before = lxd.volumes()
    number = 0
    while not lxd.instances(replacement_name(wanted.marker)):
        number += 1
        dying, client = driver_through(Breaking, lxd, trusted)
        client.left = number
        with pytest.raises(HostUnreachable):
            deploy(dying, wanted)
        dying.close()
    driver.decompose(wanted.ref, volumes_of(wanted))
    assert lxd.instances(prefix) | lxd.instances(replacement_name(wanted.marker)) == set()
    assert lxd.volumes() == before - set(volumes_of(wanted))
    lxd.delete_our_images()


def test_a_foreign_instance_with_the_replacements_name_stays(
    lxd: LxdServer, driver: LxdDriver, spec: GuestSpec
) -> None:
    name = replacement_name(spec.marker)
    lxd.make_many(name, "default", [0])
    lxd.lxc("move", f"{name}0", name)
    with pytest.raises(NameTaken, match=name):
        deploy(driver, spec)
    lxd.lxc("delete", name)
