"""Real QEMU with a TPM, whose state goes with its guest."""

from __future__ import annotations

import asyncio
from pathlib import Path

import libvirt_qemu
import pytest
from attrs import evolve

from common.guests.guest_spec import GuestSpec
from common.values import PowerAction, PowerState
from tests.contract.support.libvirt_fixtures import QemuFixture
from tests.lab.servers.needs import require, why_no_tpm
from tests.lab.support.libvirt_specs import small_spec

TPM_STATE = Path("/var/lib/libvirt/swtpm")


@pytest.fixture
def spec(qemu: QemuFixture) -> GuestSpec:
    require(why_no_tpm())
    return small_spec(qemu, "trusted")


@pytest.mark.parametrize("secure_boot", [False, True])
async def test_a_guest_with_a_tpm_starts_and_leaves_nothing_of_it(
    qemu: QemuFixture, spec: GuestSpec, secure_boot: bool
) -> None:
    spec = evolve(spec, tpm=True, secure_boot=secure_boot)
    guest = await asyncio.to_thread(qemu.driver.compose, spec)
    assert (guest.tpm, guest.secure_boot) == (True, secure_boot)
    assert await asyncio.to_thread(qemu.driver.power, spec.ref, PowerAction.ON, grace_s=0.1) is PowerState.ON
    domain = qemu.administrator.lookupByName(spec.name)
    present = libvirt_qemu.qemuMonitorCommand(domain, "info tpm", libvirt_qemu.VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP)
    assert "type=emulator" in present
    state = TPM_STATE / domain.UUIDString()
    assert [one.name for one in state.rglob("*permall*")] == ["tpm2-00.permall"]
    await asyncio.to_thread(qemu.driver.power, spec.ref, PowerAction.FORCE_OFF, grace_s=0.1)
    await asyncio.to_thread(qemu.driver.undeploy, spec)
    assert await asyncio.to_thread(qemu.driver.power, spec.ref, PowerAction.ON, grace_s=0.1) is PowerState.ON
    await asyncio.to_thread(qemu.driver.decompose, spec.ref, tuple((one.pool_id, one.volume) for one in spec.disks))
    assert not state.exists()
