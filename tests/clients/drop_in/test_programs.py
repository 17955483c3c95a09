"""Clients of MAAS work through the drop-in address: gomaasapi and python-libmaas themselves, others by their bytes."""

from __future__ import annotations

import json
import os
import stat
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.clients.drop_in.metal import METAL
from tests.clients.drop_in.proxies import EXAMPLES, Program, Sides, drop_in
from tests.clients.drop_in.recorded_maas import BY_MAAS
from tests.clients.drop_in.site import ALLOCATED_BY_EITHER, KEPT, UNLISTED, site
from tests.clients.environment import CHECKOUT, program, run
from tests.clients.exact_bytes import Ansible, Gomaasclient
from tests.clients.go_programs import PROGRAMS, built
from tests.deployment.deployment import Deployment
from tests.support.waiting import eventually

BOTH = pytest.mark.parametrize("proxy", list(Program))
# What the page says to change: `describe/` of Innkeeper, and its hash.
DESCRIBED_BY_INNKEEPER = {
    Program.NGINX: {
        "(vm-hosts|pods|": "(describe|vm-hosts|pods|",
        "    maas $upstream_http_x_maas_api_hash;": "    innkeeper $upstream_http_x_maas_api_hash;",
    },
    Program.HAPROXY: {"(vm-hosts|pods|": "(describe|vm-hosts|pods|", "{ be_name maas }": "{ be_name innkeeper }"},
}
# All allocations that name no machine of MAAS's are Innkeeper's.
ALLOCATED_BY_INNKEEPER = {
    Program.NGINX: {},
    Program.HAPROXY: {"-m str allocate } names_host": "-m str allocate } !has_id"},
}


@BOTH
async def test_terraform_follows_the_link_of_a_composed_machine(
    innkeeper: Deployment, tmp_path: Path, proxy: Program
) -> None:
    async with site(innkeeper, proxy, tmp_path) as made:
        terraform = Gomaasclient.to(made.address.url, made.key)
        composed = await terraform.post(f"vm-hosts/{made.host_id}/", "compose", [("hostname", "tf"), ("cores", "1")])
        uri = str(composed.json["resource_uri"]).removeprefix("/MAAS/api/2.0/")
        assert (await terraform.get(uri)).json["hostname"] == "tf"
        assert (await terraform.put(uri, [("description", "of Terraform")])).json["description"] == "of Terraform"
        system_id = composed.json["system_id"]
        nodes = await terraform.get(f"nodes/{system_id}/interfaces/")
        taken = await terraform.post("machines/", "allocate", [("system_id", system_id)])
        deployed = await terraform.post(uri, "deploy", [("distro_series", "noble")])

        async def is_deployed() -> bool:
            return bool((await terraform.get(uri)).json["status_name"] == "Deployed")

        await eventually(is_deployed)
        freed = await terraform.post("machines/", "release", [("machines", system_id)])
        assert [one.status for one in (nodes, taken, deployed, freed)] == [200] * 4
        assert freed.json == [system_id]

        async def is_ready() -> bool:
            return bool((await terraform.get(uri)).json["status_name"] == "Ready")

        await eventually(is_ready)
        assert (await terraform.delete(uri)).status == 204
        assert (await terraform.get(uri)).status == 404
        assert (await terraform.get(f"machines/{METAL}/")).json["hostname"] == "metal"
    assert not [one for one in made.maas.requests if system_id in one.target]


@BOTH
async def test_ansible_reads_hosts_and_the_machines_of_maas(
    innkeeper: Deployment, tmp_path: Path, proxy: Program
) -> None:
    async with site(innkeeper, proxy, tmp_path) as made:
        ansible = Ansible.to(made.address.url, made.key)
        assert [one["name"] for one in (await ansible.get("vm-hosts/")).json] == ["farm"]
        composed = await ansible.post(f"vm-hosts/{made.host_id}/", [("hostname", "play"), ("cores", "1")], "compose")
        one = await ansible.get(f"machines/{composed.json['system_id']}/")
        assert (one.json["hostname"], BY_MAAS in one.headers) == ("play", False)
        assert [one["hostname"] for one in (await ansible.get("machines/")).json] == ["metal"], "the page says so"
        taken = await ansible.post("machines/", [("pod", "farm"), ("cpu_count", "1")], "allocate")
        assert (taken.status, BY_MAAS in taken.headers) == (200, False)
        freed = await ansible.post(f"machines/{taken.json['system_id']}/", (), "release")
        assert freed.status == 200


