"""Areas of tests: which tests run together, where they are, and what they need of the machine.

Every test belongs to exactly one area. `postgresql-15` repeats tests of the region on another server,
`least-privilege` with a role that does not own the tables, and `properties` those with Hypothesis with more examples.
"""

from __future__ import annotations

import os
from collections.abc import Set
from enum import StrEnum

from attrs import frozen

FIRST = "first"
POSTGRESQL = "postgresql-15"
LEAST_PRIVILEGE = "least-privilege"
PROPERTIES = "properties"
NEEDS_OWNER = "needs_owner"  # the marker of tests that change the schema with the region's role
# The markers of the tests that these repeat; Hypothesis sets its own.
_REPEATED = {POSTGRESQL: "database", LEAST_PRIVILEGE: "database", PROPERTIES: "hypothesis"}


class Need(StrEnum):
    """What an area's tests use of the machine; they are skipped, with the reason, where it is missing."""

    LXD = "LXD"
    INCUS = "Incus"
    LIBVIRT = "libvirt"
    IMAGES = "images"  # of guests that boot
    DISKS = "disks"  # large ones


@frozen(kw_only=True)
class Area:
    """`paths` are relative to the checkout; pytest collects only these. `workers`: 0 runs the tests in one process.

    `options` are pytest's.
    """

    name: str
    title: str
    paths: tuple[str, ...]
    workers: int = 0
    needs: Set[Need] = frozenset()
    options: tuple[str, ...] = ()


# While a test waits for its daemons, another one has the core. Each worker has a PostgreSQL of its own.
WORKERS = min(len(os.sched_getaffinity(0)) + 2, 8)
_OF_PACKAGES = {"test_containers.py", "test_debian_packages.py"}  # in tests/pages
_EVERYDAY = ("tests/unit", "tests/integration", "tests/contract", "tests/golden", "tests/budgets")

FIRST_TIER = Area(
    name=FIRST,
    title="what every change has to pass",
    paths=(*_EVERYDAY, "tests/browser", "tests/faults/schedules", "tests/pages/test_page_blocks.py"),
    workers=WORKERS,
    needs={Need.LXD, Need.INCUS},
)
DEEP = (
    Area(name="slow", title="tests of the region that take long", paths=_EVERYDAY, workers=WORKERS),
    Area(name="browser", title="every web page in Chromium", paths=("tests/browser",), workers=WORKERS),
    Area(name="clients", title="clients of MAAS against a region with simulated hosts", paths=("tests/clients",)),
    Area(
        name="faults",
        title="killed processes, full disks, a slice of the crash matrix",
        paths=("tests/faults", "tests/browser", "tests/unit", "tests/integration"),
        needs={Need.LXD, Need.LIBVIRT},
    ),
    Area(
        name="network",
        title="faults of the network between region, database, rack and host",
        paths=("tests/faults/network",),
        workers=WORKERS,  # each with processes and namespaces of its own, which wait for deadlines
        needs={Need.LIBVIRT},
    ),
    Area(
        name="lxd",
        title="LXD servers and clusters",
        paths=("tests/lab", "tests/contract", "tests/browser"),
        needs={Need.LXD},
    ),
    Area(
        name="incus",
        title="servers and clusters of Incus 6.0 and 7.0",
        paths=("tests/lab", "tests/contract", "tests/faults"),
        needs={Need.INCUS},
    ),
    Area(
        name="libvirt",
        title="libvirt with QEMU, also over SSH",
        paths=("tests/lab", "tests/contract", "tests/browser", "tests/unit"),
        needs={Need.LIBVIRT},
    ),
    Area(
        name="boots",
        title="guests that boot, on LXD and libvirt",
        paths=("tests/lab",),
        needs={Need.LXD, Need.LIBVIRT, Need.IMAGES},
    ),
    Area(
        name="systemd",
        title="the Debian packages on a guest with systemd, by the installation guide",
        paths=("tests/systemd",),
        needs={Need.DISKS, Need.IMAGES},
    ),
    Area(
        name="pages",
        title="every command of every page, ./dev run, and the documentation site",
        paths=("tests/pages", "tests/integration/installation/test_dev_run.py"),
        needs={Need.LXD, Need.LIBVIRT},
    ),
    Area(
        name="packages",
        title="the Debian packages of both releases, in a chroot, and containers of them",
        paths=tuple(f"tests/pages/{name}" for name in sorted(_OF_PACKAGES)),
    ),
    Area(
        name=POSTGRESQL,
        title="tests marked `database` on Debian's PostgreSQL",
        paths=("tests/integration",),
        workers=WORKERS,
    ),
    Area(
        name=LEAST_PRIVILEGE,
        title="tests marked `database` with a role that does not own the tables",
        paths=("tests/integration",),
        workers=WORKERS,
    ),
    Area(
        name=PROPERTIES,
        title="properties with twenty times the examples",
        paths=("tests/unit", "tests/integration"),
        workers=WORKERS,
        options=("--hypothesis-profile=deep",),
    ),
)
AREAS = {area.name: area for area in (FIRST_TIER, *DEEP)}

