"""Network devices and GPUs of an LXD server, from recorded and from arbitrary documents."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.hardware import Gpu, NetworkDevice, NetworkPort
from common.serialization import from_dict, to_dict
from rackd.drivers.lxd.inventory.hardware import gpus, network_devices, virtual_function_names

VENDOR = {"vendor": "Intel Corporation", "vendor_id": "8086"}


def function(number: int, *ports: str) -> dict[str, Any]:
    listed = [{"id": name, "address": f"aa:00:00:00:00:0{number}", "port": 0, "protocol": "ethernet"} for name in ports]
    return {**VENDOR, "driver": "iavf", "numa_node": 1, "pci_address": f"0000:3b:02.{number}", "ports": listed}


RESOURCES: dict[str, Any] = {
    "network": {
        "cards": [
            {
                **VENDOR,
                "product": "Ethernet Controller X710 for 10GbE SFP+",
                "product_id": "1572",
                "driver": "i40e",
                "driver_version": "5.15.0-91-generic",
                "firmware_version": "6.01 0x800035cf 1.1876.0",
                "numa_node": 1,
                "pci_address": "0000:3b:00.0",
                "ports": [
                    {
                        "id": "ens1f0",
                        "address": "3C:FD:FE:00:00:01",
                        "port": 0,
                        "protocol": "ethernet",
                        "supported_modes": ["10000baseT/Full"],
                        "link_detected": True,
                        "link_speed": 10000,
                        "link_duplex": "full",
                    }
                ],
                "sriov": {
                    "current_vfs": 3,
                    "maximum_vfs": 64,
                    "vfs": [function(0, "ens1f0v0"), function(1, "ens1f0v1"), function(2)],
                },
            },
            {"driver": "virtio_net", "numa_node": 0, "pci_address": "0000:00:03.0", "ports": [{"port": 0}]},
            {"driver": "ax88179_178a", "usb_address": "2:7", "ports": [{"id": "enx1", "link_detected": False}]},
            {"driver": "vfio-pci", "numa_node": -1, "pci_address": "0000:5e:00.0", "ports": None, "sriov": None},
        ],
        "total": 4,
    },
    "gpu": {
        "cards": [
            {
                "vendor": "NVIDIA Corporation",
                "vendor_id": "10de",
                "product": "GA102GL [A40]",
                "product_id": "2235",
                "driver": "nvidia",
                "driver_version": "535.129.03",
                "numa_node": 1,
                "pci_address": "0000:86:00.0",
                "drm": {"id": 1, "card_name": "card1", "card_device": "226:1"},
                "nvidia": {"model": "NVIDIA A40", "uuid": "GPU-6ddadebd-dafe-2db9-f10f-125719770fd3"},
                "sriov": {"current_vfs": 0, "maximum_vfs": 32, "vfs": None},
            },
            {
                "driver": "ast",
                "vendor": "ASPEED",
                "vendor_id": "1a03",
                "product_id": "2000",
                "pci_address": "0000:02:00.0",
            },
        ],
        "total": 2,
    },
}


def test_network_devices_report_ports_and_functions() -> None:
    virtual, divided, taken, usb = network_devices(RESOURCES)
    assert divided == NetworkDevice(
        **VENDOR,
        pci_address="0000:3b:00.0",
        product="Ethernet Controller X710 for 10GbE SFP+",
        product_id="1572",
        driver="i40e",
        numa_node=1,
        virtual_functions=64,
        virtual_functions_made=3,
        ports=(NetworkPort(name="ens1f0", mac_address="3c:fd:fe:00:00:01", link=True, speed_mbps=10000),),
    )
    assert virtual == NetworkDevice(driver="virtio_net", numa_node=0, pci_address="0000:00:03.0")
    assert taken == NetworkDevice(driver="vfio-pci", pci_address="0000:5e:00.0")
    assert usb == NetworkDevice(driver="ax88179_178a", usb_address="2:7", ports=(NetworkPort(name="enx1"),))
    assert virtual_function_names(RESOURCES) == {"ens1f0v0", "ens1f0v1"}


def test_gpus_report_model_and_address() -> None:
    screen, nvidia = gpus(RESOURCES)
    assert nvidia == Gpu(
        pci_address="0000:86:00.0",
        vendor="NVIDIA Corporation",
        vendor_id="10de",
        product="GA102GL [A40]",
        product_id="2235",
        driver="nvidia",
        numa_node=1,
        virtual_functions=32,
    )
    assert (screen.vendor, screen.product, screen.numa_node) == ("ASPEED", "", None)


def test_hardware_is_sorted() -> None:
    reverse = {kind: {"cards": listed["cards"][::-1]} for kind, listed in RESOURCES.items()}
    assert (network_devices(reverse), gpus(reverse)) == (network_devices(RESOURCES), gpus(RESOURCES))


KEYS = (
    "id",
    "address",
    "pci_address",
    "numa_node",
    "vendor",
    "link_speed",
    "maximum_vfs",
    "current_vfs",
    "link_detected",
)
leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
anything = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from((*KEYS, "network", "gpu", "cards", "ports", "sriov", "vfs")), inner, max_size=6
        )
    ),
    max_leaves=20,
)
devices = st.fixed_dictionaries({}, optional={**dict.fromkeys(KEYS, leaves), "ports": anything, "sriov": anything})
resources = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("network", "gpu"), anything | st.fixed_dictionaries({"cards": st.lists(devices)}))
)


@pytest.mark.slow
@given(resources)
def test_any_resources_can_be_parsed_and_sent(listed: dict[str, Any]) -> None:
    found = network_devices(listed)
    virtual_function_names(listed)
    assert [from_dict(json.loads(json.dumps(to_dict(device))), NetworkDevice) for device in found] == list(found)
    assert [from_dict(json.loads(json.dumps(to_dict(gpu))), Gpu) for gpu in gpus(listed)] == list(gpus(listed))