@BOTH
async def test_gomaasapi_allocates_and_releases(innkeeper: Deployment, tmp_path: Path, proxy: Program) -> None:
    async with site(innkeeper, proxy, tmp_path, changes=ALLOCATED_BY_INNKEEPER[proxy]) as made:
        source = tmp_path / "main.go"
        example = (CHECKOUT / "docs/examples/go/main.go").read_text()
        source.write_text(example.replace("http://127.0.0.1:5240/MAAS", made.address.url))
        executable = await built(source, tmp_path / "machine")
        made.region.calls.clear()
        assert (await run(executable, HOME=str(tmp_path), INNKEEPER_KEY=made.key)).endswith(" Allocated 2 2048\n")
        assert {"POST machines/?op=allocate", "POST machines/{system_id}/?op=set_owner_data"} < set(made.region.calls)
        assert made.region.calls[-1] == "POST machines/?op=release"
        assert "/MAAS/api/2.0/users/?op=whoami" in [one.target for one in made.maas.requests]


@BOTH
async def test_libmaas_sees_machines_of_both(innkeeper: Deployment, tmp_path: Path, proxy: Program) -> None:
    changes = {**DESCRIBED_BY_INNKEEPER[proxy], **ALLOCATED_BY_EITHER[proxy]}
    async with site(innkeeper, proxy, tmp_path, changes=changes, merged=True) as made:
        output = await run(
            program("python"), str(PROGRAMS / "libmaas_drop_in.py"), f"{made.address.url}/", made.key, KEPT, METAL,
            HOME=str(tmp_path),
        )  # fmt: skip
    assert json.loads(output) == {
        "user": "admin", "pods": ["farm"], "composed": ["libby", "READY"], "kept": "kept", "metal": "metal",
        "list": ["kept", "libby", "metal", "own", "unlisted"], "allocated": "ALLOCATED", "released": "READY",
        "metal's life": ["ALLOCATED", "DEPLOYED", "READY"],
    }  # fmt: skip


@BOTH
async def test_the_list_of_ids_grows_and_never_shrinks(innkeeper: Deployment, tmp_path: Path, proxy: Program) -> None:
    async with site(innkeeper, proxy, tmp_path) as made:
        folder = tmp_path / "list"
        folder.mkdir()
        (folder / "innkeeper-ids.lst").write_text("abcdef\n")  # of a machine that was deleted
        own = tmp_path / "bin"
        own.mkdir()
        command = own / "innkeeper"
        command.write_text(f'#!/bin/sh\nexec {sys.executable} -P -m innkeeper "$@"\n')
        command.chmod(command.stat().st_mode | stat.S_IXUSR)

        async def command_of(*argv: str) -> str:
            found_first, config = f"{own}:{os.environ['PATH']}", str(tmp_path / "config")
            return await run(*argv, XDG_CONFIG_HOME=config, PATH=found_first, PYTHONPATH=str(CHECKOUT))

        key = tmp_path / "key"
        key.write_text(made.key)
        url = innkeeper.api.url.removesuffix("/api/2.0/")
        await command_of("sh", "-c", f'innkeeper login lab {url} - <"{key}"')

        async def listed() -> str:
            return await command_of(str(EXAMPLES / "innkeeper-ids"), str(folder), "echo", "reloaded")

        assert (await listed(), await listed()) == ("reloaded\n", "")
        ids = (folder / "innkeeper-ids.lst").read_text().splitlines()
        assert ids == ["abcdef", UNLISTED, KEPT], "and not those that show by themselves that they are Innkeeper's"
        assert (folder / "innkeeper-ids.map").read_text() == "".join(f"{one} innkeeper;\n" for one in ids)
        sides = Sides(innkeeper=int(urlsplit(made.region.url).port or 0), maas=made.maas.port, ids=ids)
        async with drop_in(proxy, tmp_path / "again", sides) as address:
            client = Gomaasclient.to(address.url, made.key)
            assert (await client.get(f"machines/{UNLISTED}/")).json["hostname"] == "unlisted"