_BOOTS = {
    "test_clients_lxd.py", "test_clone_libvirt.py", "test_deployed_vm_hosts.py", "test_deployment_libvirt.py",
    "test_deployment_lxd.py", "test_libvirt_size_in_guest.py", "test_lxd_disks_in_guest.py",
    "test_lxd_nics_in_guest.py", "test_lxd_usage.py",
}  # fmt: skip
_IN_FIRST_TIER = {"test_incus_slice.py"}  # of tests with the marker `lab`
_LXD_WITHOUT_ITS_NAME = {"test_packet_capture.py"}
# Contracts of hardware, images and screens, which wait for a real LXD or its guests: the first tier has them on the
# doubles, and on LXD those of composition, power, deletion, ownership, adoption and volumes.
_LXD_ALONE = {
    "test_autostart_contract.py", "test_boot_disk_contract.py", "test_boot_order_contract.py",
    "test_clone_contract.py", "test_console_beside_screen.py", "test_console_contract.py",
    "test_deployment_contract.py", "test_disk_changes_contract.py", "test_disk_content_contract.py",
    "test_disk_growth_contract.py", "test_disk_moves_contract.py", "test_nic_changes_contract.py",
    "test_placed_resize_contract.py", "test_resize_contract.py", "test_screen_contract.py",
    "test_start_order_contract.py", "test_usage_contract.py",
}  # fmt: skip
# The host of a contract test is one of its parameters; the first match decides.
_AREA_OF_HOST = {
    "incus-6": "incus", "incus-7": "incus", "incus-6-cluster": "incus", "incus-7-cluster": "incus",
    "lxd-cluster": "lxd", "lxd": FIRST, "libvirt-qemu": "libvirt",
}  # fmt: skip


def _area_of_host(parameters: str) -> str | None:
    return next((area for host, area in _AREA_OF_HOST.items() if f"-{host}-" in f"-{parameters}-"), None)


def repeats(area: str, found: str, markers: Set[str]) -> bool | None:
    """Whether the area repeats a test of the area `found`; None if it repeats none of others."""
    if area not in _REPEATED:
        return None
    left_out = area == LEAST_PRIVILEGE and NEEDS_OWNER in markers
    return found in {FIRST, "slow"} and _REPEATED[area] in markers and not left_out


def area_of(path: str, markers: Set[str], parameters: str) -> str:
    """Returns the area of a test by its file (`tests/lab/lxd/test_lxd.py`), markers and parameters (`lxd-cluster`)."""
    if "lab" in markers and _area_of_host(parameters) == "incus":
        return "incus"
    return _area_by_folder(path, markers, parameters)


def _area_by_folder(path: str, markers: Set[str], parameters: str) -> str:
    _, folder, *inner, name = path.split("/")
    match folder:
        case "clients" | "systemd":
            return folder
        case "faults":
            return {"schedules": FIRST, "network": "network"}.get("/".join(inner), "faults")
        case "pages" if "lab" in markers:
            return "packages" if name in _OF_PACKAGES else "pages"
        case "lab" if name in _BOOTS:
            return "boots"
        case "lab":
            products = [product for product in ("incus", "lxd") if product in name]
            return next(iter(products), "lxd" if name in _LXD_WITHOUT_ITS_NAME else "libvirt")
    return _area_by_markers(folder, name, markers, parameters)


def _area_by_markers(folder: str, name: str, markers: Set[str], parameters: str) -> str:
    if "fault" in markers:
        return "faults"
    if name == "test_dev_run.py":
        return "pages"
    if "slow" in markers:
        return "slow"
    if "lab" in markers and name in _IN_FIRST_TIER:
        return FIRST
    if "lab" in markers:
        area = _area_of_host(parameters) or ("lxd" if "lxd" in name else "libvirt")
        return "lxd" if area == FIRST and name in _LXD_ALONE else area
    return "browser" if folder == "browser" and "first_tier" not in markers else FIRST
