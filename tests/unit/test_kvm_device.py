"""The device for KVM is given to QEMU's group where nobody has set it up."""

from __future__ import annotations

import grp
import os
from pathlib import Path

import pytest

from development.kvm_device import open_to_qemu

OURS = grp.getgrgid(os.getgid()).gr_name


@pytest.fixture
def device(tmp_path: Path) -> Path:
    path = tmp_path / "kvm"
    path.touch()
    path.chmod(0o600)
    return path


def mode_of(device: Path) -> int:
    return device.stat().st_mode & 0o777


def test_the_kernels_own_mode_becomes_that_of_udev(device: Path) -> None:
    assert open_to_qemu(device, OURS)
    assert mode_of(device) == 0o660
    assert not open_to_qemu(device, OURS)


def test_what_somebody_has_set_stays(device: Path) -> None:
    device.chmod(0o640)
    assert not open_to_qemu(device, OURS)
    assert mode_of(device) == 0o640


def test_a_machine_without_the_device_or_the_group_is_left_as_it_is(device: Path) -> None:
    assert not open_to_qemu(device.with_name("none"), OURS)
    assert not open_to_qemu(device, "no-such-group")
    assert mode_of(device) == 0o600
