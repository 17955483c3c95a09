"""UEFI, Secure Boot and a TPM: asked for at compose, reported by the host, and shown."""

from __future__ import annotations

from typing import Any

import pytest

from tests.deployment.deployment import Deployment
from tests.integration.support.adoption import refresh, rows
from tests.integration.support.images import add_image


async def composed(innkeeper: Deployment, **fields: Any) -> Any:
    host = await innkeeper.add_simulated()
    machine = await innkeeper.compose(host["id"], hostname="web", **fields)
    return await innkeeper.get(f"machines/{machine['system_id']}/")


async def test_a_machine_is_composed_with_them(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper, secure_boot="true", tpm="true")
    assert (machine["uefi"], machine["secure_boot"], machine["tpm"]) == (True, True, True)
    assert rows(innkeeper, "select secure_boot, tpm from firmware") == [(1, 1)]
    await refresh(innkeeper, machine["pod"])
    found = await innkeeper.get(f"machines/{machine['system_id']}/")
    assert (found["secure_boot"], found["tpm"]) == (True, True)


@pytest.mark.slow
async def test_a_machine_has_uefi_also_after_a_release(innkeeper: Deployment) -> None:
    await add_image(innkeeper)
    machine = await composed(innkeeper, uefi="true")
    path = f"machines/{machine['system_id']}/"
    for op in (None, "deploy", "release"):
        if op is not None:
            assert await innkeeper.ended(await innkeeper.begin(path, op=op)) == "succeeded"
        found = await innkeeper.get(path)
        assert (found["uefi"], found["secure_boot"]) == (True, False)


async def test_a_machine_has_neither_unless_asked(innkeeper: Deployment) -> None:
    machine = await composed(innkeeper)
    assert (machine["uefi"], machine["secure_boot"], machine["tpm"]) == (False, False, False)


@pytest.mark.slow
async def test_a_deployment_and_a_release_keep_them(innkeeper: Deployment) -> None:
    await add_image(innkeeper)
    machine = await composed(innkeeper, secure_boot="true")
    path = f"machines/{machine['system_id']}/"
    await innkeeper.post("machines/", op="allocate", name="web")
    for op in ("deploy", "release"):
        assert await innkeeper.ended(await innkeeper.begin(path, op=op)) == "succeeded"
        found = await innkeeper.get(path)
        assert (found["secure_boot"], found["tpm"]) == (True, False)
