"""The `maas` command of MAAS: login by `describe/`, base64 parts, and what it checks of every answer."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

from tests.clients.calls import MAASCLI
from tests.clients.exact_bytes import Answer, Fields, MaasCommand
from tests.clients.go_programs import key_of
from tests.clients.recording_proxy import recording
from tests.deployment.deployment import Deployment
from tests.integration.support.images import add_image

ADDRESS = "simulated:cli?cores=8&networks=lan:10.1.0.0/24"


class Profile:
    """The commands of a profile: those that `describe/` names."""

    def __init__(self, client: MaasCommand, described: Any) -> None:
        self._client = client
        self._hash = described["hash"]
        self._handlers = {one["name"]: one["auth"] or one["anon"] for one in described["resources"]}

    async def run(self, handler: str, action: str, fields: Fields = (), **params: object) -> Any:
        """Raises AssertionError where the command would fail."""
        found = self._handlers[handler]
        (called,) = [one for one in found["actions"] if one["name"] == action]
        path = found["path"]
        assert set(found["params"]) == set(params)
        for name, value in params.items():
            path = path.replace(f"{{{name}}}", str(value))
        answer = await self._client.send(called["method"], path, called["op"], fields)
        assert 200 <= answer.status < 300, answer.body.decode()
        assert answer.headers["content-type"], "the command crashes without one"
        assert answer.headers["x-maas-api-hash"] == self._hash
        return json.loads(answer.body) if answer.headers["content-type"].startswith("application/json") else answer.body


async def logged_in(client: MaasCommand) -> Profile:
    who: Answer = await client.send("GET", "/MAAS/api/2.0/users/", "whoami")
    assert who.status == 200
    described = await client.send("GET", "/MAAS/api/2.0/describe/", None, signed=False)
    assert (described.status, described.headers["content-type"]) == (200, "application/json")
    return Profile(client, described.json)


async def test_the_maas_command_lives_a_machine(innkeeper: Deployment) -> None:
    await add_image(innkeeper, "ubuntu/noble")
    async with recording(innkeeper.api.url) as proxy:
        maas = await logged_in(MaasCommand.to(proxy.url, key_of(innkeeper)))
        assert (await maas.run("VersionHandler", "read"))["capabilities"]
        new = [("type", "simulated"), ("power_address", ADDRESS), ("name", "cli-host")]
        host = await maas.run("VmHostsHandler", "create", new)
        composed = await maas.run("VmHostHandler", "compose", [("cores", "1"), ("memory", "2048")], id=host["id"])
        system_id = composed["system_id"]
        await maas.run("TagsHandler", "create", [("name", "cli-tag")])
        changed = await maas.run("TagHandler", "update_nodes", [("add", system_id)], name="cli-tag")
        assert changed == {"added": 1, "removed": 0}
        listed = await maas.run("MachinesHandler", "read", [("tags", "cli-tag")])
        assert [one["system_id"] for one in listed] == [system_id]
        await maas.run("MachinesHandler", "allocate", [("system_id", system_id)])
        user_data = b64encode(b"#cloud-config\n{}\n").decode()
        await maas.run("MachineHandler", "deploy", [("user_data", user_data)], system_id=system_id)
        await maas.run("MachineHandler", "release", (), system_id=system_id)
        await maas.run("FilesHandler", "create", [("filename", "state"), ("@file", "kept")])
        assert await maas.run("FilesHandler", "get", [("filename", "state")]) == b"kept"
        await maas.run("FileHandler", "delete", filename="state")
        assert await maas.run("MachineHandler", "delete", system_id=system_id) == b""
        assert await maas.run("VmHostHandler", "delete", [("decompose", "true")], id=host["id"]) == b""
        assert await maas.run("VmHostsHandler", "read") == []
    MAASCLI.check(proxy.calls)
