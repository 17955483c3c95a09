"""The programs of the how-to pages run as they are shown, but for the address of the region."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.clients.environment import CHECKOUT, program, run
from tests.clients.go_programs import built, key_of
from tests.deployment.deployment import Deployment
from tests.support.waiting import eventually

EXAMPLES = CHECKOUT / "docs/examples"


def with_address(example: str, innkeeper: Deployment, folder: Path) -> Path:
    """Returns a copy of the example for this region."""
    text = (EXAMPLES / example).read_text()
    copy = folder / Path(example).name
    copy.write_text(text.replace("http://127.0.0.1:5240/MAAS", innkeeper.api.url.removesuffix("/api/2.0/")))
    return copy


async def test_the_python_program_runs(innkeeper: Deployment, tmp_path: Path) -> None:
    await innkeeper.add_simulated(host_name="farm-python")
    example = with_address("python/machine.py", innkeeper, tmp_path)
    printed = await run(program("python"), str(example), HOME=str(tmp_path), INNKEEPER_KEY=key_of(innkeeper))
    assert printed.splitlines() == ["python-web READY", "python-web on [8000000000]"]
    assert await innkeeper.get("machines/") == []
    assert "python-web" not in [tag["name"] for tag in await innkeeper.get("tags/")]


async def test_the_go_program_runs(innkeeper: Deployment, tmp_path: Path) -> None:
    await innkeeper.add_simulated()
    example = with_address("go/main.go", innkeeper, tmp_path)
    executable = await built(example, tmp_path / "machine")
    printed = await run(executable, HOME=str(tmp_path), INNKEEPER_KEY=key_of(innkeeper))
    assert printed.endswith(" Allocated 2 2048\n")

    async def is_deleted() -> bool:
        return bool(await innkeeper.get("machines/") == [])

    await eventually(is_deleted)


async def test_the_curl_program_runs(innkeeper: Deployment, tmp_path: Path) -> None:
    if shutil.which("jq") is None or shutil.which("curl") is None:
        pytest.skip("requires curl and jq: ./dev test installs them")
    await innkeeper.add_simulated(host_name="farm-curl")
    example = with_address("curl/machine.sh", innkeeper, tmp_path)
    printed = await run("sh", str(example), HOME=str(tmp_path), INNKEEPER_KEY=key_of(innkeeper))
    assert printed.splitlines() == ["curl-web Ready", "on"]
    assert await innkeeper.get("machines/") == []
