"""/dev/kvm gets the group and mode that udev would give it, unless it is configured."""

from __future__ import annotations

import grp
import os
from pathlib import Path

import pytest

from development.kvm_device import open_to_qemu

GROUP = grp.getgrgid(os.getgid()).gr_name


@pytest.fixture
def device(tmp_path: Path) -> Path:
    path = tmp_path / "kvm"
    path.touch()
    path.chmod(0o600)
    return path


def mode_of(device: Path) -> int:
    return device.stat().st_mode & 0o777


def test_the_default_mode_becomes_the_udev_mode(device: Path) -> None:
    assert open_to_qemu(device, GROUP)
    assert mode_of(device) == 0o660
    assert not open_to_qemu(device, GROUP)


def test_a_configured_device_is_not_changed(device: Path) -> None:
    device.chmod(0o640)
    assert not open_to_qemu(device, GROUP)
    assert mode_of(device) == 0o640


def test_nothing_changes_without_the_device_or_the_group(device: Path) -> None:
    assert not open_to_qemu(device.with_name("none"), GROUP)
    assert not open_to_qemu(device, "no-such-group")
    assert mode_of(device) == 0o600
