from __future__ import annotations

from typing import Any

import pytest

from rackd.drivers.libvirt.connection.host_reader import NodeStats
from rackd.drivers.libvirt.inventory import usage as libvirt_usage
from rackd.drivers.lxd.inventory import usage as lxd_usage
from rackd.drivers.usage_counters import GuestCounters, HostCounters

KIB, MIB = 1024, 1024**2
LABELS = 'name="web",project="default",type="virtual-machine"'


def libvirt_guest(**stats: Any) -> GuestCounters:
    return libvirt_usage.guest_counters("web", {name.replace("__", "."): value for name, value in stats.items()})


def lxd(*lines: str) -> HostCounters:
    return lxd_usage.counters_of("\n".join(lines), calls=1)


def test_virtual_cores_count_without_the_emulator() -> None:
    found = libvirt_guest(vcpu__current=2, vcpu__0__time=3, vcpu__1__time=4, cpu__time=100)
    assert (found.cores, found.cpu_ns) == (2, 7)


def test_without_times_of_all_cores_the_process_counts() -> None:
    assert libvirt_guest(vcpu__current=2, vcpu__0__time=3, cpu__time=100).cpu_ns == 100
    assert libvirt_guest(vcpu__current=1, vcpu__0__time=0, cpu__time=100).cpu_ns == 0
    assert libvirt_guest(vcpu__current=1).cpu_ns is None


def test_unplugged_cores_leave_a_gap_in_the_numbers() -> None:
    assert libvirt_guest(vcpu__current=2, vcpu__maximum=4, vcpu__0__time=1, vcpu__3__time=5).cpu_ns == 6


@pytest.mark.parametrize(
    ("stats", "used_kib"),
    [
        ({"balloon__available": 900, "balloon__usable": 600, "balloon__unused": 100, "balloon__rss": 950}, 300),
        ({"balloon__available": 900, "balloon__unused": 100, "balloon__rss": 950}, 800),
        ({"balloon__rss": 950}, 950),
        ({"balloon__rss": 1500}, 1000),  # QEMU itself needs memory, too
        ({}, None),
    ],
)
def test_memory_is_what_the_guest_reports_or_else_has(stats: dict[str, int], used_kib: int | None) -> None:
    found = libvirt_guest(balloon__current=1000, **stats)
    assert found.memory_bytes == 1000 * KIB
    assert found.memory_used_bytes == (None if used_kib is None else used_kib * KIB)
    assert found.memory_is_reported == ("balloon__available" in stats)


def test_devices_of_a_libvirt_guest_are_added() -> None:
    found = libvirt_guest(
        block__count=2, block__0__rd__bytes=1, block__1__rd__bytes=2, block__1__wr__bytes=5,
        net__count=2, net__0__rx__bytes=10, net__1__rx__bytes=20, net__1__tx__bytes=7,
    )  # fmt: skip
    assert (found.read_bytes, found.written_bytes, found.received_bytes, found.sent_bytes) == (3, 5, 30, 7)


def test_a_hanging_guest_has_no_counters() -> None:
    assert libvirt_guest(state__state=1) == GuestCounters(name="web")


def test_waiting_for_a_disk_is_not_busy() -> None:
    cpu = {"kernel": 5, "user": 7, "idle": 100, "iowait": 50}
    memory = {"total": 1000, "free": 300, "buffers": 50, "cached": 150}
    found = libvirt_usage.counters_of([], NodeStats(cores=8, cpu=cpu, memory=memory), calls=4)
    assert (found.cores, found.cpu_ns) == (8, 12)
    assert (found.memory_bytes, found.memory_used_bytes) == (1000 * KIB, 500 * KIB)


def test_a_node_without_statistics_is_unknown() -> None:
    found = libvirt_usage.counters_of([], NodeStats(cores=8, cpu={}, memory={}), calls=2)
    assert (found.cpu_ns, found.memory_bytes, found.memory_used_bytes) == (None, None, None)


def test_lxd_adds_the_modes_in_which_cores_are_busy() -> None:
    modes = {"user": 1.5, "system": 0.5, "idle": 99, "iowait": 99, "steal": 99}
    lines = [f'lxd_cpu_seconds_total{{cpu="0",mode="{mode}",{LABELS}}} {seconds}' for mode, seconds in modes.items()]
    (found,) = lxd(*lines).guests
    assert (found.project, found.name, found.cpu_ns) == ("default", "web", 2_000_000_000)


def test_lxd_does_not_count_a_byte_twice() -> None:
    disks = ("sda", "sda1", "nvme0n1", "nvme0n1p1", "dm-0", "loop3", "/machine/system.flash0")
    nics = ("enp5s0", "lo", "docker0", "veth12", "enp5s0.100", "br-lan")
    (found,) = lxd(
        *(f'lxd_disk_read_bytes_total{{device="{one}",{LABELS}}} 1' for one in disks),
        *(f'lxd_network_receive_bytes_total{{device="{one}",{LABELS}}} 1' for one in nics),
    ).guests
    assert (found.read_bytes, found.received_bytes) == (3, 1)
    assert found.sent_bytes is None


def test_lxd_memory_is_the_total_without_the_available() -> None:
    (found,) = lxd(
        f"lxd_memory_MemTotal_bytes{{{LABELS}}} 1.34217728e+08",
        f"lxd_memory_MemAvailable_bytes{{{LABELS}}} 7.3993728e+07",
    ).guests
    assert (found.memory_bytes, found.memory_used_bytes) == (128 * MIB, 134217728 - 73993728)


def test_lxd_knows_the_space_of_guests_with_an_agent() -> None:
    def file_system(device: str, kind: str, size: int, free: int, usable: int) -> list[str]:
        labels = f'device="{device}",fstype="{kind}",mountpoint="/x",{LABELS}'
        numbers = {"size": size, "free": free, "avail": usable}
        return [f"lxd_filesystem_{name}_bytes{{{labels}}} {number}" for name, number in numbers.items()]

    memory = f"lxd_memory_MemTotal_bytes{{{LABELS}}} 100"
    (found,) = lxd(
        memory,
        *file_system("/dev/sda1", "ext4", 1000, 250, 200),
        *file_system("/dev/sdb", "xfs", 1000, 900, 900),
        *file_system("/dev/sr0", "iso9660", 1000, 0, 0),
        *file_system("tmpfs", "tmpfs", 1000, 1, 1),
        *file_system("/dev/sdc", "ext4", 0, 0, 0),
    ).guests
    assert found.space_share is not None
    assert round(found.space_share, 3) == round(750 / 950, 3)
    assert found.memory_is_reported
    (other,) = lxd(memory).guests
    assert (other.space_share, other.memory_is_reported) == (None, False)


def test_guests_of_two_projects_may_have_one_name() -> None:
    other = LABELS.replace("default", "other")
    found = lxd(f"lxd_cpu_effective_total{{{LABELS}}} 2", f"lxd_cpu_effective_total{{{other}}} 3").guests
    assert [(one.project, one.cores) for one in found] == [("default", 2), ("other", 3)]


def test_metrics_of_the_server_itself_are_ignored() -> None:
    found = lxd("# TYPE lxd_cpu_seconds_total counter", "lxd_go_goroutines 80", "garbage", "# EOF")
    assert found == HostCounters(calls=1)
