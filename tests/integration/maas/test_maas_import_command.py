"""`innkeeper import maas` in a whole deployment: read, plan, decide, apply, and again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from innkeeper.request_body import Body
from tests.deployment.deployment import Deployment
from tests.deployment.in_process import deployed
from tests.deployment.runner import REGION
from tests.integration.images.test_image_upload_command import logged_in
from tests.integration.maas.test_maas_import import begin, decided, inventory, plan
from tests.integration.support.adoption import guests, markers
from tests.maas_site.reading import dump_of
from tests.maas_site.site import site
from tests.maas_site.versions import site_of
from tests.support.waiting import eventually
from tests.unit.command.processes import Ran, finished, started

pytestmark = pytest.mark.database


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


async def run(home: Path, *words: object) -> Ran:
    return await finished(await started(home, "import", "maas", *map(str, words)))


def edited(file: Path, **choices: str) -> Any:
    """Writes choices for the conflicts, by the names of the objects, into the file."""
    document = decided(json.loads(file.read_text()), **choices)
    file.write_text(json.dumps(document))
    return document


def states(file: Path, kind: str) -> dict[str, str]:
    return {one["name"]: one["state"] for one in json.loads(file.read_text())["objects"][kind]}


@pytest.mark.slow
async def test_a_dump_is_read_decided_on_and_applied(innkeeper: Deployment, home: Path) -> None:
    """Nothing reaches its hosts, so that each machine has a reason."""
    dump, file, page = home / "site.sql", home / "plan.json", home / "plan.html"
    dump.write_bytes(dump_of(site_of("3.7.3", site())))
    await logged_in(innkeeper, home)
    await innkeeper.post("zones/", name="north")
    ran = await run(home, "--dump", dump, "--plan", file, "--html", page)
    assert ran.status == 0, ran.err
    assert ran.out.startswith("Import 1 from site.sql, MAAS 3.7")
    assert f"innkeeper import maas --apply {file}" in ran.err
    assert page.read_text().startswith("<!doctype html>")
    assert "PRIVATE KEY" not in file.read_text() + page.read_text()
    assert await innkeeper.get("vm-hosts/") == [], "a plan changes nothing"
    assert len(states(file, "hosts")) == 6
    assert set(states(file, "machines").values()) >= {"new", "left_out"}
    applied = await run(home, "--apply", file)
    assert applied.status == 1
    assert "Traceback" not in applied.err
    hosts = await innkeeper.get("vm-hosts/")
    assert {one["name"] for one in hosts} >= {"kvm-north", "kvm-south", "libvirt-1"}
    assert {one["username"] for one in await innkeeper.get("users/")} >= {"anna", "olaf", "emil"}
    failures = (await innkeeper.get("maas-imports/1/"))["failures"]
    assert {one["kind"] for one in failures} >= {"machines"}
    assert all(one["reason"] for one in failures)
    again = await run(home, "--apply", file)
    assert again.status == 1, "the hosts are there, their machines are not"
    assert await innkeeper.get("vm-hosts/") == hosts
    assert (await innkeeper.get("maas-imports/1/"))["failures"] == failures
    assert {one["kind"] for one in failures} == {"clusters", "machines"}


@pytest.mark.slow
async def test_a_plan_with_choices_brings_the_machines(innkeeper: Deployment, home: Path) -> None:
    await logged_in(innkeeper, home)
    await begin(innkeeper, inventory())
    file = home / "plan.json"
    assert (await run(home, "--import", 1, "--plan", file)).status == 0
    refused = await run(home, "--apply", file)
    assert refused.status != 0
    assert "users 1 (admin): There is a user admin here" in refused.err
    edited(file, admin="same")
    applied = await run(home, "--apply", file, "--choose", "machines:abcde2=leave_out")
    assert applied.status == 0, applied.err
    assert "Here now: " in applied.out
    assert {one["hostname"] for one in await innkeeper.get("machines/")} == {"vm-1", "vm-3"}
    before = guests(innkeeper), markers(innkeeper), await innkeeper.get("machines/")
    assert (await run(home, "--apply", file, "--choose", "machines:abcde2=leave_out")).status == 0
    assert (guests(innkeeper), markers(innkeeper), await innkeeper.get("machines/")) == before


@pytest.mark.slow
async def test_wrong_words_are_refused_and_import_nothing(innkeeper: Deployment, home: Path) -> None:
    await logged_in(innkeeper, home)
    await begin(innkeeper, inventory())
    file = home / "plan.json"
    await run(home, "--import", 1, "--plan", file)
    (home / "nothing.sql").write_text("select 1;")
    for words, said in (
        (("--import", 9), "There is no import 9 from MAAS."),
        (("--dump", home / "missing.sql"), "missing.sql"),
        (("--dump", home / "nothing.sql"), "nothing.sql"),
        (("--import", 1, "--choose", "users:1=wrong"), "has no choice 'wrong'"),
        (("--import", 1, "--plan", home / "no" / "plan.json"), "Cannot write"),
        (("--apply", home / "nothing.sql"), "is no plan"),
        (("--apply", file, "--choose", "hosts:99=leave_out"), "The import has no hosts with the id 99."),
    ):
        ran = await run(home, *words)
        assert (ran.status != 0, said in ran.err) == (True, True), (words, ran)
    assert await innkeeper.get("vm-hosts/") == []


OPEN = "select count(*) from operation where kind = $1 and state = 'running' and step is not null"


@pytest.mark.slow
@pytest.mark.parametrize(("call", "kind"), [("facts", "refresh"), ("add marker", "adopt")])
async def test_an_import_ends_after_its_region_was_killed(
    tmp_path: Path, database_url: str, call: Any, kind: str
) -> None:
    """Once while the hosts are refreshed, once while a VM gets its marker."""
    async with deployed(tmp_path, database_url, killable=True) as innkeeper:
        await innkeeper.start_rack()
        begun = await begin(innkeeper, inventory())
        document = decided(await plan(innkeeper, begun), admin="same")
        body = Body(files={"plan": json.dumps(document).encode()})
        with innkeeper.held(call):
            answer = await innkeeper.api.send("POST", "maas-imports/1/", query=[("op", "apply")], body=body)
            operation = answer.json()["id"]

            async def is_at_work() -> bool:
                return int((await innkeeper.fetch(OPEN, kind))[0][0]) > 0

            await eventually(is_at_work)
            innkeeper.kill(REGION)
        await innkeeper.restart(REGION)
        state = await innkeeper.ended(operation)
        assert state == "succeeded", (await innkeeper.get("maas-imports/1/"))["failures"]
        machines = await innkeeper.get("machines/")
        assert sorted(one["system_id"] for one in machines) == ["abcde1", "abcde2", "abcde3"]
        assert [one["name"] for one in await innkeeper.get("vm-hosts/")] == ["old-kvm"]
        assert [one["username"] for one in await innkeeper.get("users/")].count("ops") == 1
        assert len({one for one in markers(innkeeper).values() if one}) == 3
        again = await plan(innkeeper, begun)
        assert {one["state"] for one in again["objects"]["machines"]} == {"exists", "left_out"}
