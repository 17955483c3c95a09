"""Deployments on LXD: the instance with the new root disk, its cloud-init keys, and raw disks sent as qcow2."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from common.errors import InvalidRequest, Unsupported, WrongState
from common.guests.deployment_spec import CloudInitSeed
from common.guests.guest_spec import NicAddress, NicSpec
from common.values import NicKind
from rackd.drivers.lxd.connection.capabilities import Capabilities
from rackd.drivers.lxd.guests import cloud_init
from rackd.drivers.lxd.guests.image_files.raw_as_qcow2 import qcow2_head, qcow2_tail
from rackd.drivers.lxd.guests.instance_config import with_addresses
from rackd.drivers.lxd.guests.nic_devices import check_leases_free
from rackd.drivers.lxd.guests.rebuild.replacement import EMPTY, RootDisk, replacement_of
from rackd.drivers.lxd.inventory.ownership import (
    COMPLETED_KEY,
    is_incomplete,
    marker_of,
    replacement_name,
    without_replacements,
)
from tests.unit.rackd.lxd.test_lxd_guests import MARKER_CONFIG, instance

MODERN, OLD = Capabilities(cloud_init_keys=True), Capabilities()
SEED = CloudInitSeed(
    meta_data='{"instance-id": "i-2", "local-hostname": "vm.maas", "public-keys": ["ssh-ed25519 AAAA é"]}',
    user_data=b"#cloud-config\n{}\n",
    network_config='{"version": 2}',
)
UUID = "9d0f2f3e-4f0b-4c0e-9b8c-0b0f5b4e1d11"


def original(**config: str) -> dict[str, Any]:
    devices = {
        "root": {"type": "disk", "path": "/", "pool": "main", "size": "8GiB", "boot.priority": "1"},
        "disk1": {"type": "disk", "pool": "main", "source": "data"},
        "eth0": {"type": "nic", "network": "lan", "boot.priority": "2"},
        "cloud-init-config": {"type": "disk", "source": "cloud-init:config"},
    }
    owned = {**MARKER_CONFIG, COMPLETED_KEY: UUID, "volatile.uuid": UUID, "user.note": "kept"}
    found = instance(profiles=["maas"], devices=devices, config={**owned, **config})
    return {**found, "devices": devices}


def test_a_replacement_is_the_same_guest_with_another_disk() -> None:
    body = replacement_of(original(), "vm1", RootDisk(fingerprint="f00", cloud_init={"cloud-init.user-data": "x"}))
    assert body["source"] == {"type": "image", "fingerprint": "f00"}
    assert body["profiles"] == ["maas"]
    assert body["config"]["volatile.uuid"] == UUID
    assert body["config"]["user.note"] == "kept"
    assert body["config"]["cloud-init.user-data"] == "x"
    assert is_incomplete(body)
    assert marker_of({**body, "type": "virtual-machine"}) == marker_of(original())
    assert body["devices"]["disk1"]["source"] == "data"
    assert body["devices"]["root"] == {**original()["devices"]["root"], "boot.priority": "3"}


def test_a_replacement_has_the_leases_of_its_nics_by_mac_address() -> None:
    before = original()
    nic = {**before["devices"]["eth0"], "hwaddr": "52:54:00:00:00:0A", "ipv4.address": "10.1.0.7"}
    before["devices"]["eth0"] = nic
    leases = {"52:54:00:00:00:0a": {"ipv4.address": "10.1.0.9"}}
    body = replacement_of(before, "vm1", RootDisk(fingerprint="f00", cloud_init={}, leases=leases))
    assert body["devices"]["eth0"] == {**nic, "ipv4.address": "10.1.0.9"}
    body = replacement_of(before, "vm1", RootDisk(fingerprint="f00", cloud_init={}, leases={"52:54:00:00:00:0a": {}}))
    assert "ipv4.address" not in body["devices"]["eth0"]
    assert replacement_of(before, "vm1", EMPTY)["devices"]["eth0"] == nic


def test_other_addresses_change_leases_and_network_config_only() -> None:
    before = {**original(**{"user.network-config": "old", "user.user-data": "kept"}), "stateful": False}
    before["devices"]["eth0"] = {**before["devices"]["eth0"], "hwaddr": "52:54:00:00:00:0A", "ipv4.address": "10.1.0.7"}
    leases = {"52:54:00:00:00:0a": {"ipv4.address": "10.1.0.9"}}
    body = with_addresses(before, {"cloud-init.network-config": "new"}, leases)
    assert body["devices"] == {
        **before["devices"], "eth0": {**before["devices"]["eth0"], "ipv4.address": "10.1.0.9"},
    }  # fmt: skip
    network = {"cloud-init.network-config": "new", "user.user-data": "kept"}
    assert body["config"] == {**original()["config"], **network}
    assert (body["profiles"], body["stateful"]) == (["maas"], False)
    assert "cloud-init-config" not in with_addresses(original(), {}, {})["devices"]


def test_a_lease_of_another_instance_is_a_conflict() -> None:
    address = NicAddress(address="10.1.0.7", prefix_length=24)
    nic = NicSpec(name="eth0", mac_address="52:54:00:00:00:0a", kind=NicKind.NETWORK, source="lan", address=address)
    own = {"hostname": "vm1", "hwaddr": "52:54:00:00:00:0A", "address": "10.1.0.7", "type": "static"}
    check_leases_free([nic], [own, {**own, "hwaddr": "52:54:00:00:00:0b", "type": "dynamic"}])
    with pytest.raises(WrongState, match="the network lan reserves it for db"):
        check_leases_free([nic], [{**own, "hostname": "db", "hwaddr": "52:54:00:00:00:0b"}])


def test_an_empty_root_disk_ends_the_deployments_data() -> None:
    deployed = original(**{
        "cloud-init.user-data": "x", "user.user-data": "x", "user.meta-data": "x", "cloud-init.network-config": "x",
        "image.os": "debian", "volatile.base_image": "f00", "volatile.eth0.hwaddr": "00:16:3e:00:00:01",
    })  # fmt: skip
    deployed["devices"]["root"]["boot.priority"] = "3"
    body = replacement_of(deployed, "vm1", EMPTY)
    assert body["source"] == {"type": "none"}
    changed = {COMPLETED_KEY: body["config"][COMPLETED_KEY], "volatile.eth0.hwaddr": "00:16:3e:00:00:01"}
    assert body["config"] == {**original()["config"], **changed}
    assert body["devices"]["root"]["boot.priority"] == "1"
    assert "cloud-init-config" not in body["devices"]


def test_a_guest_is_counted_once_while_it_is_replaced() -> None:
    whole = original()
    marker = marker_of(whole)
    assert marker is not None
    replacement = {**whole, "name": replacement_name(marker)}
    elsewhere = {**replacement, "project": "another"}
    assert without_replacements([replacement, whole]) == [whole]
    assert without_replacements([replacement]) == [replacement]
    assert without_replacements([whole, elsewhere]) == [whole, elsewhere]


@pytest.mark.parametrize(("capabilities", "namespace"), [(MODERN, "cloud-init"), (OLD, "user")])
def test_cloud_init_keys_depend_on_the_servers_extensions(capabilities: Capabilities, namespace: str) -> None:
    config = cloud_init.config_of(SEED, capabilities)
    assert config[f"{namespace}.user-data"] == SEED.user_data.decode()
    assert config[f"{namespace}.network-config"] == SEED.network_config
    assert config.keys() <= cloud_init.KEYS


def test_meta_data_is_one_line_of_yaml_per_key() -> None:
    assert cloud_init.config_of(SEED, MODERN)["user.meta-data"].splitlines() == [
        'instance-id: "i-2"', 'local-hostname: "vm.maas"', 'public-keys: ["ssh-ed25519 AAAA é"]',
    ]  # fmt: skip


LONGEST = b"x" * cloud_init.MAX_USER_DATA_BYTES


def seed(user_data: bytes, short: bytes | None = None) -> CloudInitSeed:
    return CloudInitSeed(meta_data="{}", user_data=user_data, network_config="", short_user_data=short)


@pytest.mark.parametrize(
    ("whole", "stored"),
    [(LONGEST, LONGEST), (LONGEST + b"x", b"short")],
    ids=["what the listing of instances can have", "more"],
)
def test_an_instance_has_the_short_user_data_if_there_is_too_much(whole: bytes, stored: bytes) -> None:
    given = seed(whole, b"short")
    assert cloud_init.config_of(given, MODERN)["cloud-init.user-data"] == stored.decode()
    assert cloud_init.is_shortened(given) == (stored == b"short")


@pytest.mark.parametrize("short", [None, LONGEST + b"x"])
def test_too_much_of_innkeepers_own_is_refused(short: bytes | None) -> None:
    with pytest.raises(Unsupported, match="131073 bytes"):
        cloud_init.config_of(seed(LONGEST + b"x", short), MODERN)


def test_user_data_is_text() -> None:
    with pytest.raises(InvalidRequest, match="only text"):
        cloud_init.config_of(seed(b"\xff\xfe"), MODERN)


@pytest.mark.parametrize("size_bytes", [512, 65536, 65536 + 512, 5 * 2**20 + 512, 600 * 2**20])
def test_a_raw_disk_is_sent_as_qcow2_of_the_same_content(tmp_path: Path, size_bytes: int) -> None:
    raw, qcow2 = tmp_path / "disk.raw", tmp_path / "disk.qcow2"
    with raw.open("wb") as file:
        file.write(b"first")
        file.seek(size_bytes - 4)
        file.write(b"last")
    with qcow2.open("wb") as file, raw.open("rb") as source:
        for part in qcow2_head(size_bytes):
            file.write(part)
        while part := source.read(2**20):
            file.write(part)
        file.write(qcow2_tail(size_bytes))
    assert "No errors" in qemu_img("check", str(qcow2))
    assert "identical" in qemu_img("compare", "-f", "raw", "-F", "qcow2", str(raw), str(qcow2))


def qemu_img(*arguments: str) -> str:
    return subprocess.run(["qemu-img", *arguments], check=True, capture_output=True, text=True).stdout
