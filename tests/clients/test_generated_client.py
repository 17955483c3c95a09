"""A client that a known generator makes from the OpenAPI description composes a VM."""

from __future__ import annotations

import json
from pathlib import Path

from tests.clients.environment import program, run
from tests.deployment.deployment import Deployment
from tests.support.administrators import API_KEY_FILE

PROGRAM = Path(__file__).with_name("programs") / "generated_client.py"


async def test_a_client_generated_from_openapi_composes_a_vm(tmp_path: Path, innkeeper: Deployment) -> None:
    generator = program("openapi-python-client")
    host = await innkeeper.add_simulated("farm")
    description = tmp_path / "openapi.json"
    description.write_text(json.dumps(await innkeeper.get("openapi.json")))
    printed = await run(
        generator, "generate", "--path", str(description), "--output-path", str(tmp_path / "innkeeper_client"),
        "--meta", "none", HOME=str(tmp_path),
    )  # fmt: skip
    assert "will not be generated" not in printed
    url, key = (
        innkeeper.api.url.removesuffix("/MAAS/api/2.0/"),
        (innkeeper.in_process.settings.state / API_KEY_FILE).read_text().strip(),
    )
    made = await run(program("python"), str(PROGRAM), url, key, str(host["id"]), PYTHONPATH=str(tmp_path))
    assert made.startswith("composed ")
    assert await innkeeper.get("machines/") == []
