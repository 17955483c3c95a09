"""Machines composed by constraints on simulated hosts: placed, claimed, made, told, and given back."""

from __future__ import annotations

import asyncio
import re
import shlex
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from common.errors import InnkeeperError, InvalidRequest
from regiond.machines.model import ComposeRequest
from regiond.operations.model import Operation
from tests.installation import Installation, installed

TWO_NODES: dict[str, Any] = {
    "cores": 16, "memory_mib": 65536, "numa_nodes": 2, "threads_per_core": 2, "hugepages_mib": 16384,
    "hugepage_size_mib": 1024, "virtual_functions": "2x4", "pools": "default:500,fast:100",
    "networks": "lan:10.1.0.0/24,dmz:10.2.0.0/24:100",
}  # fmt: skip
WHOLE: dict[str, Any] = {
    "memory": 4096,
    "pin_cores": 3,
    "hugepages_backed": "true",
    "one_numa_node": "true",
    "storage": "root:8,data:20(fast)",
    "interfaces": "eth0:subnet=10.1.0.0/24,ip=10.1.0.20;1:vid=100,type=physical;mgmt:name=dmz,mode=unconfigured",
}


async def test_a_machine_gets_all_that_it_asks_for_and_gives_it_back(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as made:
        await made.start_rack()
        host = await made.add_simulated(**TWO_NODES)
        before = await made.get(f"vm-hosts/{host['id']}/", op="numa")
        composed = await made.compose(host["id"], **WHOLE)
        (operation, *_) = await made.get(f"operations/?system_id={composed['system_id']}")
        told = operation["explanation"]
        assert [disk["storage_pool"] for disk in told["disks"]] == ["default", "fast"]
        assert [(nic["label"], nic["kind"], nic["interface"], nic["ip"]) for nic in told["nics"]] == [
            ("eth0", "network", "lan", "10.1.0.20"),
            ("1", "sriov", "sim1", None),
            ("mgmt", "network", "dmz", None),
        ]
        assert told["pinned_cores"] == [0, 1, 2]
        assert told["huge_pages"] == [{"node": 0, "page_size": 1024**3, "pages": 4}]
        (guest,) = await made.get("virtual-machines/")
        assert (guest["pinned_cores"], guest["hugepages_backed"]) == ([0, 1, 2], True)
        (node, _) = await made.get(f"vm-hosts/{host['id']}/", op="numa")
        assert node["cores"]["used_by_ours"] == [0, 1, 2]
        assert node["memory"]["hugepages"][0]["used_by_ours"] == 4
        assert (await made.get(f"vm-hosts/{host['id']}/"))["used"]["cores"] == 3
        assert (await made.delete(f"machines/{composed['system_id']}/")).status == 204
        assert await made.get(f"vm-hosts/{host['id']}/", op="numa") == before
        await made.compose(host["id"], **WHOLE)


async def test_an_address_is_one_machines_whoever_asks_at_once(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as made:
        await made.start_rack()
        host = await made.add_simulated(**TWO_NODES)

        async def one(text: str) -> str:
            try:
                await made.compose(host["id"], interfaces=text, memory=1024, storage="1")
            except InvalidRequest as error:
                return f"400: {error.fields['interfaces'][0]}"
            except InnkeeperError as error:
                return f"{error.details['status']}: {error.message}"
            return "made"

        answers = await asyncio.gather(*(one("eth0:ip=10.1.0.30") for _ in range(6)))
        (machine,) = await made.get("machines/")
        refusal = f"10.1.0.30 is machine {machine['hostname']}'s."
        assert answers.count("made") == len(made.simulated_guests()) == 1
        assert {*answers} <= {"made", f"400: {refusal}", f"409: {refusal}"}
        assert await one("eth0:ip=10.1.0.30") == f"400: {refusal}"


async def test_whoever_asks_for_cores_at_once_gets_them_as_long_as_there_are_some(
    tmp_path: Path, database_url: str
) -> None:
    async with installed(tmp_path, database_url) as made:
        await made.start_rack()
        host = await made.add_simulated(**TWO_NODES)

        async def one() -> str:
            try:
                await made.compose(host["id"], pin_cores=1, memory=1024, storage="1")
            except InnkeeperError as error:
                return error.message
            return "made"

        answers = Counter(await asyncio.gather(*(one() for _ in range(20))))
        nodes = await made.get(f"vm-hosts/{host['id']}/", op="numa")
        assert sorted(core for node in nodes for core in node["cores"]["used_by_ours"]) == list(range(16))
        assert answers.pop("made") == 16
        assert sum(answers.values()) == 4
        lack = "pinned cores: 1 on one node asked, 0 of 8 free on node 0, 0 of 8 on node 1"
        assert all(lack in answer for answer in answers)


NEVER: list[tuple[dict[str, Any], str, str]] = [
    ({"interfaces": "eth0:space=nowhere"}, "interfaces", "eth0: space=nowhere: there is no space nowhere."),
    ({"interfaces": "eth0:fabric=class:10g"}, "interfaces", "there is no fabric of the class 10g."),
    ({"interfaces": "eth0:not_vlan=id:99"}, "interfaces", "there is no VLAN with the id 99."),
    ({"interfaces": "eth0:vid=7"}, "interfaces", "there is no VLAN with the VID 7."),
    ({"interfaces": "eth0:subnet=10.9.0.0/24"}, "interfaces", "there is no subnet 10.9.0.0/24."),
    ({"interfaces": "eth0:ip=10.9.0.1"}, "interfaces", "no subnet holds 10.9.0.1"),
    ({"interfaces": "eth0:ip=10.1.0.1"}, "interfaces", "10.1.0.1 is"),
    ({"pinned_cores": [3, 16]}, "pinned_cores", "sim has no core 16: it has 0-15."),
    ({"pin_cores": 9}, "pin_cores", "less than or equal to 8"),
    ({"hugepages_backed": "true", "hugepage_size": 2}, "hugepage_size", "sim has no pages of 2 MiB; there are: 1024."),
]  # fmt: skip


async def test_what_no_host_could_ever_give_is_refused_by_field_and_nothing_is_written(
    tmp_path: Path, database_url: str
) -> None:
    async with installed(tmp_path, database_url) as made:
        await made.start_rack()
        host = await made.add_simulated(**TWO_NODES)
        operations = await made.get("operations/")
        for asked, field, said in NEVER:
            with pytest.raises(InvalidRequest) as refused:
                await made.compose(host["id"], **asked)
            assert list(refused.value.fields) == [field], asked
            assert said in refused.value.fields[field][0]
        assert await made.get("operations/") == operations
        assert await made.get("machines/") == []


async def test_what_is_taken_is_refused_with_who_has_what_left(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url) as made:
        await made.start_rack()
        host = await made.add_simulated(**TWO_NODES)
        await made.compose(host["id"], pinned_cores=[2, 3], memory=1024)
        for asked, said in (
            ({"pinned_cores": [3, 4]}, "pinned cores: 3,4 asked, 3 is taken"),
            ({"pin_cores": 7, "one_numa_node": "true", "hugepages_backed": "true", "memory": 9 * 1024},
             "huge pages: 9 of 1 GiB on one node with 7 free cores asked, 8 of 8 free on node 1"),
            ({"interfaces": ";".join(f"{n}:name=sim0" for n in range(5))},
             "virtual functions: 5 asked for 0, 1, 2, 3, 4 (name sim0), 4 of 4 left on sim0"),
        ):  # fmt: skip
            with pytest.raises(InnkeeperError) as refused:
                await made.compose(host["id"], **asked)
            assert refused.value.details["status"] == 503
            assert said in refused.value.message


async def test_a_resource_pool_is_filled_in_its_own_way(tmp_path: Path, database_url: str) -> None:
    async with installed(tmp_path, database_url, placement_strategy="pack") as made:
        await made.start_rack()
        await made.post("resourcepools/", name="roomy", strategy="spread")
        await made.post("resourcepools/", name="any")
        await made.add_simulated("small", cores=4)
        await made.add_simulated("large", cores=16)
        assert (await composed_in(made, "roomy")).host_name == "large"
        assert (await composed_in(made, "any")).host_name == "small"
        await made.put("resourcepool/any/", strategy="spread")
        assert (await composed_in(made, "any")).host_name == "large"
        assert (await made.post("vm-hosts/", op="place"))["chosen"] == "small"


async def composed_in(made: Installation, pool: str) -> Operation:
    services = made.region.parts.services
    operation = await services.machines.start_compose(made.admin, ComposeRequest(pool=pool, memory_mib=1024))
    return await services.operations.wait(operation.id, timeout_s=30)


PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "constraints.md"


async def test_the_commands_of_the_page_about_constraints_do_what_it_says(tmp_path: Path, database_url: str) -> None:
    text = PAGE.read_text().replace("\\\n", " ")
    commands = [shlex.split(line, comments=True)[2:] for line in re.findall(r"^innkeeper admin .*", text, re.MULTILINE)]
    assert len(commands) > 10
    async with installed(tmp_path, database_url) as made:
        await made.start_rack()
        await made.post("zones/", name="east")
        await made.post("resourcepools/", name="lab")
        for command in commands:
            await typed(made, command)
        guests = await made.get("virtual-machines/")
        assert [len(guest["pinned_cores"]) for guest in guests] == [0, 0, 0, 2, 4, 0, 4]
        assert [guest["hugepages_backed"] for guest in guests] == [False] * 5 + [True] * 2
        assert (await made.get("resourcepool/lab/"))["strategy"] == "pack"


async def typed(made: Installation, command: list[str]) -> None:
    """What the command would send. After the first host its network `lan` is in the space `front`."""
    (noun, verb, *words) = command
    number = words.pop(0) if words and "=" not in words[0] else ""
    fields: dict[str, Any] = {}
    for word in words:
        name, _, value = word.partition("=")
        fields[name] = [*fields.get(name, []), value]
    path = {"vm-hosts": "vm-hosts/", "vm-host": f"vm-hosts/{number}/", "resource-pool": f"resourcepool/{number}/"}[noun]
    if verb == "create":
        await made.post(path, **fields)
        space = await made.post("spaces/", name="front")
        vlan = (await made.get("subnets/10.1.0.0%2F24/"))["vlan"]
        await made.put(f"fabrics/{vlan['fabric_id']}/vlans/{vlan['vid']}/", space=space["id"])
    elif verb == "update":
        await made.put(path, **fields)
    elif verb == "numa":
        await made.get(path, op=verb)
    else:
        await made.post(path, op=verb, **fields)
